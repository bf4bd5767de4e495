import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { ROOT } from "../../../scripts/lib/paths.mjs";

/** The transpiler changes the process it runs in, so it gets one of its own. */
function traces(env: Record<string, string>): { promise: string; own: string; limit: number } {
  const program = `
    const { create } = require("./scripts/lib/transpile.cjs");
    create({ service: { config: { options: {} } } });
    const { debuggablePromise } = require("@pulumi/pulumi/runtime/debuggable");
    const promise = Promise.resolve();
    debuggablePromise(Promise.resolve(), "the first");
    debuggablePromise(promise, "here");
    const own = new Error("mine").stack;
    console.log(JSON.stringify({ promise: promise._debugStackTrace ?? "none", own, limit: Error.stackTraceLimit }));`;
  const { PULUMI_DEBUG_PROMISE_LEAKS: _, ...outer } = process.env;
  return JSON.parse(
    execFileSync(process.execPath, ["-e", program], {
      cwd: ROOT,
      env: { ...outer, ...env },
      encoding: "utf8",
    }),
  );
}

describe("the stack traces that Pulumi's SDK takes of promises", () => {
  it("are left out, while errors keep theirs", () => {
    const { promise, own, limit } = traces({});
    expect(promise).toBe("none");
    expect(own).toMatch(/^Error: mine\n +at /);
    expect(limit).toBe(10);
  });

  it("are whole where leaked promises are looked for", () => {
    expect(traces({ PULUMI_DEBUG_PROMISE_LEAKS: "1" }).promise).toMatch(/^Error\n +at debuggablePromise /);
  });
});
