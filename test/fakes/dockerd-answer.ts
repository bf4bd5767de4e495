/** How the fake dockerd answers: to whoever asked, or to nobody where it is to do a thing without a word. */
import type { IncomingMessage, ServerResponse } from "node:http";

/** Takes an answer that nobody is to have. */
export class Nowhere {
  writeHead(): this {
    return this;
  }
  end(): void {}
}
export type Answer = ServerResponse | Nowhere;

export const missing = (response: Answer, message: string) => json(response, 404, { message });

export function json(response: Answer, status: number, value?: unknown): unknown {
  if (response instanceof Nowhere) return undefined;
  response.writeHead(status, { "content-type": "application/json" });
  return response.end(value === undefined ? undefined : JSON.stringify(value));
}

export async function read(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return text;
}
