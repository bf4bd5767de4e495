import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** True when this machine has the program: the tests that need it say that they were skipped. */
export function has(program: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;
}

export interface Finished {
  status: number | null;
  stdout: string;
  stderr: string;
}

export function bash(
  script: string,
  input: string | undefined,
  env: NodeJS.ProcessEnv,
  timeout = 60_000,
): Finished {
  const done = spawnSync("bash", ["-c", script], {
    input: input ?? "",
    encoding: "utf8",
    env,
    timeout,
  });
  return { status: done.status, stdout: done.stdout, stderr: done.stderr };
}

export interface FakeCall {
  /** The arguments of docker, as they arrived. */
  argv: string[];
  /** All of its standard input. */
  stdin: string;
}

/**
 * A place for one run of a rendered set-up, with a `docker` (an exported bash function: the script sets PATH itself)
 * that records each call and answers `unchanged`, or what the file `answers/PROGRAM` (a bash script) says.
 */
export class FakeNode {
  readonly root = mkdtempSync(join(tmpdir(), "berth-setup-"));
  readonly paths = {
    logs: join(this.root, "log"),
    state: join(this.root, "state"),
    lock: join(this.root, "lock"),
  };
  readonly log = join(this.paths.logs, "setup-alice.log");

  constructor() {
    mkdirSync(join(this.root, "calls"));
    mkdirSync(join(this.root, "answers"));
    const docker = join(this.root, "docker");
    writeFileSync(
      docker,
      `#!/bin/bash
call=$(mktemp -d ${this.root}/calls/$(printf '%s' "$EPOCHREALTIME").XXXXXX)
printf '%s\\0' "$@" >"$call/argv"
cat >"$call/stdin"
program=
for word; do case $word in berth-setuptest*) ;; berth-*) program=$word; break ;; esac; done
answer=${this.root}/answers/\${program#berth-}
if [ -f "$answer" ]; then exec bash "$answer" "$@"; fi
case "$program" in berth-ready | "") ;; *) echo unchanged ;; esac
`,
    );
    chmodSync(docker, 0o755);
  }

  /** `script` runs in place of the program: its output is the answer, its exit status the program's. */
  answer(program: string, script: string): void {
    writeFileSync(join(this.root, "answers", program), script);
  }

  run(command: string, stdin: string | undefined): Finished {
    return bash(command, stdin, {
      PATH: process.env.PATH,
      HOME: this.root,
      "BASH_FUNC_docker%%": `() { ${this.root}/docker "$@"; }`,
      // Rendered for root; the fake has nothing that needs it.
      "BASH_FUNC_id%%": "() { echo 0; }",
    });
  }

  calls(): FakeCall[] {
    const folder = join(this.root, "calls");
    return readdirSync(folder)
      .sort()
      .map((name) => ({
        argv: readFileSync(join(folder, name, "argv"), "utf8")
          .split("\0")
          .slice(0, -1),
        stdin: readFileSync(join(folder, name, "stdin"), "utf8"),
      }));
  }

  /** The arguments that one program got, call by call. */
  arguments(program: string): string[][] {
    return this.calls()
      .filter(({ argv }) => argv.includes(`berth-${program}`))
      .map(({ argv }) => argv.slice(argv.indexOf(`berth-${program}`) + 1));
  }

  logText(): string {
    return existsSync(this.log) ? readFileSync(this.log, "utf8") : "";
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

export function parseSetupFacts(stdout: string): {
  changed: string[];
  steps: { name: string; status: string; seconds: number; note?: string }[];
} {
  const lines = stdout.trimEnd().split("\n");
  if (lines.length !== 1 || !lines[0]?.startsWith("BERTH_FACTS ")) throw new Error(`not facts: ${stdout}`);
  return JSON.parse(lines[0].slice("BERTH_FACTS ".length));
}
