/** What a command's end becomes: outputs as the official plugin's, errors that give nothing away. */

import { ProviderError } from "@berth/plugin-base";
import { describe, expect, it } from "vitest";
import { commandFor, outputsOf, previousOutputs, requireSuccess, streamsOf } from "../src/outcome";

const outcome = (stdout: string, stderr = "", code: number | null = 0) => ({
  stdout: Buffer.from(stdout),
  stderr: Buffer.from(stderr),
  code,
});

describe("outcome", () => {
  it("takes one newline off the end, like the official plugin", () => {
    expect(outputsOf(outcome("a\n\n", "b"))).toEqual({ stdout: "a\n", stderr: "b" });
  });

  it("runs create for an update without an update command, and no delete without one", () => {
    expect(commandFor("update", { create: "c", update: "u" })).toBe("u");
    expect(commandFor("update", { create: "c" })).toBe("c");
    expect(commandFor("delete", { create: "c" })).toBeUndefined();
  });

  it("hands the last output on, unless told not to", () => {
    expect(previousOutputs({ stdout: "o", stderr: "" })).toEqual({ PULUMI_COMMAND_STDOUT: "o" });
    expect(previousOutputs({ stdout: "o", addPreviousOutputInEnv: false })).toEqual({});
  });

  it("fails with status and the end of stderr, with command, stdin and environment masked", () => {
    const props = {
      create: "run --token abcdef",
      stdin: '{\n  "password": "hunter2!"\n}',
      environment: { TOKEN: "envsecret" },
    };
    const stderr = `${"old line\n".repeat(100)}sh: run --token abcdef: bad\n  "password": "hunter2!"\nenvsecret\nthe end\n`;
    let message = "";
    try {
      requireSuccess(outcome("", stderr, 5), "create", "root@h:22", props);
    } catch (error) {
      expect(error).toBeInstanceOf(ProviderError);
      message = (error as Error).message;
    }
    expect(message).toMatch(/^the create command on root@h:22 ended with exit code 5; last lines of stderr:/);
    expect(message).toContain("the end");
    for (const hidden of ["abcdef", "hunter2", "envsecret"]) expect(message).not.toContain(hidden);
    expect(message.split("\n").length).toBeLessThanOrEqual(21);
  });

  it("bounds a single endless line", () => {
    expect(() => requireSuccess(outcome("", "x".repeat(1e6), 1), "update", "h", {})).toThrow(/^.{0,4300}$/s);
  });

  it("shows output as `logging` says, and none when a secret goes in", () => {
    const bag = (values: Record<string, string>, secrets: string[][] = []) => ({ values, secrets });
    expect(streamsOf(bag({ create: "c" }, [["connection"]]))).toEqual({ stdout: true, stderr: true });
    expect(streamsOf(bag({ create: "c", logging: "stderr" }))).toEqual({ stdout: false, stderr: true });
    expect(streamsOf(bag({ create: "c", logging: "none" }))).toEqual({ stdout: false, stderr: false });
    expect(streamsOf(bag({ create: "c", stdin: "s" }, [["stdin"]]))).toEqual({
      stdout: false,
      stderr: false,
    });
  });
});
