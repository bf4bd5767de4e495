import { execFile } from "node:child_process";
import type { SliceExec } from "./apply";

/** Starting hundreds of slices takes systemd seconds; a minute and a half is what it gives a unit itself. */
const DEADLINE_MS = 90_000;

/** The real one. A program that is not there ends with 127, one that did not end in time with 124. */
export const systemExec: SliceExec = (file, args) =>
  new Promise((resolve) => {
    const env = { PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" };
    const options = { env, timeout: DEADLINE_MS, killSignal: "SIGKILL" as const, maxBuffer: 16 * 2 ** 20 };
    execFile(file, [...args], options, (error, stdout, stderr) => {
      if (!error) resolve({ code: 0, stdout, stderr });
      else if (typeof error.code === "number") resolve({ code: error.code, stdout, stderr });
      else if (error.killed)
        resolve({ code: 124, stdout, stderr: `${stderr}${file} did not end in ${DEADLINE_MS / 1000} s` });
      else resolve({ code: 127, stdout, stderr: `${stderr}${error.message}` });
    });
  });
