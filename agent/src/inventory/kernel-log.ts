import { open } from "node:fs/promises";
import { type Exec, exec as realExec } from "./exec";

export interface KernelLine {
  text: string;
  /** When, in milliseconds since the epoch; undefined where the log does not say. */
  at?: number;
}

/** The kernel's messages, from where the last reading ended. */
export interface KernelLog {
  /** `cursor` is what an earlier reading gave; without it, everything since the machine started. */
  read(cursor?: string): Promise<{ lines: KernelLine[]; cursor?: string }>;
}

const LIMITS = { deadlineMs: 10_000, maxBytes: 64 * 1024 * 1024 };

/** The systemd journal. Lines that do not concern the NVIDIA driver are left out. */
export function journalLog(exec: Exec = realExec): KernelLog {
  const ask = (cursor?: string) =>
    exec(
      "journalctl",
      [
        "--dmesg",
        "--quiet",
        "--no-pager",
        "--output=json",
        "--output-fields=MESSAGE",
        ...(cursor === undefined ? [] : [`--after-cursor=${cursor}`]),
      ],
      LIMITS,
    );
  return {
    async read(cursor) {
      let answer = await ask(cursor);
      // A cursor of a journal that is gone: start again; what was seen before is known by its time.
      if (cursor !== undefined && !answer.timedOut && answer.code !== 0) answer = await ask();
      if (answer.timedOut) throw new Error(`journalctl did not end within ${LIMITS.deadlineMs / 1000} s`);
      if (answer.tooMuch) throw new Error("journalctl printed without an end");
      if (answer.code !== 0)
        throw new Error(`journalctl ended with ${answer.code}: ${answer.stderr.trim().slice(0, 200)}`);
      const lines: KernelLine[] = [];
      let last = cursor;
      for (const line of answer.stdout.split("\n")) {
        if (line.trim() === "") continue;
        const entry = JSON.parse(line) as Record<string, unknown>;
        if (typeof entry.__CURSOR === "string") last = entry.__CURSOR;
        // Text that is no UTF-8 comes as an array of numbers; the driver writes ASCII.
        if (typeof entry.MESSAGE !== "string" || !entry.MESSAGE.includes("NVRM:")) continue;
        const at = Number(entry.__REALTIME_TIMESTAMP) / 1000;
        lines.push({ text: entry.MESSAGE, ...(Number.isFinite(at) && { at }) });
      }
      return { lines, ...(last !== undefined && { cursor: last }) };
    },
  };
}

/** A file of lines that grows; for nodes with declared GPUs, whose "kernel" says what a test writes. */
export function fileLog(path: string): KernelLog {
  return {
    async read(cursor) {
      let file: Awaited<ReturnType<typeof open>>;
      try {
        file = await open(path, "r");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return { lines: [], cursor: "0" };
        throw error;
      }
      try {
        const { size } = await file.stat();
        const from = Number(cursor ?? 0) <= size ? Number(cursor ?? 0) : 0;
        const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(size - from), position: from });
        const whole = buffer.subarray(0, bytesRead).lastIndexOf(10) + 1;
        const lines = buffer.subarray(0, whole).toString("utf8").split("\n").filter(Boolean);
        return { lines: lines.map((text) => ({ text })), cursor: String(from + whole) };
      } finally {
        await file.close();
      }
    },
  };
}
