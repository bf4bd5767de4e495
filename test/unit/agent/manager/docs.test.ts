/**
 * docs/manager.md: its requests are requests, its tables have every field, route, phase, code and limit that the API has, and its check of
 * a callback's signature takes what berthd really sends and nothing else.
 */
import { readFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ZodType } from "zod";
import { bodyOf, signature } from "../../../../agent/src/callbacks/message";
import { sender } from "../../../../agent/src/callbacks/send";
import { commandLimits } from "../../../../agent/src/commands/commands";
import { managed } from "../../../../agent/src/http/areas/managed";
import { setup } from "../../../../agent/src/http/areas/setup";
import { statusOf } from "../../../../agent/src/http/failures";
import { closeCodes } from "../../../../agent/src/http/open-streams";
import { refusalCodes } from "../../../../agent/src/http/schemas";
import { claimSchema, managedSchema } from "../../../../agent/src/manager/request";
import { MOST_ASKS, MOST_ENVIRONMENT, MOST_OF_TENANT } from "../../../../agent/src/manager/share";
import { MOST_VOLUMES } from "../../../../agent/src/manager/volumes";
import { setupSchema } from "../../../../agent/src/setup";
import { defaultPlaces } from "../../../../agent/src/setup/setups";
import { capacity, SETUP_PHASES, setupStatus } from "../../../../core/manager";
import { type Api, call, makeApi } from "../http/rig";
import { configOf, ManagerRig } from "./rig";

const guide = readFileSync(join(__dirname, "../../../../docs/manager.md"), "utf8");
const blocks = [...guide.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language, text]) => ({
  language,
  text: text ?? "",
}));
const sectionOf = (title: string) =>
  guide.split(new RegExp(`^##+ ${title}\n`, "m"))[1]?.split(/^##+ /m)[0] ?? "";
/** The words in code in the first cells of a section's tables. */
const firstCells = (section: string) =>
  [...section.matchAll(/^\| ([^|]*) \|/gm)].flatMap(([, cell = ""]) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, word]) => word),
  );
const keysOf = (schema: { shape: object }) => Object.keys(schema.shape);

describe("its requests", () => {
  const bodies = [...guide.matchAll(/-X POST "\$DOCKER_HOST_URL(\S+)"[^\n]*?(?:\\\n\s*)?-d '([^']*)'/g)].map(
    ([, path = "", body = ""]) => ({ path, body }),
  );
  const schemas: [end: RegExp, schema: ZodType][] = [
    [/\/containers\/claim$/, claimSchema],
    [/\/setup$/, setupSchema],
  ];

  it("are found", () => {
    expect(bodies.map(({ path }) => path.split("/").at(-1))).toEqual(["claim", "setup", "exec"]);
  });

  it.each(bodies.filter(({ path }) => schemas.some(([end]) => end.test(path))))(
    "$path is taken",
    ({ path, body }) => {
      const [, schema] = schemas.find(([end]) => end.test(path)) ?? [];
      expect(schema?.safeParse(JSON.parse(body)).error).toBeUndefined();
    },
  );
});

describe("its tables", () => {
  it.each([
    ["Create", keysOf(managedSchema)],
    ["Create", keysOf(managed)],
    ["Claim", keysOf(claimSchema)],
    ["Set-up", keysOf(setupSchema)],
    ["Set-up", [...SETUP_PHASES]],
    ["Commands", ["command", "timeout"]],
    ["Errors", [...refusalCodes]],
  ])("of %s have all of %j", (title, names) => {
    expect(names.filter((name) => !firstCells(sectionOf(title)).includes(name))).toEqual([]);
  });

  it("tell what a set-up is answered with, and the status of each phase", () => {
    for (const name of keysOf(setup)) expect(sectionOf("Set-up")).toContain(`\`${name}\``);
    for (const phase of SETUP_PHASES)
      expect(sectionOf("Set-up")).toContain(`| \`${phase}\` | \`${setupStatus(phase)}\` |`);
  });

  it.each(Object.entries(statusOf))("tell the status of %s, which is %d", (code, status) => {
    expect(sectionOf("Errors")).toMatch(
      new RegExp(`^\\| \`${code}\` \\|[^\\n]*\\n(\\| \\|[^\\n]*\\n)*`, "m"),
    );
    const rows = sectionOf("Errors").split(`| \`${code}\` |`)[1]?.split(/^\| `/m)[0];
    expect(rows).toMatch(new RegExp(`(^|\\n\\| \\|)[^|]*\\b${status}\\b[^|]*\\|`));
  });

  it("tell the codes with which a terminal closes", () => {
    const told = [...sectionOf("Terminals").matchAll(/^\| (\d{4}) \|/gm)].map(([, code]) => Number(code));
    expect(told).toEqual(Object.values(closeCodes).sort((a, b) => a - b));
  });

  it("tell how many containers fit", () => {
    const node = { memoryMiB: 15.6 * 1024, cpus: 8, pids: 2 ** 20, diskFreeMiB: 300_000, containers: [] };
    const size = { "512 MB": 512, "1 GB": 1024, "2 GB": 2048 };
    const templates = Object.entries(size).map(([name, memoryMiB]) => ({
      ...{ name, memoryMiB, cpus: 1, pids: 4096, diskMiB: 1024 },
    }));
    for (const { name, more } of capacity(node, templates).templates)
      expect(sectionOf("Limits and capacity")).toContain(`| ${name} | ${more} |`);
  });

  it("tell the limits", () => {
    const { commands, terminals } = commandLimits;
    const inOrder = ({ container, owner: mine, all: whole, own }: typeof commands) =>
      [container, mine, whole, own].join("; ");
    const { mostOfOwner, mostOfAll, all, owner } = defaultPlaces;
    const limits = sectionOf("Limits and capacity");
    expect(limits).toContain(`| containers of a tenant | ${MOST_OF_TENANT} |`);
    expect(limits).toContain(`| volumes of a tenant, with a container each | ${MOST_VOLUMES} |`);
    expect(limits).toContain(`| \`env\` of all containers of a tenant | ${MOST_ENVIRONMENT / 2 ** 20} MiB |`);
    expect(limits).toContain(`| creations and claims of a tenant that are not answered yet | ${MOST_ASKS} |`);
    expect(limits).toContain(`of a tenant; of all | ${mostOfOwner}; ${mostOfAll} |`);
    expect(limits).toContain(`whatever the others have | ${inOrder(commands)} |`);
    expect(limits).toContain(`likewise | ${inOrder(terminals)} |`);
    expect(sectionOf("Set-up")).toContain(`${all} at a time on a node, ${owner} of one tenant`);
  });
});

describe.runIf(process.getuid?.() === 0)("its list of routes", () => {
  let rig: ManagerRig;
  let api: Api;
  beforeAll(async () => {
    rig = new ManagerRig();
    await rig.start();
    api = await makeApi({
      node: { tenants: [{ name: "web" }], manager: configOf() },
      forTenants: { manager: rig.manager },
    });
  });
  afterAll(async () => {
    await api.close();
    await rig.close();
  });

  it("has those of the manager's listener, all of them and no others", async () => {
    const { body } = await call("GET", "/openapi.json", { port: api.servers.managerPort as number });
    const there = Object.entries((body as { paths: Record<string, object> }).paths).flatMap(
      ([path, methods]) =>
        Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ":$1")}`),
    );
    const told = firstCells(sectionOf("All routes")).filter((route) => route !== "GET /openapi.json");
    expect(told.sort()).toEqual(there.sort());
  });
});

describe("its check of a callback", () => {
  const code =
    blocks.find(({ language, text }) => language === "js" && text.includes("verified"))?.text ?? "";
  type Verified = (
    headers: IncomingHttpHeaders,
    body: Buffer,
    secret: string,
  ) => { sequence?: number } | undefined;
  let verified: Verified;
  beforeAll(async () => {
    verified = (await import(/* @vite-ignore */ `data:text/javascript,${encodeURIComponent(code)}`)).verified;
  });

  const secret = "secret123";
  const told = JSON.parse(blocks.find(({ text }) => text.includes('"sequence"'))?.text ?? "{}");
  const body = Buffer.from(bodyOf({ ...told, message: "fertig: größer als 1 KB ✓" }));
  const signed = { "x-berth-signature": signature(secret, body.toString()) };

  it("takes what is signed with the secret", () => {
    expect(verified(signed, body, secret)).toEqual({ ...told, message: "fertig: größer als 1 KB ✓" });
  });

  it.each<[string, IncomingHttpHeaders, Buffer, string]>([
    ["another secret", signed, body, "secret124"],
    ["one byte less", signed, body.subarray(1), secret],
    ["another message", signed, Buffer.from("{}"), secret],
    ["no signature", {}, body, secret],
    [
      "a signature that is cut",
      { "x-berth-signature": signed["x-berth-signature"].slice(0, 40) },
      body,
      secret,
    ],
    ["one without its kind", { "x-berth-signature": signed["x-berth-signature"].slice(7) }, body, secret],
  ])("refuses %s", (_, headers, bytes, wrong) => {
    expect(verified(headers, bytes, wrong)).toBeUndefined();
  });

  it("takes what berthd sends over the network", async () => {
    const seen: unknown[] = [];
    const server = createServer(async (request, response) => {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part);
      seen.push(verified(request.headers, Buffer.concat(parts), secret));
      response.writeHead(204).end();
    });
    await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
    try {
      const { port } = server.address() as AddressInfo;
      const send = sender({ resolve: async () => ({ ok: true, value: ["127.0.0.1"] }) });
      const row = {
        container: told.containerId,
        sequence: 7,
        owner: "web",
        at: 0,
        secret,
        body: body.toString(),
      };
      const url = `http://app.example.com:${port}/docker-status`;
      expect(await send({ ...row, url }, new AbortController().signal)).toBeUndefined();
    } finally {
      await new Promise((closed) => server.close(closed));
    }
    expect(seen).toEqual([JSON.parse(body.toString())]);
  });
});
