/**
 * Tokens of berthd itself, a real process that is killed while it replaces one. Proves: the next berthd has the old token
 * alone, as it was, or both; never an old one that ends without the new one, nor a new one beside an old one that does
 * not know of it. Whatever was answered is kept.
 */
import { rmSync } from "node:fs";
import { setTimeout as after } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
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
