/** A folder of the node as a tar archive. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { Readable } from "node:stream";

export interface Account {
  uid: number;
  gid: number;
}

const MOST_WORDS = 500;

/**
 * All that is in the folder, as its owner `account`. The folder itself is not in it: whoever unpacks it has one. No link in it is
 * followed, and nothing is kept in memory: it is read as fast as it is taken.
 *
 * @param signal ends it, and its reason is then the stream's error
 */
export function archiveOf(folder: string, { uid, gid }: Account, signal: AbortSignal): Readable {
  return Readable.from(pieces(folder, { uid, gid }, signal), { objectMode: false });
}

async function* pieces(folder: string, { uid, gid }: Account, signal: AbortSignal): AsyncGenerator<Buffer> {
  signal.throwIfAborted();
  const names = await readdir(folder, { encoding: "buffer" });
  const owner = ["--numeric-owner", `--owner=${uid}`, `--group=${gid}`];
  const what = ["--null", "--verbatim-files-from", "--files-from=-"];
  const child = spawn(
    "tar",
    ["--create", "--file=-", "--format=gnu", ...owner, `--directory=${folder}`, ...what],
    {
      stdio: ["pipe", "pipe", "pipe"],
      env: { PATH: process.env.PATH, LC_ALL: "C" },
    },
  );
  const ended = once(child, "close") as Promise<[number | null]>;
  // Who waits for it has the error.
  ended.catch(() => {});
  let said = "";
  child.stderr.on("data", (part: Buffer) => {
    said = `${said}${part}`.slice(0, MOST_WORDS);
  });
  // It may end without reading.
  child.stdin.on("error", () => {});
  child.stdin.end(Buffer.concat(names.flatMap((name) => [Buffer.from("./"), name, Buffer.from([0])])));
  const stop = () => child.kill("SIGKILL");
  signal.addEventListener("abort", stop, { once: true });
  try {
    yield* child.stdout;
    const [code] = await ended;
    signal.throwIfAborted();
    if (code !== 0) throw new Error(`tar ended with ${code ?? "a signal"}: ${said.trim()}`);
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
  }
}
