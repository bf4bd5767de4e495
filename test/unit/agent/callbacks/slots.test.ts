/** Work in turns: each owner has a few pieces under way, in the order asked for, and none waits for another owner's. */
import { expect, it } from "vitest";
import { Slots } from "../../../../agent/src/callbacks/slots";

const settled = () => new Promise((resolve) => setImmediate(resolve));

it("does so many at a time for one owner, in order, and another owner's at once", async () => {
  const slots = new Slots(2);
  const begun: string[] = [];
  const ends: Record<string, () => void> = {};
  const work = (name: string) =>
    slots.run(name.slice(0, 1), () => {
      begun.push(name);
      return new Promise<string>((resolve) => {
        ends[name] = () => resolve(name);
      });
    });
  const all = ["a1", "a2", "a3", "a4", "b1"].map(work);
  await settled();
  expect(begun).toEqual(["a1", "a2", "b1"]);
  ends.a2?.();
  expect(await all[1]).toBe("a2");
  await settled();
  expect(begun).toEqual(["a1", "a2", "b1", "a3"]);
  for (const name of ["a1", "a3", "b1"]) ends[name]?.();
  await settled();
  ends.a4?.();
  expect(await Promise.all(all)).toEqual(["a1", "a2", "a3", "a4", "b1"]);
  const again = ["a5", "a6", "a7"].map(work);
  await settled();
  expect(begun.slice(-2)).toEqual(["a5", "a6"]);
  for (const name of ["a5", "a6"]) ends[name]?.();
  await settled();
  ends.a7?.();
  await Promise.all(again);
});

it("gives a place back after work that failed", async () => {
  const slots = new Slots(1);
  await expect(slots.run("a", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(await slots.run("a", async () => 7)).toBe(7);
});
