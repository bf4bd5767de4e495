import { expect, it } from "vitest";
import { until } from "../../lib/until";

it("gives the first answer that is true, over errors and answers that are not", async () => {
  const answers = [() => false as const, () => undefined, () => null, () => 7];
  let asked = 0;
  const probe = () => {
    const answer = answers[asked++];
    if (asked === 2) throw new Error("not there");
    return answer?.();
  };
  expect(await until("a number", 5000, probe)).toBe(7);
  expect(await until("a promise", 5000, async () => "yes", 1)).toBe("yes");
});

it("says at the deadline what it waited for and the last error, and asks once more then", async () => {
  let asked = 0;
  const failing = until("a door", 50, () => Promise.reject(new Error(`shut ${++asked}`)), 10_000);
  await expect(failing).rejects.toThrow("a door: not so within 0.05 s; the last error: shut 2");
  await expect(until("nothing", 0, () => false)).rejects.toThrow(/^nothing: not so within 0 s$/);
});
