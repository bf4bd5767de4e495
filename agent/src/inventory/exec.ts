import { spawn } from "node:child_process";

export interface ExecResult {
  /** Null: it was ended by a signal, or still runs. */
  code: number | null;
  stdout: string;
  stderr: string;
  /** It did not end in time; what it had printed until then is in `stdout`. */
  timedOut: boolean;
  /** It printed more than allowed, and was ended. */
  tooMuch: boolean;
  /** Ends when the process is really gone: one that hangs in the driver survives SIGKILL. */
  gone: Promise<void>;
}

/** Runs a program. Rejects when it cannot be started at all (`ENOENT`, `EACCES`). */
export type Exec = (
  file: string,
  args: readonly string[],
  limits: { deadlineMs: number; maxBytes: number },
) => Promise<ExecResult>;

/**
 * The real {@link Exec}: the program leads a process group of its own, and at the deadline the whole group is killed.
 * The answer comes at the deadline, not when the process is gone: a process in an uninterruptible system call of the
 * driver ends whenever the driver likes.
 */
export const exec: Exec = (file, args, { deadlineMs, maxBytes }) =>
  new Promise((resolve, reject) => {
    // The caller's own LD_PRELOAD, CUDA_VISIBLE_DEVICES and language have no say in what the driver prints.
    const env = { PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" };
    const child = spawn(file, [...args], { detached: true, stdio: ["ignore", "pipe", "pipe"], env });
    const gone = new Promise<void>((done) => child.once("exit", () => done()));
    const texts: Buffer[][] = [[], []];
    let bytes = 0;
    let settled = false;

    const killGroup = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch (error) {
        // ESRCH: all of the group ended in the meantime.
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
      }
    };
    const settle = (code: number | null, timedOut: boolean, tooMuch: boolean) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      if (timedOut || tooMuch) {
        killGroup();
        child.stdout.destroy();
        child.stderr.destroy();
        child.unref();
      }
      const [stdout = "", stderr = ""] = texts.map((parts) => Buffer.concat(parts).toString("utf8"));
      resolve({ code, stdout, stderr, timedOut, tooMuch, gone });
    };
    const timer = setTimeout(() => settle(null, true, false), deadlineMs);
    for (const [i, stream] of [child.stdout, child.stderr].entries())
      stream.on("data", (part: Buffer) => {
        bytes += part.length;
        if (bytes > maxBytes) return settle(null, false, true);
        texts[i]?.push(part);
      });
    child.once("error", (error) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      reject(error);
    });
    // `close`, not `exit`: output that is still in the pipe belongs to the answer.
    child.once("close", (code) => settle(code, false, false));
  });
