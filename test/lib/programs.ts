/** The programs that tests call beside what Berth needs; scripts/lib/test-tools.mjs lists them. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export type TestProgram = "shellcheck" | "sshd" | "ssh-keygen" | "nginx";

/** Under `npm test`, which installs them: there a missing program is a failure. */
const required = process.env.BERTH_TEST_TOOLS === "required";

/** Where a program is; sshd's folder is not on every account's PATH. */
function find(program: TestProgram): string | undefined {
  const env = { PATH: `${process.env.PATH}:/usr/local/sbin:/usr/sbin:/sbin` };
  const { stdout } = spawnSync("/bin/sh", ["-c", 'command -v "$1"', "sh", program], {
    env,
    encoding: "utf8",
  });
  return stdout.trim() || undefined;
}

/**
 * For `skipIf`: whether a test that calls one of the programs is left out. Under `npm test` none is: it runs, and
 * fails where the program is missing.
 */
export function missing(...programs: TestProgram[]): boolean {
  return !required && programs.some((program) => find(program) === undefined);
}

/**
 * Where a program is; sshd must be called by its whole path.
 * @throws Error when it is not here
 */
export function programPath(program: TestProgram): string {
  const path = find(program);
  if (path === undefined) throw new Error(`${program} is missing; \`npm run check\` tells how to get it`);
  return path;
}

function runShellcheck(args: readonly string[], input: string): string {
  const { error, stdout, stderr } = spawnSync(programPath("shellcheck"), args, { input, encoding: "utf8" });
  if (error) throw error;
  return `${stdout}${stderr}`;
}

let version: string | undefined;

/**
 * What shellcheck finds in a script, a finding a line. Nothing: an empty text. It takes seconds for a long script, so a script
 * that it passed is noted in the cache and not looked at again by the same version of it with the same options.
 * @param args such as `-s sh`, or `-e` with the codes of findings that are no fault there
 */
export function shellcheck(script: string, ...args: string[]): string {
  const check = () => runShellcheck(["-f", "gcc", ...args, "-"], script);
  const cache = process.env.BERTH_CACHE;
  if (!cache) return check();
  version ??= runShellcheck(["--version"], "");
  const asked = createHash("sha256")
    .update(JSON.stringify([version, args, script]))
    .digest("hex");
  const folder = join(cache, "shellcheck");
  const passed = join(folder, asked);
  if (existsSync(passed)) return "";
  const found = check();
  if (found === "") {
    mkdirSync(folder, { recursive: true });
    writeFileSync(passed, "");
  }
  return found;
}
