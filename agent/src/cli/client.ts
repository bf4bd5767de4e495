/** berthd over its Unix socket: HTTP, JSON, one connection a request. */
import { existsSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { join } from "node:path";
import { agentPaths } from "../paths";
import { Failure, failureOf, unavailable } from "./failure";

/** An answer that berthd gives at once; a waiting request has its own deadline. */
const ANSWER_MS = 30_000;
/** Thousands of GPUs fit in it; something that never ends does not. */
const MAX_ANSWER = 64 * 1024 * 1024;

export interface CallOptions {
  body?: unknown;
  /** Ends the call and closes the connection. */
  signal?: AbortSignal;
  /** Of the whole answer; default 30 s. */
  timeoutMs?: number;
}

/** No answer came: berthd was not there, or went while it was asked. */
export class Unreachable extends Failure {
  /** True: berthd had the request, and may have done it. */
  sent = false;
}

/**
 * Where berthd is asked: `BERTH_SOCKET`, else the first of the usual ones that is there.
 * @throws {Unreachable} when none is there
 */
export function findSocket(env: NodeJS.ProcessEnv): string {
  if (env.BERTH_SOCKET) return env.BERTH_SOCKET;
  const root = env.BERTH_AGENT_ROOT || "/";
  const { runFolder, socket } = agentPaths(root);
  // In a workspace it is its user's own, at places that the node does not use.
  const usual = [join(root, "run/berthd/berth.sock"), join(runFolder, "berth.sock"), socket];
  const found = usual.find((path) => existsSync(path));
  if (found) return found;
  throw unreachable(
    `berthd is not reached: there is none of ${usual.join(", ")}.`,
    "On a node: systemctl status berthd. In a workspace: ask the operator whether its node has berthd. Elsewhere: set BERTH_SOCKET.",
  );
}

export class Client {
  constructor(readonly socket: string) {}

  get<T>(path: string, options?: CallOptions): Promise<T> {
    return this.call("GET", path, options);
  }

  post<T>(path: string, body: unknown, options?: CallOptions): Promise<T> {
    return this.call("POST", path, { ...options, body });
  }

  delete<T>(path: string, options?: CallOptions): Promise<T> {
    return this.call("DELETE", path, options);
  }

  /**
   * @param path with its query, of `query` below
   * @throws {Failure} for every answer but a success; {Unreachable} when none came
   */
  async call<T>(method: string, path: string, options: CallOptions = {}): Promise<T> {
    const { status, text } = await this.exchange(method, path, options);
    const body = parse(text);
    if (status >= 200 && status < 300) {
      if (body === undefined && text.trim() !== "") throw failureOf(status, undefined, this.socket);
      return body as T;
    }
    throw failureOf(status, body, this.socket);
  }

  private exchange(
    method: string,
    path: string,
    { body, signal, timeoutMs = ANSWER_MS }: CallOptions,
  ): Promise<{ status: number; text: string }> {
    const content = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const call = httpRequest({
        socketPath: this.socket,
        method,
        path,
        agent: false,
        signal,
        headers: {
          host: "berthd",
          accept: "application/json",
          ...(content !== undefined && {
            "content-type": "application/json",
            "content-length": Buffer.byteLength(content),
          }),
        },
      });
      // Said here, for a response whose request is destroyed tells of an aborted connection alone.
      let cause: Error | undefined;
      const stop = (why: string) => {
        cause = new Error(why);
        call.destroy(cause);
      };
      const deadline = setTimeout(() => stop(`no answer within ${timeoutMs / 1000} s`), timeoutMs);
      let sent = false;
      call.on("finish", () => {
        sent = true;
      });
      const fail = (error: Error) => {
        clearTimeout(deadline);
        reject(signal?.aborted ? signal.reason : this.broken(cause ?? error, sent));
      };
      call.on("error", fail);
      call.on("response", (response) => {
        const parts: Buffer[] = [];
        let size = 0;
        response.on("data", (part: Buffer) => {
          size += part.length;
          if (size > MAX_ANSWER) stop(`the answer has more than ${MAX_ANSWER} bytes`);
          parts.push(part);
        });
        response.on("error", fail);
        response.on("end", () => {
          clearTimeout(deadline);
          if (!response.complete) return fail(new Error("the answer ended in the middle"));
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString("utf8") });
        });
      });
      call.end(content);
    });
  }

  private broken(error: NodeJS.ErrnoException, sent: boolean): Unreachable {
    const why: Record<string, string> = {
      ENOENT: "there is no such socket",
      ECONNREFUSED: "nothing listens on it",
      EACCES: "this user may not open it",
      ECONNRESET: "berthd closed the connection",
      ENOTSOCK: "it is not a socket",
    };
    const reason = why[error.code ?? ""] ?? error.message;
    const failure = unreachable(
      `berthd is not reached at ${this.socket}: ${reason}.`,
      "On a node: systemctl status berthd. BERTH_SOCKET names another socket.",
    );
    failure.sent = sent;
    return failure;
  }
}

function unreachable(message: string, fix: string): Unreachable {
  const { refusal, exitCode } = unavailable(message, fix);
  return new Unreachable(refusal, exitCode);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A path with the fields that have a value: `/api/grants?user=alice`. */
export function query(path: string, fields: Record<string, string | number | undefined>): string {
  const given = Object.entries(fields).filter(
    (field): field is [string, string | number] => field[1] !== undefined,
  );
  if (given.length === 0) return path;
  return `${path}?${given.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&")}`;
}

/** A path's piece that somebody typed. */
export const piece = encodeURIComponent;
