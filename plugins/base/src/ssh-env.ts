/**
 * Two things that ssh2 lacks. A signal for a process whose stdin has ended already, and environment
 * variables with an answer. ssh2 sends `env` requests without asking for a reply, so a server
 * that drops them (AcceptEnv) goes unnoticed. This asks for the reply, and holds the `exec` request back
 * until all answers are in, so that a command never runs without what it needs.
 */
import type { Client, ClientChannel } from "ssh2";

/** Tells the caller of `exec` how the server took its variables. */
export interface EnvAnswers {
  /** A variable was refused. Return false to stop: the command is not started, the channel is closed. */
  onRefused(name: string): boolean;
}

interface Channel {
  outgoing: { id: number; state: string };
  _callbacks: ((refused: boolean | Error) => void)[];
  close(): void;
}

/** The parts of ssh2 1.17's client that are used here; pinned, and covered by tests with a real server. */
interface Internals {
  _protocol: {
    env(channel: number, key: string, value: string | Buffer, wantReply?: boolean): void;
    exec(channel: number, command: string, wantReply?: boolean): void;
  };
  _chanMgr: { _channels: Record<string, Channel | unknown> };
}

/** Sends a signal to the remote process; ssh2's own `signal` does nothing after the end of stdin. */
export function sendSignal(channel: ClientChannel, name: "TERM"): void {
  const { _client, outgoing } = channel as unknown as {
    _client: { _protocol: { signal(channel: number, name: string): void } };
    outgoing: { id: number; state: string };
  };
  if (outgoing.state === "closed" || outgoing.state === "closing") return;
  try {
    _client._protocol.signal(outgoing.id, name);
  } catch {
    // The connection is gone, and the server ends the session itself.
  }
}

const ANSWERS = Symbol("answers");
type MarkedValue = Buffer & { [ANSWERS]?: EnvAnswers };

/** Values for ssh2's `exec(command, { env })` that carry who wants to know. */
export function markedEnv(env: Readonly<Record<string, string>>, answers: EnvAnswers): NodeJS.ProcessEnv {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(env)) {
    out[key] = Object.assign(Buffer.from(value), { [ANSWERS]: answers });
  }
  return out as NodeJS.ProcessEnv;
}

/** Installs the asking on one connection; call once, right after it is made. */
export function askForEnvReplies(client: Client): void {
  const internals = client as unknown as Internals;
  const protocol = internals._protocol;
  const env = protocol.env.bind(protocol);
  const exec = protocol.exec.bind(protocol);
  const waiting = new Map<number, { open: number; stopped: boolean; go?: () => void }>();
  const find = (id: number): Channel | undefined =>
    Object.values(internals._chanMgr._channels).find(
      (channel): channel is Channel =>
        typeof channel === "object" && channel !== null && (channel as Channel).outgoing?.id === id,
    );
  protocol.env = (id, key, value, wantReply) => {
    const answers = typeof value === "string" ? undefined : (value as MarkedValue)[ANSWERS];
    const channel = find(id);
    if (answers === undefined || channel === undefined) return env(id, key, value, wantReply);
    const state = waiting.get(id) ?? { open: 0, stopped: false };
    waiting.set(id, state);
    state.open++;
    channel._callbacks.push((refused) => {
      state.open--;
      if (refused !== false && !state.stopped && !answers.onRefused(key)) {
        state.stopped = true;
        channel.close();
      }
      if (state.open === 0) {
        waiting.delete(id);
        if (!state.stopped) state.go?.();
      }
    });
    env(id, key, value, true);
  };
  protocol.exec = (id, command, wantReply) => {
    const state = waiting.get(id);
    if (state === undefined) return exec(id, command, wantReply);
    state.go = () => exec(id, command, wantReply);
  };
}
