/** One call to dockerd, as dockerode's transport makes it. */
import { Agent } from "node:http";
import type { Readable } from "node:stream";
import { inspect } from "node:util";
import type Docker from "dockerode";

export interface Call {
  method: "GET" | "POST" | "PUT" | "DELETE";
  path: string;
  query?: Record<string, unknown>;
  body?: object;
  /** Statuses that are success. */
  fine: readonly number[];
  stream?: boolean;
  /** Sent as the body, in pieces as dockerd takes them. */
  upload?: Readable;
  /** dockerd gives the connection away: the answer is its socket, and any status is an error. */
  hijack?: boolean;
  deadlineMs: number;
  signal?: AbortSignal;
}

/**
 * A connection for each call: one that was kept may belong to a dockerd that is gone, and a call on it fails without
 * saying whether it got there.
 */
export class Connections extends Agent {
  constructor() {
    super({ keepAlive: false });
  }

  /** docker-modem prints its options, agent and all, into a debug line that nobody reads. */
  [inspect.custom](): string {
    return "Connections";
  }
}

/** dockerode's own methods take no signal for some calls, and each has its list of fine statuses; this takes both. */
export function dial<T>(docker: Docker, call: Call, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const options = {
      path: `${call.path}?`,
      method: call.method,
      options: { _query: call.query ?? {}, ...(call.body === undefined ? {} : { _body: call.body }) },
      abortSignal: signal,
      isStream: (call.stream || call.hijack) ?? false,
      ...(call.upload !== undefined && { file: call.upload }),
      ...(call.hijack && { hijack: true }),
      statusCodes: Object.fromEntries(call.fine.map((status) => [status, true])),
      ...(call.method === "POST" && call.body === undefined ? { allowEmpty: true } : {}),
    };
    // A POST without a body: an empty object, which docker-modem does not send.
    if (call.method === "POST" && call.body === undefined) Object.assign(options.options, { _body: {} });
    docker.modem.dial(options, (error, data) => (error ? reject(error) : resolve(data as T)));
  });
}

/** Of dockerd's words: an image or a program that does not start may have put its own into them. */
const MOST_WORDS = 500;

/** The beginning of dockerd's own words, or of whatever came. */
export function said(answer: { statusCode?: number; json?: unknown; message?: string }): string {
  const message = (answer.json as { message?: unknown } | null | undefined)?.message;
  if (typeof message === "string" && message !== "") return message.trim().slice(0, MOST_WORDS);
  const text = (answer.message ?? "").replace(/^\(HTTP code \d+\) [a-z ]+ - /, "").trim();
  return `HTTP ${answer.statusCode}${text === "" ? "" : `: ${text.slice(0, 300)}`}`;
}

/** Ends waiting at the signal, even if the call itself does not heed it. */
export function raced<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const stop = () => reject(signal.reason instanceof Error ? signal.reason : new Error("cancelled"));
    if (signal.aborted) {
      work.catch(() => {}); // nobody waits for it any more
      stop();
      return;
    }
    signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

/** The stream; the signal's reason where that ended it, which the stream tells as a connection that broke. */
export async function* endedBy<T>(
  signal: AbortSignal | undefined,
  stream: AsyncIterable<T>,
): AsyncGenerator<T> {
  try {
    yield* stream;
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
