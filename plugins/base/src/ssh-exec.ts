/** One session on a connection: how it is opened, fed, gathered and ended. */
import type { Client, ClientChannel } from "ssh2";
import type { PoolEntry } from "./ssh-entry";
import type { Limits } from "./ssh-limits";
import { type ExecOptions, type ExecResult, SshError } from "./ssh-types";

const DEFAULT_MAX_OUTPUT = 16 * 1024 * 1024;
/** A process that was told to end has this long (TERM, then KILL) before its channel is given up. */
const STOP_MS = 10_000;
/** The end of a channel has this long to come; the other side may never answer. */
const CLOSE_MS = 1_000;
/** How a remote process ended. Filled in from the first moment on, for a short one ends in the same packet. */
export interface Ending {
  code?: number | null;
  signal?: string;
  readonly closed: Promise<void>;
}

export interface Started {
  readonly channel: ClientChannel;
  readonly ending: Ending;
}

/** The server refused to open a session. */
export class OpenRefused extends Error {}

/** ssh2 gives the server's reason code with a refused channel; other failures have none. */
function channelError(error: Error): Error {
  return "reason" in error
    ? new OpenRefused(`the server refused one more session (${error.message})`)
    : error;
}

/**
 * Sends a command.
 *
 * @throws SshError, or {@link OpenRefused}
 */
export function startCommand(
  client: Client,
  command: string,
  signal: AbortSignal,
  { address, sessions }: PoolEntry,
): Promise<Started> {
  return new Promise((resolve, reject) => {
    const stop = (): void =>
      reject(new SshError("cancelled", `starting a command on ${address} was cancelled`));
    const gone = (): void => reject(new SshError("channel", `the connection to ${address} was lost`));
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    client.once("close", gone);
    const settle = (): void => {
      signal.removeEventListener("abort", stop);
      client.removeListener("close", gone);
    };
    client.exec(command, (error, channel) => {
      settle();
      if (error !== undefined) return reject(channelError(error));
      sessions?.started(channel);
      if (signal.aborted) {
        // Nobody waits for it any more.
        channel.resume();
        channel.stderr.resume();
        void sessions?.end(channel).then(() => channel.close());
      }
      resolve({ channel, ending: watch(channel) });
    });
  });
}

function watch(channel: ClientChannel): Ending {
  const ending: Ending = { closed: new Promise((resolve) => channel.once("close", () => resolve())) };
  channel.on("exit", (code: number | null, signal?: string) => {
    ending.code = code;
    if (signal !== undefined) ending.signal = signal.replace(/^SIG/, "");
  });
  channel.on("error", () => {}); // writing to a process that has ended; its exit says more
  return ending;
}

/** Feeds stdin, gathers both outputs, and ends the remote process when the limits say so. */
export function collect(
  { channel, ending }: Started,
  endProcess: () => Promise<void>,
  address: string,
  options: ExecOptions,
  limits: Limits,
): Promise<ExecResult> {
  const max = options.maxOutput ?? DEFAULT_MAX_OUTPUT;
  return new Promise((resolve, reject) => {
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    const bytes = { out: 0, err: 0 };
    let failure: SshError | undefined;
    let settled = false;
    let timer: NodeJS.Timeout | undefined;
    const end = (error: SshError): void => {
      if (failure !== undefined) return;
      failure = error;
      const giveUp = (): void => {
        channel.close();
        timer = setTimeout(settle, CLOSE_MS);
      };
      timer = setTimeout(giveUp, STOP_MS);
      void endProcess().then(() => {
        if (settled) return;
        clearTimeout(timer);
        // Processes that have left its group may still hold the output open.
        timer = setTimeout(giveUp, CLOSE_MS);
      });
    };
    const stop = (): void => end(new SshError("cancelled", `the command on ${address} was ended`));
    const take =
      (list: Buffer[], which: "out" | "err", tell?: (chunk: Buffer) => void) => (chunk: Buffer) => {
        bytes[which] += chunk.length;
        if (bytes[which] > max) {
          const name = which === "out" ? "stdout" : "stderr";
          return end(
            new SshError("output", `the command on ${address} wrote more than ${max} bytes to its ${name}`),
          );
        }
        list.push(chunk);
        tell?.(chunk);
      };
    const settle = (): void => {
      settled = true;
      clearTimeout(timer);
      limits.signal.removeEventListener("abort", stop);
      if (failure !== undefined) {
        reject(failure);
        return;
      }
      const { code, signal } = ending;
      if (code === undefined) {
        reject(new SshError("channel", `the connection to ${address} was lost while a command ran`));
        return;
      }
      const result = { stdout: Buffer.concat(out), stderr: Buffer.concat(err), code };
      resolve(signal === undefined ? result : { ...result, signal });
    };
    channel.on("data", take(out, "out", options.onStdout));
    channel.stderr.on("data", take(err, "err", options.onStderr));
    void ending.closed.then(settle);
    if (limits.signal.aborted) stop();
    else limits.signal.addEventListener("abort", stop, { once: true });
    channel.end(options.stdin ?? "");
  });
}
