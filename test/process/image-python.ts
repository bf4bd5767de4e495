import { execFileSync } from "node:child_process";
import { resolve } from "node:path";

/** Where the workspace image's Python programs are. */
export const WORKSPACE = resolve("images/workspace/root/usr/local/lib/berth");

/** Runs Python and gives what it prints as JSON. */
export function python(code: string, folder: string, ...args: string[]) {
  const program = `import sys, json; sys.dont_write_bytecode = True; sys.path.insert(0, sys.argv[1])\n${code}`;
  return JSON.parse(execFileSync("python3", ["-I", "-c", program, folder, ...args], { encoding: "utf8" }));
}
