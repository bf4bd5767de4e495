import { createHmac } from "node:crypto";

/** What a receiver reads, as JSON. */
export interface CallbackMessage {
  containerId: string;
  name: string;
  /** `owner/repo`. */
  repo: string;
  branch: string;
  /** Where the set-up is: `cloning`, `ready`, `failed`… */
  phase: string;
  /** How the container is. */
  status: string;
  /** For people. */
  message: string;
  /** null: none is published. */
  hostPort: number | null;
  /** Where the container's own server answers. */
  url: string | null;
  logsUrl: string;
  /** Grows with each message of a container: a receiver knows by it what came twice. */
  sequence: number;
  /** Milliseconds since the epoch. */
  timestamp: number;
}

/** Characters of the text for people: what a program printed may be in it. */
const mostWords = 1000;

export function bodyOf(message: CallbackMessage): string {
  const words = message.message;
  const cut = words.length > mostWords ? `${words.slice(0, mostWords)}…` : words;
  return JSON.stringify({ ...message, message: cut });
}

/** What a receiver compares with `X-Berth-Signature`: it has the secret too. */
export const signature = (secret: string, body: string) =>
  `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
