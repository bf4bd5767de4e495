import type { Result } from "../../../core/gpu";
import { isListed } from "../outgoing";

/** Where messages go, and the secret that sender and receiver share. */
export interface CallbackTarget {
  url: string;
  secret: string;
}

export interface TargetRules {
  /** Hosts and networks that the operator allows: only to these berthd speaks http. */
  allowed: readonly string[];
  resolve(host: string): Promise<Result<string[]>>;
}

const longestUrl = 2048;
/** It stands in a header: no spaces and no line ends. */
const SECRET = /^[\x21-\x7e]{1,512}$/;

/** All that is wrong with a target, before a message is sent there: each text begins with the field of the request. */
export async function targetProblems({ url, secret }: CallbackTarget, rules: TargetRules): Promise<string[]> {
  const wrong = await urlProblem(url, rules);
  return [
    ...(wrong === undefined ? [] : [`callbackUrl: ${wrong}`]),
    ...(SECRET.test(secret) ? [] : ["callbackSecret: allowed are 1 to 512 visible characters of ASCII"]),
  ];
}

async function urlProblem(text: string, { allowed, resolve }: TargetRules): Promise<string | undefined> {
  if (text.length > longestUrl) return `is longer than ${longestUrl} characters`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "https:" && url?.protocol !== "http:") return "is no URL that begins with https://";
  if (url.username !== "" || url.password !== "")
    return "has a user in it; berthd sends callbackSecret instead, in the header Authorization";
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  if (url.protocol === "http:" && !isListed(host, allowed))
    return "begins with http://, which anybody on the way can read; use https://, or ask the operator to allow the host";
  const found = await resolve(host);
  if (found.ok) return undefined;
  const { message, fix } = found.refusal;
  return fix === undefined ? message : `${message}; ${fix}`;
}
