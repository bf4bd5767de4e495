/** What went wrong when the account was asked, whichever plugin asked. Pure. */

/**
 * - `absent`: there is no such thing.
 * - `forbidden`: the token may not ask (403).
 * - `away`: no answer came, or one that says to come again (429, 5xx).
 * - `refused`: anything else, such as a wrong token.
 */
export interface Refusal {
  kind: "absent" | "forbidden" | "away" | "refused";
  /** In the plugin's words, without what the engine and the SDK put around them. */
  said: string;
}

/** As our plugin says it (`answered 403`), and as godo's ErrorResponse, which the official one prints (`GET URL: 403 …`). */
const STATUS = /\banswered (\d{3})\b|\b(?:GET|POST|PUT|DELETE) "?https?:\/\/\S+?: (\d{3})\b/;

/** Ours, then Go's net and net/http, and the client that tries again (go-retryablehttp). */
const AWAY =
  /cannot be reached|gave no answer|dial tcp|lookup \S+|no such host|connection re(fused|set)|network is unreachable|no route to host|i\/o timeout|TLS handshake|deadline exceeded|Client\.Timeout|\bEOF\b|giving up after/i;

/** What the engine, the SDK and the bridge write in front of a plugin's words. */
const AROUND = [
  /^Error: /,
  /^[Ii]nvocation of \S+ returned an error: /,
  /^Invoke of '\S+' failed: /,
  /^(\d+ UNKNOWN: |rpc error: code = \w+ desc = )/,
  /^(calling|invoking) \S+: /,
  /^\d+ errors? occurred:\s*\*\s*/,
];

export function readRefusal(error: unknown): Refusal {
  let said = String((error as Error | undefined)?.message ?? error).trim();
  for (let before = ""; before !== said; ) {
    before = said;
    for (const wrapper of AROUND) said = said.replace(wrapper, "").trim();
  }
  said = said.replace(/\s+/g, " ");
  const found = STATUS.exec(said);
  const status = Number(found?.[1] ?? found?.[2] ?? 0);
  if (status === 404 || /there is no image |image not found/i.test(said)) return { kind: "absent", said };
  if (status === 403) return { kind: "forbidden", said };
  if (status === 429 || status >= 500 || (status === 0 && AWAY.test(said))) return { kind: "away", said };
  return { kind: "refused", said };
}
