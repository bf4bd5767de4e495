/** @file HTTP as the tests ask it. */
import { type IncomingMessage, type RequestOptions, request } from "node:http";
import { SECOND } from "./time";

/** The status; redirects are not followed. */
export async function get(url: string, headers: Record<string, string> = {}): Promise<number> {
  const answer = await fetch(url, { headers, redirect: "manual", signal: AbortSignal.timeout(30 * SECOND) });
  await answer.arrayBuffer();
  return answer.status;
}

export const basic = (user: string, password: string) => ({
  Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
});

export interface Answer {
  status: number;
  headers: IncomingMessage["headers"];
  text: string;
}

/** Header names that `fetch` keeps to itself (Host, Origin, Cookie) may be given here; redirects are not followed. */
export function ask(options: RequestOptions, body = ""): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", timeout: 30 * SECOND, ...options });
    const read = (answer: IncomingMessage) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
      answer.on("error", reject);
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }));
    };
    asked.on("response", read);
    asked.on("upgrade", (answer, socket) => {
      socket.destroy();
      resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text: "" });
    });
    asked.on("timeout", () => asked.destroy(new Error("no answer within 30 s")));
    asked.on("error", reject);
    asked.end(body);
  });
}

/** What a browser adds to open a WebSocket (RFC 6455, 4.1); the key is that document's own example. */
export const UPGRADE = {
  Connection: "Upgrade",
  Upgrade: "websocket",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
} as const;

/** The cookies of an answer as the next request sends them. */
export const cookies = ({ headers }: Pick<Answer, "headers">) =>
  (headers["set-cookie"] ?? []).map((line) => line.split(";")[0]).join("; ");
