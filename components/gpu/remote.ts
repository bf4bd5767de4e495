import { spawn } from "node:child_process";
import type { Refusal } from "../../core/gpu";

/**
 * One command of `berth` on a node, over one SSH connection, as root. The host key is checked, nothing is asked of a
 * person, and every call ends: with an answer, or by its own deadline, since Pulumi's Ctrl-C never gets here.
 */

export interface Reach {
  /** `USER@HOST:PORT`, an IPv6 address in brackets. */
  target: string;
  sshOptions: readonly string[];
}

export type Told =
  | { kind: "answer"; value: unknown }
  /** The node is there, and has no `berth`: nothing was set up yet, or all of it is gone. */
  | { kind: "absent" }
  /** No connection, or it broke, or took too long. */
  | { kind: "unreachable"; reason: string }
  /** Another host key than the one that is known. */
  | { kind: "untrusted"; reason: string }
  /** `berth` said no; `refusal` where berthd said why. */
  | { kind: "refused"; reason: string; refusal?: Refusal }
  /** It said something that is no answer. */
  | { kind: "garbage"; reason: string };

export interface CallOptions {
  /** Goes to standard input as JSON. */
  input?: unknown;
  /** Milliseconds for all of it. */
  deadline: number;
}

const BERTH = "/usr/local/bin/berth";
/** Before the answer: what shells and PAM print at a sign-in ends here. */
const MARK = "BERTH-ANSWER";
const NOT_THERE = 127;
const SSH_FAILED = 255;
/** Thousands of GPUs fit in it. */
const MOST = 32 * 1024 * 1024;

/** @param words of `berth`: plain ones, which no shell changes. */
export async function askBerth(
  reach: Reach,
  words: readonly string[],
  { input, deadline }: CallOptions,
): Promise<Told> {
  const to = /^([^@\s]+)@(\[[^\]\s]+\]|[^:\s]+):(\d{1,5})$/.exec(reach.target);
  if (!to) return { kind: "unreachable", reason: `${reach.target} is not USER@HOST:PORT` };
  const [, user = "", host = "", port = ""] = to;
  const sudo = user === "root" ? "" : "sudo -n ";
  const script = `printf "${MARK}\\n"; test -x ${BERTH} || exit ${NOT_THERE}; exec ${sudo}${BERTH} ${words.join(" ")}`;
  const args = [
    // The person's own configuration may send a name elsewhere, or trust more.
    ...["-F", "none", ...reach.sshOptions, "-o", "LogLevel=ERROR"],
    ...["-l", user, "-p", port, "--", host.replace(/^\[|\]$/g, "")],
    // In single quotes for whatever shell the login has.
    `exec sh -c '${script}'`,
  ];
  return judge(await run(args, input === undefined ? "" : JSON.stringify(input), deadline));
}

interface Ended {
  /** Null: it was ended by a signal, or never began. */
  code: number | null;
  stdout: string;
  stderr: string;
  /** Why it did not end by itself. */
  broken?: string;
}

function judge({ code, stdout, stderr, broken }: Ended): Told {
  if (broken !== undefined) return { kind: "unreachable", reason: broken };
  const from = stdout.indexOf(`${MARK}\n`);
  if (from < 0) {
    const reason = said(stderr) || `ssh ended with ${code}`;
    const foreign = /host key verification failed|remote host identification has changed/i.test(stderr);
    return { kind: foreign ? "untrusted" : "unreachable", reason };
  }
  const text = stdout.slice(from + MARK.length + 1);
  if (code === NOT_THERE) return { kind: "absent" };
  if (code === null || code === SSH_FAILED)
    return { kind: "unreachable", reason: said(stderr) || "the connection broke" };
  const value = parsed(text);
  if (code !== 0) {
    const refusal = refusalIn(value) ?? refusalIn(parsed(stderr));
    if (refusal) return { kind: "refused", reason: refusalText(refusal), refusal };
    return { kind: "refused", reason: said(stderr) || said(text) || `berth ended with ${code}` };
  }
  return value === undefined
    ? { kind: "garbage", reason: `berth printed no JSON: ${said(text) || "nothing"}` }
    : { kind: "answer", value };
}

function run(args: readonly string[], input: string, deadline: number): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn("ssh", args, { stdio: ["pipe", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    let broken: string | undefined;
    const stop = (why: string) => {
      broken ??= why;
      child.kill("SIGKILL");
    };
    const timer = setTimeout(() => stop(`no answer within ${deadline / 1000} s`), deadline);
    const end = (code: number | null) => {
      clearTimeout(timer);
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
      resolve({ code, stdout, stderr, ...(broken === undefined ? {} : { broken }) });
    };
    child.stdout.setEncoding("utf8").on("data", (part: string) => {
      stdout += part;
      if (stdout.length > MOST) stop(`the answer has more than ${MOST} characters`);
    });
    child.stderr.setEncoding("utf8").on("data", (part: string) => {
      stderr = (stderr + part).slice(-16_384);
    });
    child.on("error", (error: NodeJS.ErrnoException) => {
      broken = error.code === "ENOENT" ? "there is no ssh on this computer" : error.message;
      end(null);
    });
    child.on("close", end);
    // A connection that stays for the next call may hold the streams: what was said is in them by now.
    child.on("exit", (code) => setTimeout(() => end(code), 1000).unref());
    child.stdin.on("error", () => undefined); // It may end without reading: its exit code tells why.
    child.stdin.end(input);
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refusalIn(value: unknown): Refusal | undefined {
  const error = (value as { error?: Partial<Refusal> } | undefined)?.error;
  return typeof error?.code === "string" && typeof error.message === "string"
    ? (error as Refusal)
    : undefined;
}

/** What a refusal says, in one line: the rule, what happened, what there is, how to mend it. */
export function refusalText({ rule, message, allowed, fix }: Refusal): string {
  const parts = [
    rule === undefined || message.includes(rule) ? "" : `${rule}: `,
    message.replace(/\.?$/, "."),
    allowed === undefined ? "" : ` Allowed: ${allowed.replace(/\.?$/, ".")}`,
    fix === undefined ? "" : ` Mend: ${fix.replace(/\.?$/, ".")}`,
  ];
  return parts.join("");
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal would obey is what is looked for
const ORDERS = /[\u0000-\u001f\u007f-\u009f]/g;

/** The end of what a program said, for one line of a terminal. */
function said(text: string): string {
  const lines = text.split("\n").map((line) => line.trim().replace(ORDERS, "?"));
  const plain = lines.filter(Boolean).slice(-4).join("; ");
  return plain.length > 400 ? `…${plain.slice(-400)}` : plain;
}
