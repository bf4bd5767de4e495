/** What a command has of the world: tests give it another one. */

export interface Io {
  env: NodeJS.ProcessEnv;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Standard output: results alone. */
  out(text: string): void;
  /** Standard error: progress and errors. */
  err(text: string): void;
  /** True: whoever reads standard error sees a line redrawn. */
  live: boolean;
  /** All of standard input. */
  stdin(): Promise<string>;
  /** Calls back at each Ctrl-C (or SIGTERM) until the function that it gives is called. */
  onInterrupt(listener: () => void): () => void;
}

/** More than this on standard input is no declaration of grants. */
const MAX_INPUT = 16 * 1024 * 1024;

export function processIo(): Io {
  return {
    env: process.env,
    now: Date.now,
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    live: process.stderr.isTTY === true,
    stdin: readAll,
    onInterrupt: (listener) => {
      process.on("SIGINT", listener);
      process.on("SIGTERM", listener);
      return () => {
        process.off("SIGINT", listener);
        process.off("SIGTERM", listener);
      };
    },
  };
}

async function readAll(): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of process.stdin) {
    const piece = Buffer.from(part);
    size += piece.length;
    if (size > MAX_INPUT) throw new Error(`standard input has more than ${MAX_INPUT} bytes`);
    parts.push(piece);
  }
  return Buffer.concat(parts).toString("utf8");
}
