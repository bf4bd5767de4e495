/** A command in a container with a terminal that somebody types into. */
import type { Duplex } from "node:stream";
import { finished } from "node:stream/promises";
import { begin, type Command, type Host, type TerminalSize } from "./command";

export interface Terminal {
  /**
   * What is typed, and what is shown, as raw bytes; both wait for whoever is slow. Destroying it hangs up: the command and
   * what it runs are told so, and it is killed if it stays. It ends when the command does.
   */
  duplex: Duplex;
  /** After the command's end it does nothing. */
  resize(cols: number, rows: number): Promise<void>;
  /** The command's exit code. Undefined: dockerd knows it no more, as when its container is gone. */
  ended: Promise<number | undefined>;
}

export interface TerminalOptions {
  /** Default: 80 columns, 24 rows. */
  size?: TerminalSize;
  /** Hangs up. */
  signal?: AbortSignal;
}

/** The first version of the API in which a terminal has its size from its start on. */
const SIZED_FROM = 42;

export async function openTerminal(
  host: Host,
  container: string,
  command: Command,
  { size = { cols: 80, rows: 24 }, signal }: TerminalOptions,
): Promise<Terminal> {
  signal?.throwIfAborted();
  const running = await begin(host, container, command, { tty: true, stdin: true, size });
  const duplex = running.socket;
  const hangUp = () => duplex.destroy();
  signal?.addEventListener("abort", hangUp, { once: true });
  if (signal?.aborted) hangUp();
  const ended = finished(duplex)
    // Closed without an end, from here or from there: as good as ended.
    .catch(() => {})
    .then(() => running.hangUp())
    .finally(() => signal?.removeEventListener("abort", hangUp));
  // Whoever waits for it has the error.
  ended.catch(() => {});
  const resize = async (cols: number, rows: number) => {
    if (!duplex.destroyed && !duplex.readableEnded) await running.resize(cols, rows);
  };
  try {
    if (Number(host.transport.api?.split(".")[1]) < SIZED_FROM) await resize(size.cols, size.rows);
  } catch (error) {
    hangUp();
    throw error;
  }
  return { duplex, resize, ended };
}
