import { type ClientRequest, request as overHttp } from "node:http";
import { request as overHttps } from "node:https";
import type { Result } from "../../../core/gpu";
import { pinned } from "../outgoing";
import type { CallbackRow } from "../store";
import { signature } from "./message";

/** One try. Resolves with what went wrong, in words without secrets; undefined: the receiver has it. */
export type Send = (row: CallbackRow, ended: AbortSignal) => Promise<string | undefined>;

export interface SendOptions {
  resolve(host: string): Promise<Result<string[]>>;
  /** For one try, in milliseconds. @default 10 s */
  deadlineMs?: number;
}

/** Of an answer; nothing in it is used, but a receiver that is cut off would take it for a failure. */
const mostBytes = 64 * 1024;
/** Answers before the answer (1xx); a receiver may send them for ever. */
const mostInterim = 16;
/** Characters of what went wrong: a receiver's certificate may have any number of names, and an error has them all. */
const mostWords = 300;

/** Sends to the addresses that were checked just now, wherever the name leads by then, and follows no redirect. */
export function sender({ resolve, deadlineMs = 10_000 }: SendOptions): Send {
  return async (row, ended) => {
    const late = AbortSignal.timeout(deadlineMs);
    try {
      const found = await resolve(new URL(row.url).hostname);
      if (!found.ok) return found.refusal.message;
      return judged(await post(row, found.value, AbortSignal.any([ended, late])));
    } catch (error) {
      return late.aborted ? `no answer within ${deadlineMs / 1000} s` : words(error);
    }
  };
}

function judged(status: number): string | undefined {
  if (status >= 200 && status < 300) return undefined;
  const redirect = status >= 300 && status < 400;
  return `the answer was ${status}${redirect ? ": redirects are not followed" : ""}`;
}

/** Of several addresses that all failed the message is empty. */
function words(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return message === "" ? (code ?? "no connection") : message.slice(0, mostWords);
}

/** @returns the status of the answer */
function post(row: CallbackRow, addresses: readonly string[], signal: AbortSignal): Promise<number> {
  const url = new URL(row.url);
  const send = url.protocol === "https:" ? overHttps : overHttp;
  const body = Buffer.from(row.body);
  const headers = {
    "Content-Type": "application/json",
    "Content-Length": body.length,
    "User-Agent": "berthd",
    Authorization: `Bearer ${row.secret}`,
    "X-Berth-Signature": signature(row.secret, row.body),
  };
  // A connection for each: one that was kept would lead where the name led before.
  const request = send(url, { method: "POST", headers, agent: false, lookup: pinned(addresses), signal });
  const status = answered(request);
  request.end(body);
  return status;
}

function answered(request: ClientRequest): Promise<number> {
  return new Promise((resolve, reject) => {
    let status: number | undefined;
    let interim = 0;
    // Once the status is there, whatever becomes of the rest changes nothing.
    const end = (error: Error) => (status === undefined ? reject(error) : resolve(status));
    request.on("error", end).on("close", () => end(new Error("the connection ended without an answer")));
    request.on("information", () => {
      if (++interim > mostInterim)
        request.destroy(new Error(`more than ${mostInterim} answers before the answer`));
    });
    request.on("response", (answer) => {
      status = answer.statusCode;
      let bytes = 0;
      answer.on("error", end).on("data", (part: Buffer) => {
        bytes += part.length;
        if (bytes > mostBytes) request.destroy();
      });
    });
  });
}
