import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
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

describe("the stack traces of a program in TypeScript", () => {
  let folder = "";
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it("name the lines that were written, where the file is translated and where it was before", () => {
    folder = mkdtempSync(join(tmpdir(), "berth-transpile-"));
    const file = join(folder, "program.ts");
    const erased = "interface Erased {\n  one: string;\n}\n\n";
    writeFileSync(
      file,
      `${erased}export function fails(given: Erased): never {\n  throw new Error(given.one);\n}\n`,
    );
    const program = `
      require("ts-node").register({ transpileOnly: true, project: "tsconfig.json" });
      try { require(${JSON.stringify(file)}).fails({ one: "mine" }); } catch (error) { console.log(error.stack); }`;
    for (const when of ["translated now", "translated before"]) {
      const env = { ...process.env, BERTH_CACHE: folder };
      const stack = execFileSync(process.execPath, ["-e", program], { cwd: ROOT, env, encoding: "utf8" });
      expect(stack, when).toContain(`fails (${file}:6:9)`);
      expect(stack.split("\n")[0], when).toBe("Error: mine");
    }
  });
});
