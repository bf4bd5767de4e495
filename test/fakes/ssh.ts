/**
 * @file A program named `ssh` for tests, first on PATH: it writes down how it was called and does as it was told. No
 * connection is made; what is tested is what Berth's side says, and what it makes of each answer.
 */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

export interface Behaviour {
  /** Printed before the mark, as a login shell may. */
  banner?: string;
  /** The remote shell never ran: no mark. */
  noShell?: boolean;
  stdout?: string;
  stderr?: string;
  code?: number;
  /** Never ends. */
  hangs?: boolean;
  /** A child keeps the streams open for 15 s after the end, as a shared connection does. */
  lingers?: boolean;
}

export interface SshCall {
  args: string[];
  stdin: string;
}

const PROGRAM = (folder: string) => `#!${process.execPath}
const fs = require("node:fs");
const args = process.argv.slice(2);
let stdin = "";
try { stdin = fs.readFileSync(0, "utf8"); } catch {}
fs.appendFileSync(${JSON.stringify(join(folder, "calls"))}, JSON.stringify({ args, stdin }) + "\\n");
const all = JSON.parse(fs.readFileSync(${JSON.stringify(join(folder, "behaviours"))}, "utf8"));
const asked = args.at(-1);
const act = (/ pool /.test(asked) ? all.older : / declared apply /.test(asked) ? all.apply : all.show) ?? {};
if (act.banner) process.stdout.write(act.banner);
if (!act.noShell) process.stdout.write("BERTH-ANSWER\\n");
if (act.stdout) process.stdout.write(act.stdout);
if (act.stderr) process.stderr.write(act.stderr);
if (act.lingers) require("node:child_process").spawn("sleep", ["15"], { stdio: ["ignore", "inherit", "inherit"], detached: true }).unref();
if (act.hangs) setInterval(() => {}, 1000); else process.exitCode = act.code ?? 0;
`;

export class FakeSsh {
  readonly folder = mkdtempSync(join(tmpdir(), "berth-ssh-"));
  private readonly before = process.env.PATH;

  constructor() {
    const path = join(this.folder, "ssh");
    writeFileSync(path, PROGRAM(this.folder));
    chmodSync(path, 0o755);
    this.does({});
    process.env.PATH = [this.folder, this.before].join(delimiter);
  }

  /** `older`: of a berth that says `pool` and not `declared`. */
  does(behaviours: { show?: Behaviour; apply?: Behaviour; older?: Behaviour }): void {
    writeFileSync(join(this.folder, "behaviours"), JSON.stringify(behaviours));
    rmSync(join(this.folder, "calls"), { force: true });
  }

  /** Answers as `berth declared show` and `apply` do. */
  answers(answers: { show?: unknown; apply?: unknown }): void {
    const one = (value: unknown): Behaviour => ({ stdout: JSON.stringify(value, null, 2) });
    this.does({
      ...(answers.show === undefined ? {} : { show: one(answers.show) }),
      ...(answers.apply === undefined ? {} : { apply: one(answers.apply) }),
    });
  }

  calls(): SshCall[] {
    const path = join(this.folder, "calls");
    if (!existsSync(path)) return [];
    return readFileSync(path, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as SshCall);
  }

  remove(): void {
    process.env.PATH = this.before;
    rmSync(this.folder, { recursive: true, force: true });
  }
}
