/** The DigitalOcean API, version 2: one call with retries, deadline and cancel; lists to their last page. */
import { ProviderError, sleep } from "@berth/plugin-base";
import { ApiError, NO_TOKEN, parseError, refusal } from "./errors";
import { type Outcome, pauseMs, verdict } from "./retry";
import type { Settings } from "./settings";

/** A single try may take so long; the API answers within seconds, whatever it starts. */
const TRY_MS = 60_000;
/** The API's most. */
export const PER_PAGE = 200;
/**
 * A token's requests of a minute come free one by one as they grow old, and many calls wait for the same ones: a call
 * may come too early so often, whatever `httpRetryMax` says (but for 0), as nothing is wrong.
 */
const FULL_MAX = 30;

/** What tests replace. */
export interface Clock {
  now(): number;
  random(): number;
  /** @throws the signal's reason as soon as it is aborted. */
  sleep(ms: number, signal: AbortSignal | undefined): Promise<void>;
}

export const realClock: Clock = {
  now: Date.now,
  random: Math.random,
  sleep,
};

export interface Call {
  /** Ends the call, its retries and its pauses. */
  readonly signal?: AbortSignal;
  readonly query?: Readonly<Record<string, string | number>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** A second one does harm (a create): tried again only where the first was surely not carried out. */
  readonly once?: boolean;
}

interface Page {
  readonly links?: { readonly pages?: { readonly next?: string } };
}

export class Api {
  private nextAt = 0;

  constructor(
    private readonly settings: Settings,
    readonly clock: Clock = realClock,
  ) {}

  /** Tries after the first. */
  get retryMax(): number {
    return this.settings.retryMax;
  }

  get(what: string, path: string, call: Call = {}): Promise<unknown> {
    return this.request(what, "GET", path, call);
  }

  post(what: string, path: string, call: Call = {}): Promise<unknown> {
    return this.request(what, "POST", path, call);
  }

  put(what: string, path: string, call: Call = {}): Promise<unknown> {
    return this.request(what, "PUT", path, call);
  }

  patch(what: string, path: string, call: Call = {}): Promise<unknown> {
    return this.request(what, "PATCH", path, call);
  }

  /** As {@link get}; undefined if the API answers 404. */
  async find(what: string, path: string, call: Call = {}): Promise<unknown> {
    return await unlessGone(this.get(what, path, call));
  }

  /** A thing that is gone already is a success. */
  async delete(what: string, path: string, call: Call = {}): Promise<void> {
    await unlessGone(this.request(what, "DELETE", path, call));
  }

  /**
   * Every entry of a list, over all its pages.
   *
   * @param key under which the answers hold the entries, `droplets`.
   */
  async list<T>(what: string, path: string, key: string, call: Call = {}): Promise<T[]> {
    const found: T[] = [];
    for (let page = 1; ; page++) {
      const query = { ...call.query, page, per_page: PER_PAGE };
      const answer = (await this.get(what, path, { ...call, query })) as Page &
        Record<string, T[] | undefined>;
      const entries = answer[key] ?? [];
      found.push(...entries);
      if (answer.links?.pages?.next === undefined || entries.length === 0) return found;
    }
  }

  private async request(what: string, method: string, path: string, call: Call): Promise<unknown> {
    if (this.settings.token === undefined) throw new ApiError(`${what}: ${NO_TOKEN}`, undefined, "", false);
    const { retryMax } = this.settings;
    let failed = 0;
    for (let full = 0; ; ) {
      const { outcome, answer, error } = await this.attempt(what, method, path, call);
      if (error === undefined) return answer;
      const kind = verdict(outcome);
      if (kind === "done" || (kind === "unclear" && call.once === true)) throw error;
      const late = outcome.status === 429;
      if (late ? full >= (retryMax === 0 ? 0 : Math.max(retryMax, FULL_MAX)) : failed >= retryMax)
        throw error;
      const tries = late ? full++ : failed++;
      const ms = pauseMs(outcome, tries, this.settings, this.clock.random(), this.clock.now());
      if (ms === undefined) throw exhausted(error, outcome);
      await this.pause(what, ms, call.signal);
    }
  }

  private async attempt(
    what: string,
    method: string,
    path: string,
    call: Call,
  ): Promise<{ outcome: Outcome; answer?: unknown; error?: ApiError }> {
    await this.turn(what, call.signal);
    const timeout = AbortSignal.timeout(TRY_MS);
    const signal = call.signal === undefined ? timeout : AbortSignal.any([call.signal, timeout]);
    const url = new URL(path, this.settings.endpoint);
    for (const [key, value] of Object.entries(call.query ?? {})) url.searchParams.set(key, String(value));
    try {
      const response = await fetch(url, {
        method,
        signal,
        redirect: "error", // the token goes to no other host
        headers: {
          Authorization: `Bearer ${this.settings.token}`,
          Accept: "application/json",
          "User-Agent": "berth",
          ...(call.body === undefined ? {} : { "Content-Type": "application/json" }),
        },
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
      });
      const text = await response.text();
      const outcome: Outcome = { status: response.status, headers: Object.fromEntries(response.headers) };
      if (response.ok) {
        const answer = parseAnswer(text);
        if (answer !== undefined) return { outcome, answer };
        const error = `${what}: ${this.settings.endpoint} answered ${response.status} with something that is not JSON; is apiEndpoint right?`;
        return { outcome, error: new ApiError(error, response.status, "", true) };
      }
      const unclear = verdict(outcome) === "unclear";
      return { outcome, error: refusal(what, response.status, parseError(text), method, path, unclear) };
    } catch (error) {
      if (call.signal?.aborted) throw stopped(what, call.signal);
      const code = codeOf(error);
      const outcome: Outcome = { code };
      const why = timeout.aborted ? `gave no answer within ${TRY_MS / 1000} s` : `cannot be reached: ${code}`;
      const text = `${what}: the DigitalOcean API at ${this.settings.endpoint} ${why}; is the network up, and is apiEndpoint right?`;
      return { outcome, error: new ApiError(text, undefined, "", verdict(outcome) === "unclear") };
    }
  }

  /** Waits for this call's turn where `requestsPerSecond` is set. */
  private async turn(what: string, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) throw stopped(what, signal);
    if (this.settings.perSecond <= 0) return;
    const now = this.clock.now();
    const at = Math.max(now, this.nextAt);
    this.nextAt = at + 1000 / this.settings.perSecond;
    if (at > now) await this.pause(what, at - now, signal);
  }

  /** The pause after a try that got no clear answer. */
  async backOff(what: string, attempt: number, signal: AbortSignal | undefined): Promise<void> {
    const ms = pauseMs({}, attempt, this.settings, this.clock.random(), this.clock.now());
    await this.pause(what, ms ?? this.settings.waitMaxMs, signal);
  }

  /** @throws ProviderError naming `what` when the signal is aborted. */
  async pause(what: string, ms: number, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.clock.sleep(ms, signal);
    } catch (error) {
      if (signal?.aborted) throw stopped(what, signal);
      throw error;
    }
  }
}

async function unlessGone(work: Promise<unknown>): Promise<unknown> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

/** An empty body is an empty object; undefined: not JSON. */
function parseAnswer(text: string): unknown {
  if (text.trim() === "") return {};
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Only the code: a message of fetch's may quote headers. */
function codeOf(error: unknown): string {
  const cause = (error as { cause?: { code?: unknown; name?: unknown } }).cause;
  const code = cause?.code ?? (error as { code?: unknown }).code ?? (error as { name?: unknown }).name;
  return typeof code === "string" ? code : "unknown error";
}

export function stopped(what: string, signal: AbortSignal): ProviderError {
  const why = signal.reason instanceof Error ? signal.reason.message : "cancelled";
  return new ProviderError(`${what}: ${why}`);
}

function exhausted(error: ApiError, { headers = {} }: Outcome): ApiError {
  const reset = Number(headers["ratelimit-reset"] ?? "");
  const until = reset > 0 ? new Date(reset * 1000).toISOString() : "later";
  return new ApiError(
    `${error.message}. The token's requests of this hour are used up; run it again after ${until}, or set requestsPerSecond`,
    error.status,
    error.said,
    false,
  );
}
