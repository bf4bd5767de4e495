import { expect, it } from "vitest";
import { must, run } from "../../lib/run";

it("gives the code and both streams, and passes input, environment and folder", async () => {
  const script = 'cat; echo "$A $PWD"; echo bad >&2; exit 3';
  const env = { ...process.env, A: "a" };
  const ran = await run("sh", ["-c", script], { input: "in\n", env, cwd: "/" });
  expect(ran).toMatchObject({ code: 3, stdout: "in\na /\n", stderr: "bad\n" });
  expect(ran.text.split("\n").sort()).toEqual(["", "a /", "bad", "in"]);
});

it("says of a signal -1, and rejects a program that is missing or too slow", async () => {
  expect((await run("sh", ["-c", "kill -9 $$"])).code).toBe(-1);
  await expect(run("/nowhere/program", [])).rejects.toThrow("ENOENT");
  const slow = run("sh", ["-c", "echo busy; exec sleep 60"], { deadline: 200 });
  await expect(slow).rejects.toThrow(/^sh -c .* not done after 0\.2 s\nbusy$/s);
});

it("must end with a code that is expected", async () => {
  await expect(must("sh", ["-c", "echo told; exit 4"])).rejects.toThrow(/ended with 4:\ntold$/);
  expect((await must("sh", ["-c", "exit 4"], { okCodes: [0, 4] })).code).toBe(4);
  await expect(must("sh", ["-c", "exit 0"], { okCodes: [4] })).rejects.toThrow("ended with 0");
});
