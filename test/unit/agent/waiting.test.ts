/** Things that are done one after another. */
import { describe, expect, it } from "vitest";
import { InTurn } from "../../../agent/src/waiting";

describe("things in turn", () => {
  it("are done one at a time, in the order in which they were asked for, also after a failure", async () => {
    const turns = new InTurn();
    const log: string[] = [];
    const work =
      (name: string, fail = false) =>
      async () => {
        log.push(`${name} begins`);
        await new Promise((resolve) => setImmediate(resolve));
        log.push(`${name} ends`);
        if (fail) throw new Error(name);
        return name;
      };
    const all = await Promise.allSettled([
      turns.run(work("a")),
      turns.run(work("b", true)),
      turns.run(work("c")),
    ]);
    expect(all.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(log).toEqual(["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]);
  });
});
