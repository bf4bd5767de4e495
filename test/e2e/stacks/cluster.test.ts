/**
 * A stack from nothing by the commands that people call, asked by the clients that they use; each test goes on where
 * the one before ended. What restarts the operator's engine, and the stack's end: test/e2e/last.
 *
 * Each node has a declared GPU cut into two MIG instances. Proves of them: the first preview says who gets what, and
 * `up` grants that; somebody in front of the list moves nobody; who leaves hands a slice on, or frees it; a GPU that is
 * taken out is forgotten, unless somebody holds it. What a hostile tenant tries: hostile-cases.ts.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Ran } from "../../lib/run";
import { childrenOf } from "../../lib/stack";
import { MINUTE } from "../../lib/time";
import { until } from "../../lib/until";
import {
  berth,
  CREDENTIAL,
  configuration,
  fillStores,
  footprint,
  HEAD,
  KEEP,
  makeHome,
  pulumi,
  RESUMED,
  removeLeftovers,
  STACK,
  stackFilesThere,
  startUp,
  up,
  writeConfiguration,
} from "./cluster-rig";
import { additionCases, removalCases } from "./edit-cases";
import { grantCases, takenOutCases } from "./gpu-cases";
import { hostileCases } from "./hostile-cases";
import { nodeCases } from "./node-cases";
import { restartCases } from "./restart-cases";
import { upCases } from "./up-cases";

/** What the first preview said. */
let shown: string | undefined;
let first: Ran | undefined;

beforeAll(async () => {
  if (!KEEP) await removeLeftovers();
  makeHome();
}, 5 * MINUTE);

afterAll(async () => {
  // The last part of the suite goes on with the stack, and ends it.
  if (KEEP || (process.env.BERTH_TEST_LAST && first)) return;
  // Whatever the tests did, nothing of the stack may stay; its own way first, as that is what leaves no trace.
  await berth("destroy", ["--yes"], 10 * MINUTE).catch(() => {});
  await removeLeftovers();
}, 15 * MINUTE);

describe.skipIf(RESUMED)("before the first up", () => {
  it("refuses every mistake at once, each with its place, before anything is touched", async () => {
    const wrong = configuration();
    wrong["berth:nodes"][1].role = "head";
    wrong["berth:nodes"][1].addres = HEAD;
    wrong["berth:users"][0].name = "root";
    wrong["berth:users"][0].keys = ["ssh-ed25519 nonsense"];
    wrong["berth:users"][1].node = "node-7";
    wrong["berth:users"][1].index = 100;
    wrong["berth:users"].push({ name: "bob", node: "node-1", index: 2, memory: "64GiB" });
    wrong["berth:ports"] = { containers: { start: 19000, end: 21000 } };
    writeConfiguration(wrong);
    const ran = await berth("preview", [], 5 * MINUTE);
    expect(ran.code).not.toBe(0);
    const places = ["nodes[*].role", "nodes[1].addres", "users[0].name", "users[0].keys[0]", "users[1].node"];
    for (const place of [...places, "users[1].index", "users[2].name", "users[2].memory", "ports.containers"])
      expect(ran.text).toContain(`berth:${place}`);
    expect(ran.text).toContain("nothing was touched");
    expect(ran.text).not.toMatch(/^\s+at .*\.[jt]s:\d+/m);
    expect(await footprint()).toEqual([]);
    expect(stackFilesThere()).toBe(false);
  });

  it("refuses nodes that are to have more than this computer, before anything is touched", {
    timeout: 6 * MINUTE,
  }, async () => {
    const large = configuration();
    large["berth:nodes"][0].memory = "999GiB";
    large["berth:nodes"][1].cpus = 1024;
    writeConfiguration(large);
    const ran = await berth("up", ["--yes", "--skip-preview"], 5 * MINUTE);
    expect(ran.code).not.toBe(0);
    expect(ran.text).toMatch(/berth:nodes\[0\]\.memory[\s\S]*999GiB[\s\S]*at most \d+GiB/);
    expect(ran.text).toMatch(/berth:nodes\[1\]\.cpus[\s\S]*1024[\s\S]*at most \d+/);
    expect(ran.text).toContain("nothing was touched");
    expect(await footprint()).toEqual([]);
    expect(stackFilesThere()).toBe(false);
  });

  it("shows who gets which GPU before there is a node", { timeout: 10 * MINUTE }, async () => {
    writeConfiguration(configuration());
    // Before the preview, whose text is searched for it too.
    const secret = ["config", "set", "--secret", "--path", "berth:users[0].setup.credentials.API_KEY"];
    await pulumi(secret, { input: CREDENTIAL });
    const preview = await berth("preview", ["--diff"], 8 * MINUTE);
    expect(preview.code, preview.text.slice(-3000)).toBe(0);
    shown = preview.text;
    for (const user of ["alice", "bob"])
      expect(shown).toMatch(
        new RegExp(`workspace/${user}\\s*: \\[\\s*\\[0\\]: "0:0 1g\\.10gb, \\d+ MiB: MIG-`),
      );
  });

  it("goes on after an up that was killed while it created", { timeout: 40 * MINUTE }, async () => {
    await fillStores();
    const child = startUp();
    await until("a node's container", 10 * MINUTE, async () =>
      (await footprint()).some((line) => line.startsWith(`container berth-${STACK}-node-`)),
    );
    const killed = childrenOf(child.pid ?? 0);
    expect(killed.length).toBeGreaterThan(0);
    for (const pid of killed) process.kill(pid, "SIGKILL");
    await until("the script's end", MINUTE, async () => child.exitCode !== null);
    expect(child.exitCode).not.toBe(0);
    first = await up();
  });
});

/** Without a stack the rest would only wait for what cannot come. */
function needStack(): void {
  if (RESUMED) return;
  if (!first) throw new Error("there is no stack to ask: the first up failed");
  if (shown === undefined) throw new Error("there was no first preview to compare it with");
}

describe("after up", () => {
  beforeEach(needStack);
  upCases(() => first && `${shown}${first.text}`);
  grantCases(() => shown);
});

describe("edits", () => {
  beforeEach(needStack);
  additionCases();
});

describe("hostile tenant", () => {
  beforeEach(needStack);
  hostileCases();
});

describe("edits that take away", () => {
  beforeEach(needStack);
  removalCases();
  takenOutCases();
});

describe("restarts", () => {
  beforeEach(needStack);
  restartCases();
});

describe("one node at a time", () => {
  beforeEach(needStack);
  nodeCases();
});
