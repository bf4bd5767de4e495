/** `berth gpu request`: asks, and with `--wait` tells where it stands until the answer comes. */
import { randomUUID } from "node:crypto";
import { setTimeout as after } from "node:timers/promises";
import type { Ask } from "../../../core/gpu";
import { type AskOptions, readAsk, readDuration } from "./ask";
import { type CallOptions, type Client, piece, Unreachable } from "./client";
import type { Context } from "./context";
import { exit, Failure, usage } from "./failure";
import { clean, duration, gpuMemory, table } from "./text";
import type { GrantView, QueueEntryView, QueueView } from "./views";

export interface RequestOptions extends AskOptions {
  json?: boolean;
  /** True: `--wait` without a time. */
  wait?: string | true;
  purpose?: string;
  user?: string;
}

/** `--wait` without a time. */
const DEFAULT_WAIT_SECONDS = 3600;
/** berthd's own bound. */
const LONGEST_WAIT_SECONDS = 86_400;
/** How often the place in the queue is asked for. */
const LOOK_MS = 1000;
/** Until it is seen there for the first time. */
const FIRST_LOOK_MS = 100;
/** After the deadline, berthd answers that it is over; this is for the answer to come. */
const GRACE_MS = 30_000;
/** What Ctrl-C waits for, at most, so that nothing stays granted to nobody. */
const WITHDRAW_MS = 5000;

const OLDER_BERTHD =
  "Waiting. berthd is older than this command and does not tell this request's place in the queue: see berth gpu queue.";

interface Wish {
  user?: string;
  ask: Ask;
  purpose: string;
  idempotency_key: string;
}

export async function request(context: Context, options: RequestOptions): Promise<void> {
  const ask = readAsk(options);
  const waitSeconds =
    options.wait === undefined
      ? undefined
      : options.wait === true
        ? DEFAULT_WAIT_SECONDS
        : readDuration("--wait", options.wait);
  if (waitSeconds !== undefined && waitSeconds > LONGEST_WAIT_SECONDS)
    throw usage(`--wait ${options.wait}: at most ${duration(LONGEST_WAIT_SECONDS)}`);
  const wish: Wish = {
    ...(options.user !== undefined && { user: options.user }),
    ask,
    purpose: options.purpose ?? "berth gpu request",
    idempotency_key: randomUUID(),
  };
  const client = context.client();
  const grant =
    waitSeconds === undefined
      ? await client.post<GrantView>("/api/grants", wish)
      : await waitForIt(context, client, wish, waitSeconds);
  context.show(options.json, grant, () => granted(grant, context.io.now(), options.user));
}

/** @param user whom it was asked for; undefined: whoever asks */
function granted(grant: GrantView, now: number, user: string | undefined): string {
  const rows = grant.units.map((unit) => [
    unit.name,
    unit.model,
    unit.profile ?? "-",
    gpuMemory(unit.memoryMiB),
    unit.uuid,
  ]);
  const until =
    grant.reservedUntil === undefined
      ? ""
      : `\nKept for ${duration((grant.reservedUntil - now) / 1000)}, then free again unless a container has it.`;
  const id = clean(grant.id);
  const whose = user === undefined ? "" : ` --user ${clean(user)}`;
  return `Granted: ${id}
${table(["UNIT", "MODEL", "PROFILE", "MEMORY", "UUID"], rows)}${until}
Use it: berth container create --grant ${id}${whose} -- COMMAND
Give it back: berth gpu release ${id}`;
}

/** What is known of a request that waits. */
interface Wait {
  interrupted: boolean;
}

async function waitForIt(context: Context, client: Client, wish: Wish, seconds: number): Promise<GrantView> {
  const { io } = context;
  const deadline = io.now() + seconds * 1000;
  const wait: Wait = { interrupted: false };
  const line = progressLine(context);
  const ended = new AbortController();
  const cut = new AbortController();
  const forget = io.onInterrupt(() => {
    // The second Ctrl-C of somebody who does not want to wait for the withdrawal either.
    if (wait.interrupted) return cut.abort(interruption("not withdrawn for certain"));
    wait.interrupted = true;
    void withdraw(client, wish, cut);
  });
  const shown = showProgress(context, client, wish, deadline, line, ended.signal);
  try {
    const grant = await untilAnswered(context, client, wish, wait, deadline, line, cut.signal);
    if (!wait.interrupted) return grant;
    throw await giveBack(client, grant);
  } catch (error) {
    if (wait.interrupted && !(error instanceof Failure && error.exitCode === exit.interrupted))
      throw interruption("the request is withdrawn");
    throw error;
  } finally {
    forget();
    ended.abort();
    await shown;
    line.end();
  }
}

/** It was granted in the moment of Ctrl-C. */
async function giveBack(client: Client, grant: GrantView): Promise<Failure> {
  try {
    await client.delete(`/api/grants/${piece(grant.id)}`, { timeoutMs: WITHDRAW_MS });
    return interruption("what was granted in that moment is free again");
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return interruption(`${grant.id} was granted in that moment, and is not given back: ${error.message}`);
  }
}

function interruption(how: string): Failure {
  return new Failure({ code: "conflict", message: `Ended by Ctrl-C: ${how}.` }, exit.interrupted);
}

/**
 * Takes the request from the queue, so that the waiting call is answered. What is not in the queue is about to be answered
 * anyhow, and what was granted is given back then. A berthd that says nothing at all, or not which entry is this request's,
 * is hung up on: it withdraws a request whose connection ends.
 */
async function withdraw(client: Client, wish: Wish, cut: AbortController): Promise<void> {
  const hangUp = () => cut.abort(interruption("the request is withdrawn"));
  setTimeout(hangUp, WITHDRAW_MS).unref();
  try {
    const { own, keyless } = await look(client, wish, { timeoutMs: WITHDRAW_MS });
    if (own) await client.delete(`/api/queue/${piece(own.id)}`, { timeoutMs: WITHDRAW_MS });
    else if (keyless) hangUp();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (error.refusal.code !== "not-found") hangUp();
  }
}

/**
 * Sends the wish, and sends it again with the same key when berthd goes and comes back, as it does in an upgrade: it is
 * granted once, however often it is sent.
 */
async function untilAnswered(
  context: Context,
  client: Client,
  wish: Wish,
  wait: Wait,
  deadline: number,
  line: Line,
  signal: AbortSignal,
): Promise<GrantView> {
  const { io } = context;
  for (let reached = false; ; ) {
    const left = Math.max(1, Math.ceil((deadline - io.now()) / 1000));
    try {
      return await client.post<GrantView>(
        "/api/grants",
        { ...wish, wait_seconds: left },
        { signal, timeoutMs: left * 1000 + GRACE_MS },
      );
    } catch (error) {
      if (wait.interrupted || !(error instanceof Failure) || io.now() >= deadline) throw error;
      reached ||= !(error instanceof Unreachable) || error.sent;
      const passing = error instanceof Unreachable ? reached : error.refusal.code === "closed";
      if (!passing) throw error;
      line.say(`${clean(error.refusal.message)} Asking again.`);
      await after(LOOK_MS, undefined, { signal });
    }
  }
}

async function showProgress(
  context: Context,
  client: Client,
  wish: Wish,
  deadline: number,
  line: Line,
  signal: AbortSignal,
): Promise<void> {
  const { io } = context;
  let told = false;
  while (!signal.aborted) {
    try {
      const { own, queue, keyless } = await look(client, wish, { signal, timeoutMs: 5000 });
      told ||= own !== undefined || keyless;
      const left = `(${duration((deadline - io.now()) / 1000)} left)`;
      if (own) {
        const place = `Waiting: number ${own.position} of ${queue.length}. ${clean(own.reason?.message ?? "")}`;
        line.say(place.trimEnd(), left);
      } else if (keyless) line.say(OLDER_BERTHD, left);
    } catch (error) {
      // Progress alone: what matters is said by the call that waits.
      if (!(error instanceof Failure) && !signal.aborted) throw error;
    }
    await after(told ? LOOK_MS : FIRST_LOOK_MS, undefined, { signal }).catch(() => {});
  }
}

/**
 * The queue, and this request's own entry in it.
 * @returns `keyless`: this berthd is older than the keys in the queue, so nothing tells which entry is the request's own
 */
async function look(
  client: Client,
  wish: Wish,
  options: CallOptions,
): Promise<{ own?: QueueEntryView; queue: QueueEntryView[]; keyless: boolean }> {
  const { queue } = await client.get<QueueView>("/api/queue", options);
  return {
    own: queue.find(({ idempotency_key }) => idempotency_key === wish.idempotency_key),
    queue,
    keyless: queue.some(({ idempotency_key }) => idempotency_key === undefined),
  };
}

interface Line {
  /** @param detail what alone is no reason for a line of its own */
  say(text: string, detail?: string): void;
  end(): void;
}

/** One line that is redrawn on a terminal; elsewhere a line whenever something new is to be said. */
function progressLine({ io }: Context): Line {
  let last = "";
  let open = false;
  return {
    say(text, detail = "") {
      if (io.live) {
        io.err(`\r\u001b[2K${`${text} ${detail}`.trimEnd()}`);
        open = true;
      } else if (text !== last) io.err(`${text}\n`);
      last = text;
    },
    end() {
      if (open) io.err("\n");
      open = false;
    },
  };
}
