/**
 * Tokens of berthd itself, a real process that is killed while it replaces one. Proves: the next berthd has the old token
 * alone, as it was, or both; never an old one that ends without the new one, nor a new one beside an old one that does
 * not know of it. Whatever was answered is kept. And those of who left the node's document end for good.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as after } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { until } from "../lib/until";
import { bundle, makeNode, type Node } from "./berthd-process";

const asRoot = process.getuid?.() === 0;
const ROUNDS = 8;
let programs: string;
const nodes: Node[] = [];
beforeAll(async () => {
  programs = await bundle();
}, 120_000);
afterAll(() => rmSync(programs, { recursive: true, force: true }));
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.close();
});

interface Shown {
  id: string;
  expiresAt?: number;
  replacedBy?: string;
}
const listed = async (node: Node): Promise<Shown[]> => (await node.call("GET", "/api/tokens")).body.tokens;

describe.runIf(asRoot)("a berthd that is killed while it replaces a token", { timeout: 240_000 }, () => {
  it("has the old one alone afterwards, or both", async () => {
    const node = await makeNode(programs);
    nodes.push(node);
    node.writeNode({ listen: "loopback", port: 0 });
    let berthd = await node.start();
    const seen = new Set<string>();
    for (let round = 0; round < ROUNDS; round++) {
      const { id, token } = (await node.call("POST", "/api/tokens", { body: { role: "service" } })).body;
      const asked = node
        .call("POST", `/api/tokens/${id}/rotate`, { body: { keep_seconds: 3600 } })
        .catch(() => undefined);
      // From before it is sent to after it was answered.
      if (round === ROUNDS - 1) await asked;
      else if (round > 0) await after((round / ROUNDS) * 12);
      berthd.child.kill("SIGKILL");
      await berthd.ended;
      const answer = await asked;
      berthd = await node.start();
      const all = await listed(node);
      const old = all.find((one) => one.id === id);
      const heir = all.find((one) => one.id === old?.replacedBy);
      seen.add(heir ? "both" : "the old one alone");
      expect(old?.expiresAt === undefined).toBe(heir === undefined);
      expect(old?.replacedBy).toBe(heir?.id);
      const pointedAt = all.flatMap(({ replacedBy }) => replacedBy ?? []);
      // No new one that no old one knows of: each is either one that this test asked for, or somebody's heir.
      expect(all).toHaveLength(round + 1 + pointedAt.length);
      if (answer) expect(heir?.id).toBe(answer.body.id);
      const port = Number(/"port":(\d+)/.exec(berthd.output())?.[1]);
      for (const secret of [token, answer?.body.token].filter(Boolean))
        expect((await node.call("GET", "/api/whoami", { port, token: secret })).status).toBe(200);
    }
    expect([...seen].sort()).toEqual(["both", "the old one alone"]);
  });
});

describe.runIf(asRoot)("tokens of who left", { timeout: 240_000 }, () => {
  const tenants = [{ name: "web-ide" }, { name: "bench" }];
  interface Token {
    id: string;
    token: string;
  }

  async function begin() {
    const node = await makeNode(programs);
    nodes.push(node);
    const listen = { listen: "loopback", port: 0 };
    const write = (more: object) => node.writeNode({ ...listen, ...more });
    write({ tenants });
    const berthd = await node.start();
    const make = async (role: string, owner: string): Promise<Token> =>
      (await node.call("POST", "/api/tokens", { body: { role, owner } })).body;
    const all = [await make("tenant", "web-ide"), await make("tenant", "bench"), await make("user", "alice")];
    return { node, write, berthd, all };
  }
  const revoked = async (node: Node) =>
    (await node.call("GET", "/api/tokens")).body.tokens.flatMap((one: { id: string; revokedAt?: number }) =>
      one.revokedAt === undefined ? [] : one.id,
    );

  it("are revoked when the document changes, and not where it cannot be read", async () => {
    const { node, write, berthd, all } = await begin();
    const [ide, , alice] = all as [Token, Token, Token];
    for (const broken of [
      "",
      "{",
      '{"stack":"test"}',
      JSON.stringify({ stack: "test", node: "n1", users: 5 }),
    ]) {
      const before = berthd.output().split("node.json is not usable").length;
      writeFileSync(node.paths.nodeFile, broken);
      await until(
        "it is refused",
        30_000,
        () => berthd.output().split("node.json is not usable").length > before,
      );
    }
    rmSync(node.paths.nodeFile);
    expect(await revoked(node)).toEqual([]);
    write({ tenants: [{ name: "bench" }], users: [{ name: "bob", group: "staff" }] });
    await until("both are revoked", 30_000, async () => (await revoked(node)).length === 2);
    expect((await revoked(node)).sort()).toEqual([ide.id, alice.id].sort());
    write({ tenants });
    const changes = () => berthd.output().split("node.json changed and is in force").length - 1;
    await until("it is in force", 30_000, () => changes() === 2);
    expect(await revoked(node)).toHaveLength(2);
    const port = Number(/"port":(\d+)/.exec(berthd.output())?.[1]);
    const seen = all.map(({ token }) => node.call("GET", "/api/gpus", { port, token }));
    // A good token of a tenant is refused by the route, not at the door.
    expect((await Promise.all(seen)).map(({ status }) => status)).toEqual([401, 403, 401]);
  });

  it("are revoked by a berthd that starts after the change, and stay so", async () => {
    const { node, write, berthd, all } = await begin();
    const [ide] = all as [Token];
    const again = async (before: typeof berthd) => {
      before.child.kill("SIGKILL");
      await before.ended;
      return node.start();
    };
    write({ tenants: [{ name: "bench" }] });
    const second = await again(berthd);
    await until("it is revoked", 30_000, async () => (await revoked(node)).length === 1);
    write({ tenants });
    await again(second);
    expect(await revoked(node)).toEqual([ide.id]);
  });

  it("are written down once the ledger is open, in one turn: before that an update may go back to what it was", async () => {
    const { node, write, berthd } = await begin();
    const events = () => readFileSync(node.paths.events, "utf8");
    const noted = () =>
      events()
        .split("\n")
        .flatMap((line) => (line.includes('"token-revoked"') ? (JSON.parse(line) as { at: string }) : []));
    berthd.child.kill("SIGKILL");
    await berthd.ended;
    const limits = readFileSync(node.paths.limitsFile, "utf8");
    rmSync(node.paths.limitsLastGood);
    node.writeLimits("{");
    write({ tenants: [{ name: "bench" }] });
    node.spawn();
    const ended = (count: number) =>
      until(
        `${count} are revoked`,
        30_000,
        async () => (await revoked(node).catch(() => [])).length === count,
      );
    await ended(1);
    write({});
    await ended(2);
    expect((await node.call("GET", "/ready")).status).toBe(503);
    const { id } = (await node.call("POST", "/api/tokens", { body: { role: "service" } })).body;
    await until("what came later is written down", 30_000, () => events().includes(id));
    expect(noted()).toEqual([]);
    node.writeLimits(limits);
    await until("they are written down", 30_000, () => noted().length > 0);
    expect(noted()).toHaveLength(2);
    expect(new Set(noted().map(({ at }) => at)).size).toBe(1);
  });
});
