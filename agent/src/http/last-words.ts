import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Refusal } from "../../../core/gpu";
import type { Full } from "./bodies";
import type { Guests } from "./guests";

/** What those are told who are turned away before their request reaches a route. */

/** What is left of the request is read and forgotten, so that its sender hears the answer. */
export function refuse(response: ServerResponse, refusal: Refusal): void {
  response.writeHead(503, { "content-type": "application/json; charset=utf-8" });
  response.end(JSON.stringify({ error: refusal }));
}

/** An answer without a request that could be read; the connection ends with it. */
export function lastWord(socket: Socket, status: string, refusal: Refusal): void {
  const body = JSON.stringify({ error: refusal });
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
  );
  socket.destroySoon();
}

/** There is no room for one more connection. @param account connections that one has on the main socket */
export const crowded = (account: number, guests: Guests | undefined): Refusal => ({
  code: "busy",
  message: "There are as many connections to berthd as your account, or all together, may have.",
  allowed: guests
    ? guests.allowed
    : `${account} of an account at a time; accounts that are not users of this node have theirs together`,
  fix: "Close some, then ask again.",
});

/** Nor for one more of this account, or of all that have shown a good token. */
export const noRoom = (full: Full, { allowed }: Guests): Refusal =>
  full === "account"
    ? {
        code: "busy",
        message: "Your account has as many connections to berthd as it may have.",
        allowed,
        fix: "Close some, then ask again.",
      }
    : {
        code: "busy",
        message: "All accounts together have as many connections to berthd as they may have.",
        allowed,
        fix: "Ask on a connection that you have, or again in a while.",
      };
