/**
 * @file What a stack that came up is like, asked by the clients that people use: cases of the cluster's test.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { basic } from "../../lib/http";
import { MINUTE } from "../../lib/time";
import { connects } from "../../lib/tunnel";
import { until } from "../../lib/until";
import {
  address,
  codeServer,
  credentials,
  forwarded,
  found,
  notebook,
  onNode,
  openBrowser,
  SERVICES,
  secrets,
  ssh,
  sshByPassword,
  tunnel,
  url,
  WHERE,
  web,
  welcome,
} from "./cluster-clients";
import { allUp, CREDENTIAL, HEAD, home, nothingToDo, pulumi, STACK, status, up, WORKER } from "./cluster-rig";

/** @param firstUp what the first `up` said; undefined: an earlier run made the stack. */
export function upCases(firstUp: () => string | undefined): void {
  it("tells no secret on the console or in the state, which is small", async () => {
    const values = await secrets();
    const said = firstUp();
    if (said !== undefined) expect(found(said, values)).toEqual([]);
    const exported = await pulumi(["stack", "export"]);
    expect(found(exported, values)).toEqual([]);
    // Two nodes and two people: mostly the texts of their stages, each of which Pulumi keeps twice.
    expect(Buffer.byteLength(exported)).toBeLessThan(1.25e6);
    const onDisk = readFileSync(join(home, `state/.pulumi/stacks/berth/${STACK}.json`), "utf8");
    expect(found(onDisk, values)).toEqual([]);
  });

  it("says what is up, in the promised shape", async () => {
    await allUp(2 * MINUTE);
    const node = (name: string, role: string, address: string) => ({
      ...{ name, kind: "local", role, address, privateAddress: address, state: "up" },
    });
    const user = (name: "alice" | "bob", place: string, host: string, port: number) => ({
      ...{ name, node: place, state: "running", ssh: { host, port } },
      urls: { code: url(name, "code"), jupyter: url(name, "jupyter"), tensorboard: url(name, "tensorboard") },
      tunnel: tunnel(name),
    });
    expect(await status()).toEqual({
      code: 0,
      status: {
        stack: STACK,
        nodes: [node("node-0", "head", HEAD), node("node-1", "worker", WORKER)],
        users: [user("alice", "node-0", HEAD, 10022), user("bob", "node-1", WORKER, 10122)],
        ray: { address: `${HEAD}:6379`, dashboard: `http://${HEAD}:8265`, nodes: 2 },
        down: [],
      },
    });
    const outputs = JSON.parse(await pulumi(["stack", "output", "--json"]));
    expect(Object.keys(outputs).sort()).toEqual(["credentials", "nodes", "ray", "users"]);
    expect(outputs.credentials).toBe("[secret]");
    expect(Object.keys(outputs.users)).toEqual(["alice", "bob"]);
  });

  it("has nothing more to do", { timeout: 10 * MINUTE }, async () => {
    await nothingToDo();
    const again = await up(["--expect-no-changes"]);
    expect(again.text).not.toMatch(/\d+ (created|updated|replaced|deleted)/);
  });

  it("lets people in by SSH with the key and with the password, and not with a wrong one", async () => {
    const all = await credentials();
    for (const user of ["alice", "bob"] as const) {
      expect(await ssh(user, "id -un")).toBe(user);
      const byPassword = await sshByPassword(user, all[user]?.password ?? "", "id -un");
      expect(byPassword.stdout.trim(), byPassword.text).toBe(user);
      const refused = await sshByPassword(user, "not-the-password", "id -un");
      expect(refused.code).not.toBe(0);
      expect(refused.text).toContain("Permission denied");
    }
  });

  it("set alice's workspace up", async () => {
    expect(await ssh("alice", "git config user.name; git config user.email")).toBe(
      "Alice Example\nalice@example.org",
    );
    expect(await ssh("alice", "stat -c %a .env; . ~/.env; printenv API_KEY")).toBe(`600\n${CREDENTIAL}`);
    await until("the service", MINUTE, async () =>
      (await ssh("alice", "tmux ls; curl -fsS -o /dev/null http://127.0.0.1:9000/")).startsWith("server:"),
    );
  });

  it("asks for a sign-in at each service, and opens with the right secret only", async () => {
    const all = await credentials();
    for (const user of ["alice", "bob"] as const) {
      const { codePassword, jupyterToken, tensorboardPassword, password } = all[user] ?? {
        ...{ codePassword: "", jupyterToken: "", tensorboardPassword: "", password: "" },
      };
      await forwarded(user, async () => {
        const get = async (...what: Parameters<typeof web>) => (await web(...what)).status;
        expect(await get(user, "code")).toBe(302);
        expect(await codeServer(user, password)).toBe(302);
        expect(await codeServer(user, codePassword)).toBe(200);
        const api = (path: string) => get(user, "jupyter", { path });
        expect([await api("/api/status"), await api("/lab")]).toEqual([403, 302]);
        expect(await api(`/api/status?token=${codePassword}`)).toBe(403);
        expect(await api(`/api/status?token=${jupyterToken}`)).toBe(200);
        const board = (headers = {}) => get(user, "tensorboard", { headers });
        expect(await board()).toBe(401);
        expect(await board(basic(user, password))).toBe(401);
        expect(await board(basic(user, tensorboardPassword))).toBe(200);
      });
    }
  });

  it("tells who signs in over SSH how VS Code and the others are opened", async () => {
    const text = await welcome("alice");
    for (const service of SERVICES) expect(text).toContain(`${url("alice", service)}\n`);
    expect(text).toContain(`  ${tunnel("alice")}\n`);
  });

  it("shows VS Code and JupyterLab in a browser", { timeout: 6 * MINUTE }, async () => {
    const { codePassword, jupyterToken } = (await credentials()).alice ?? {
      ...{ codePassword: "", jupyterToken: "" },
    };
    const browser = await openBrowser();
    try {
      const page = await browser.newPage();
      page.setDefaultTimeout(2 * MINUTE);
      await forwarded("alice", async () => {
        await page.goto(url("alice", "code"));
        await page.locator("input[name=password]").fill(codePassword);
        await page.locator("input[type=submit]").click();
        await page.locator(".monaco-workbench .part.editor").waitFor();
        // What VS Code shows in panes of their own needs one.
        expect(await page.evaluate(() => (globalThis as { isSecureContext?: boolean }).isSecureContext)).toBe(
          true,
        );
        await page.goto(`${url("alice", "jupyter")}/lab?token=${jupyterToken}`);
        await page.locator(".jp-Launcher-body").first().waitFor();
      });
    } finally {
      await browser.close();
    }
  });

  it("runs 1+1 in a notebook, and a Ray task on the other node", { timeout: 6 * MINUTE }, async () => {
    const token = (await credentials()).alice?.jupyterToken ?? "";
    const cells = ["1+1", WHERE, `on("${WORKER}")`];
    const results = await forwarded("alice", () => notebook("alice", token, cells));
    expect(results).toEqual(["2", "", `'${WORKER}'`]);
  });

  it("runs a Ray job on both nodes with the token, and none without", { timeout: 6 * MINUTE }, async () => {
    const program = `${WHERE}print("ran on", on("${HEAD}"), on("${WORKER}"))\n`;
    const text = Buffer.from(program).toString("base64");
    await ssh("alice", `mkdir -p ~/job && echo ${text} | base64 -d > ~/job/where.py`);
    const submit = "cd ~/job && ray job submit --working-dir . -- python where.py 2>&1";
    expect(await ssh("alice", `bash -lc '${submit}'`, 4 * MINUTE)).toContain(`ran on ${HEAD} ${WORKER}`);
    for (const user of ["alice", "bob"] as const)
      expect(await ssh(user, "ray status 2>&1", 2 * MINUTE)).toContain("node_node-1");
    expect(await ssh("alice", "ray timeline 2>&1 || true")).toContain("ray job submit -- ray timeline");
    const ask = `curl -s -o /dev/null -w '%{http_code}' http://${HEAD}:8265/api/jobs/`;
    for (const user of ["alice", "bob"] as const) {
      expect(await ssh(user, ask)).toBe("401");
      expect(await ssh(user, `${ask} -H 'Authorization: Bearer none-of-ours'`)).toMatch(/^40[13]$/);
    }
  });

  it("shows no port of Ray to the outside", async () => {
    const ports = [6379, 8265, 31000, 31999, ...Array.from({ length: 9 }, (_, i) => 30001 + i)];
    for (const host of [HEAD, WORKER]) {
      expect(await connects(host, 22)).toBe(true);
      const open = await Promise.all(ports.map(async (port) => ((await connects(host, port)) ? port : 0)));
      expect(open.filter(Boolean)).toEqual([]);
    }
    // They do listen, so what keeps them closed is the firewall.
    const listening = await onNode("node-0", "ss -Hltn | awk '{print $4}'");
    for (const port of [6379, 8265, 30001]) expect(listening).toMatch(new RegExp(`:${port}$`, "m"));
  });

  it("keeps alice and bob out of each other's home and services", async () => {
    await ssh("alice", "echo hers > ~/hers.txt && chmod 644 ~/hers.txt");
    await ssh("bob", "echo his > ~/his.txt && chmod 644 ~/his.txt");
    expect(await ssh("bob", "cat /home/alice/hers.txt 2>&1 || true")).toMatch(/No such file/);
    // As root of her workspace, which he is not of his.
    expect(await ssh("alice", "sudo -n cat /home/bob/his.txt 2>&1 || true")).toMatch(/No such file/);
    const search = "sudo -n find / -xdev -name his.txt 2>/dev/null || true";
    expect(await ssh("alice", search)).toBe("");
    for (const service of SERVICES) {
      const at = `http://${address("alice", service)}/`;
      // 000: not even a connection.
      expect(await ssh("bob", `curl -s -m 10 -o /dev/null -w '%{http_code}' ${at} || true`)).toBe("000");
    }
    const knock = `ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o ConnectTimeout=10 -p 10022 alice@${HEAD} id`;
    expect(await ssh("bob", `${knock} 2>&1 || true`)).toMatch(/Permission denied|timed out|refused/);
  });
}
