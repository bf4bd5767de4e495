/**
 * @file What a neighbour on the same node gets of a person who is signed in and opens the neighbour's link: cases of the
 * cluster's test, where bob and carol share node-1.
 *
 * Proves: bob's VS Code and Jupyter are at no address of the node; his browser hands their cookies to no server but
 * those at his own name, which carol's are not, whatever port of the node or name under localhost they have; her pages
 * open no WebSocket of his, and other names than his own get nothing at his forwarded ports.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { BrowserContext, Page } from "playwright-core";
import { expect, it } from "vitest";
import { MINUTE, SECOND } from "../../lib/time";
import { connects } from "../../lib/tunnel";
import { until } from "../../lib/until";
import {
  address,
  credentials,
  forwarded,
  onNode,
  openBrowser,
  portOf,
  SERVICES,
  ssh,
  url,
  web,
} from "./cluster-clients";
import { STACK, WORKER } from "./cluster-rig";

/** A port of carol's block (index 2), and a container at it: what she might have there. */
const HERS = 10250;
const NAME = `berth-${STACK}-neighbour-test`;

/** Answers every page, and prints the cookies that came with it, one JSON text a line. */
const SERVER = `
import http.server, json
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/favicon.ico":
            print(json.dumps(self.headers.get("Cookie") or ""), flush=True)
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"hers")
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("", 8000), Page).serve_forever()
`;

async function startHers(): Promise<void> {
  const program = Buffer.from(SERVER).toString("base64");
  const run = `exec(__import__("base64").b64decode("${program}"))`;
  await onNode(
    "node-1",
    `image=$(docker inspect -f '{{.Image}}' berth-${STACK}-workspace-carol)
docker run --detach --name ${NAME} --memory 256m --publish ${WORKER}:${HERS}:8000 --entrypoint python3 "$image" -c '${run}' >/dev/null`,
  );
  await until("carol's server", MINUTE, () => connects(WORKER, HERS));
}

/** The same on this computer: what bob would have to forward, or run, himself. */
async function ownServer(): Promise<{ port: number; seen: string[]; stop: () => void }> {
  const seen: string[] = [];
  const server = createServer(({ url: path, headers }, answer) => {
    if (path !== "/favicon.ico") seen.push(headers.cookie ?? "");
    answer.setHeader("Content-Type", "text/html").end("hers");
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return { port: (server.address() as AddressInfo).port, seen, stop: () => server.close() };
}

async function signIn(context: BrowserContext): Promise<Page> {
  const { codePassword, jupyterToken } = (await credentials()).bob ?? { codePassword: "", jupyterToken: "" };
  const page = await context.newPage();
  page.setDefaultTimeout(2 * MINUTE);
  await page.goto(url("bob", "code"));
  await page.locator("input[name=password]").fill(codePassword);
  await page.locator("input[type=submit]").click();
  await page.locator(".monaco-workbench .part.editor").waitFor();
  await page.goto(`${url("bob", "jupyter")}/lab?token=${jupyterToken}`);
  await page.locator(".jp-Launcher-body").first().waitFor();
  return page;
}

/** What a page sees of a WebSocket that it opens. */
const socketFrom = (page: Page, to: string): Promise<"open" | "refused"> =>
  page.evaluate(
    ([address = "", patience = 0]) =>
      new Promise<"open" | "refused">((done) => {
        const link = new WebSocket(String(address));
        link.onopen = () => done("open");
        link.onerror = () => done("refused");
        setTimeout(() => done("refused"), Number(patience));
      }),
    [to, 20 * SECOND] as const,
  );

export function neighbourCases(): void {
  it("has bob's VS Code, Jupyter and TensorBoard at no address of the node", async () => {
    expect(await connects(WORKER, 10122)).toBe(true);
    for (const service of SERVICES) {
      expect(await connects(WORKER, portOf("bob", service)), service).toBe(false);
      const knock = `curl -s -m 5 -o /dev/null -w '%{http_code}' http://${address("bob", service)}/ || true`;
      expect(await ssh("carol", knock), service).toBe("000");
    }
    const elsewhere = "ss -Hltn | awk '{print $4}' | grep -v -e '^127\\.' -e '^\\[::1\\]' -e ':22$' || true";
    expect(await ssh("bob", elsewhere)).toBe("");
  });

  it("hands carol nothing of bob's sign-in when he opens her links", { timeout: 8 * MINUTE }, async () => {
    const browser = await openBrowser();
    const own = await ownServer();
    try {
      await startHers();
      await forwarded("bob", async () => {
        const context = await browser.newContext();
        const page = await signIn(context);
        const held = await context.cookies();
        expect([...new Set(held.map(({ domain }) => domain))]).toEqual(["bob.localhost"]);
        const names = held.map(({ name }) => name);
        expect(names).toContain(`code-server-session-${portOf("bob", "code")}`);
        expect(names).toContain(`username-bob-localhost-${portOf("bob", "jupyter")}`);

        await page.goto(`http://${WORKER}:${HERS}/`);
        expect(await onNode("node-1", `docker logs ${NAME}`)).toBe('""');
        for (const name of ["carol.localhost", "localhost", "127.0.0.1", "x.bob.localhost"]) {
          await page.goto(`http://${name}:${own.port}/`);
          expect(own.seen.splice(0), name).toEqual([""]);
        }
        // Under his own name it is a server of his own, and the look above could have seen a cookie.
        await page.goto(`http://bob.localhost:${own.port}/`);
        expect(own.seen.splice(0).join()).toContain("code-server-session");

        const socket = `${url("bob", "jupyter")}/api/events/subscribe`.replace("http:", "ws:");
        await page.goto(`${url("bob", "jupyter")}/lab`);
        expect(await socketFrom(page, socket)).toBe("open");
        for (const hers of [`http://${WORKER}:${HERS}/`, `http://carol.localhost:${own.port}/`]) {
          await page.goto(hers);
          expect(await socketFrom(page, socket), hers).toBe("refused");
        }
      });
    } finally {
      own.stop();
      await browser.close();
      await onNode("node-1", `docker rm --force ${NAME} >/dev/null 2>&1 || true`);
    }
  });

  it("answers to no other name at bob's forwarded ports", { timeout: 4 * MINUTE }, async () => {
    await forwarded("bob", async () => {
      for (const service of SERVICES) {
        const ask = async (name: string) =>
          (await web("bob", service, { headers: { Host: `${name}:${portOf("bob", service)}` } })).status;
        for (const name of ["carol.localhost", "x.bob.localhost", "evil.example", WORKER])
          expect(await ask(name), `${service} ${name}`).toBe(403);
        for (const name of ["bob.localhost", "localhost", "127.0.0.1", "[::1]"])
          expect(await ask(name), `${service} ${name}`).not.toBe(403);
      }
    });
  });
}
