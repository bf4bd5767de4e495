/**
 * The slices of a node, as berthd keeps them.
 * Proves: what could not be done (systemd refuses, something still runs in a slice that nobody needs) is tried again, and
 * what is done is left alone.
 */
import pino from "pino";
import { describe, expect, it } from "vitest";
import { NodeSlices } from "../../../agent/src/node-slices";
import type { SliceReport } from "../../../agent/src/slices";
import { document, rootForEachTest, users } from "./slices/helpers";

rootForEachTest();

const done: SliceReport = { written: [], started: [], removed: [], kept: [], unheld: [] };

/** Slices that answer in that order, and how often they were asked. */
function kept(...answers: (SliceReport | Error)[]) {
  let calls = 0;
  const slices = {
    cgroup: 2 as const,
    apply: async (desired: readonly { name: string }[]) => {
      expect(desired.map(({ name }) => name)).toContain("berth-student-alice.slice");
      const answer = answers[calls++] ?? done;
      if (answer instanceof Error) throw answer;
      return answer;
    },
  };
  const node = new NodeSlices({
    document: () => document,
    users: () => users,
    log: pino({ level: "silent" }),
    slices,
  });
  return { node, calls: () => calls };
}
/** What was asked for has been answered. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("slices of a node", () => {
  it.each([
    ["systemd refused", new Error("systemctl daemon-reload ended with 1")],
    ["something still runs in one", { ...done, kept: ["berth-gone-eve.slice"] }],
  ])("are tried again when %s", async (_, answer) => {
    const { node, calls } = kept(answer, done);
    node.apply();
    await settled();
    node.finish();
    await settled();
    expect(calls()).toBe(2);
    node.finish();
    await settled();
    expect(calls()).toBe(2);
  });

  it("are left alone when all is done", async () => {
    const { node, calls } = kept();
    node.apply();
    await settled();
    node.finish();
    await settled();
    expect(calls()).toBe(1);
  });
});
