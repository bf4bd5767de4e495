/** Who waits for whom in the repository cache. */
import { describe, expect, it } from "vitest";
import { Turns } from "../../../../agent/src/repositories/turns";
import { NotGiven } from "../../../../agent/src/repositories/types";

describe("a turn", () => {
  const never = new AbortController().signal;
  const soon = () => new Promise((resolve) => setImmediate(resolve));
  /** Who has one, in the order in which they got it. */
  function taking(turns: Turns) {
    const got: string[] = [];
    const take = async (owner: string, key: string, signal = never) => {
      const turn = await turns.take({ owner, key, signal });
      got.push(`${owner} ${key}`);
      return turn;
    };
    return { got, take };
  }

  it("is one of an owner's few, and those of others are not behind all that one owner asked for", async () => {
    const { got, take } = taking(new Turns({ atATime: 3, atATimeOfOne: 2 }));
    const all = Array.from({ length: 6 }, (_, at) => take("alice", `a${at}`));
    all.push(take("bob", "b0"), take("carol", "c0"));
    await soon();
    expect(got).toEqual(["alice a0", "alice a1", "bob b0"]);
    (await all[0])?.giveBack();
    await soon();
    expect(got.at(-1)).toBe("carol c0");
  });

  it("holds no repository while it waits for another of the owner's own", async () => {
    const { got, take } = taking(new Turns({ atATime: 8, atATimeOfOne: 1 }));
    const first = await take("alice", "x");
    const second = take("alice", "y");
    await take("bob", "y");
    expect(got).toEqual(["alice x", "bob y"]);
    first.unlock();
    first.giveBack();
    await soon();
    expect(got).toHaveLength(2);
    expect(second).toBeInstanceOf(Promise);
  });

  it("of a repository is one at a time, and nothing is left of any", async () => {
    const turns = new Turns({ atATime: 8, atATimeOfOne: 3 });
    const { got, take } = taking(turns);
    const first = await take("alice", "x");
    const leaving = new AbortController();
    const left = take("bob", "x", leaving.signal);
    const last = take("carol", "x");
    leaving.abort(new Error("gone"));
    await expect(left).rejects.toThrow("gone");
    expect([got, turns.isInUse("x"), turns.underWay]).toEqual([["alice x"], true, 1]);
    for (let time = 0; time < 2; time++) first.unlock();
    const turn = await last;
    first.unlock();
    expect([turns.isInUse("x"), turns.underWay]).toEqual([true, 2]);
    turn.unlock();
    for (const one of [first, turn, first]) one.giveBack();
    expect([turns.isInUse("x"), turns.underWay]).toEqual([false, 0]);
  });

  it("is refused to an owner of whom too many wait, and to nobody else", async () => {
    const turns = new Turns({ atATime: 8, atATimeOfOne: 1 });
    const leaving = new AbortController();
    const asks = Array.from({ length: 34 }, (_, at) =>
      turns.take({ owner: "alice", key: `a${at}`, signal: leaving.signal }),
    );
    await expect(asks.at(-1)).rejects.toThrow(NotGiven);
    expect(await turns.take({ owner: "bob", key: "b", signal: never })).toBeDefined();
    leaving.abort(new Error("gone"));
    expect((await Promise.allSettled(asks)).filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });
});
