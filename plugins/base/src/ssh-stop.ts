/**
 * Ends remote processes. SSH has a signal request, but OpenSSH refuses it for root, and closing a channel
 * leaves a process alone that neither reads nor writes. So a second session of the same connection looks
 * for the processes that its own sshd started, and ends the one meant.
 */
import type { Client, ClientChannel } from "ssh2";

/** Sends a signal to the remote process; ssh2's own `signal` does nothing after the end of stdin. */
function sendSignal(channel: ClientChannel, name: "TERM"): void {
  // The parts of ssh2 1.17's client that are used here; pinned, and covered by tests with a real server.
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

/**
 * The processes of the sessions of one connection are the children of one sshd process, in the order in
 * which they were started; the script's own session is left out. Arguments: how many sessions there are,
 * and which of them to end, counted from 0. Status 3: it sees another number, ask again. POSIX sh and
 * Linux' /proc alone; no single quotes, for the whole is put into them.
 */
const SCRIPT = `
field() { while read -r k v; do [ "$k" = "$2" ] && { echo "$v"; return; }; done 2>/dev/null </proc/$1/status; }
up=$PPID
while [ "\${up:-0}" -gt 1 ]; do
  case $(field $up Name:) in sshd*|dropbear*) break ;; esac
  up=$(field $up PPid:)
done
[ "\${up:-0}" -gt 1 ] || exit 4
list=$(cat /proc/[0-9]*/stat 2>/dev/null | while read -r line; do
  pid=\${line%% *}
  set -- \${line##*) }
  [ "$2" = "$up" ] || continue
  case $(tr "\\000" " " 2>/dev/null </proc/$pid/cmdline) in *berth-stop*) continue ;; esac
  echo "\${20} $pid"
done | sort -n | while read -r start pid; do echo "$pid"; done)
count=$1; shift
set -- "$@" -- $list
wanted=
while [ "$1" != -- ]; do wanted="$wanted $1"; shift; done
shift
[ $# -eq "$count" ] || exit 3
n=0; ids=
for pid in "$@"; do
  for w in $wanted; do [ "$w" = "$n" ] && ids="$ids $pid"; done
  n=$((n + 1))
done
tell() { for pid in $ids; do kill -$1 -$pid 2>/dev/null || kill -$1 $pid 2>/dev/null; done; }
tell TERM
for i in 1 2 3 4 5 6 7 8 9 10; do
  left=
  for pid in $ids; do kill -0 -$pid 2>/dev/null && left=1; done
  [ -z "$left" ] && exit 0
  sleep 0.2
done
tell KILL
exit 0
`;

/** Ask again: the script sees another number of sessions, or the server has none free for it. */
const ASK_AGAIN = 3;
/** With the pauses at least 4 s: a busy server frees the session of what has ended only after a while. */
const ATTEMPTS = 20;
const ATTEMPT_PAUSE_MS = 200;

/** Keeps the sessions of one connection in their order, and ends those that are asked for. */
export class Sessions {
  private readonly running: ClientChannel[] = [];
  private readonly ending = new Set<ClientChannel>();
  private work: Promise<void> | undefined;
  /** Attempts that are left for what is to be ended. */
  private attempts = 0;

  constructor(private readonly client: Client) {}

  /** Call when the server has confirmed the start of the command, in that order. */
  started(channel: ClientChannel): void {
    this.running.push(channel);
    channel.once("close", () => {
      const at = this.running.indexOf(channel);
      if (at >= 0) this.running.splice(at, 1);
      this.ending.delete(channel);
    });
  }

  /**
   * Ends the process of a session: TERM, two seconds later KILL. Resolves when all was done that can be
   * done; the channel closes by itself when the process has ended.
   */
  end(channel: ClientChannel): Promise<void> {
    sendSignal(channel, "TERM");
    this.ending.add(channel);
    // A busy server may have used up most of those of a session that was to end before.
    this.attempts = ATTEMPTS;
    this.work ??= this.endAll();
    return this.work;
  }

  private async endAll(): Promise<void> {
    // A cancel ends many at once: they go into one script.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.attempts > 0 && this.ending.size > 0) {
      this.attempts--;
      const asked = [...this.ending];
      const indexes = asked.map((channel) => this.running.indexOf(channel)).filter((at) => at >= 0);
      const code = await this.script(this.running.length, indexes);
      // No more can be done for these; others may have come meanwhile.
      if (code !== ASK_AGAIN && code !== 0) for (const channel of asked) this.ending.delete(channel);
      // What has ended is told by the close of its channel, which may still be on its way.
      await new Promise((resolve) => setTimeout(resolve, ATTEMPT_PAUSE_MS));
    }
    // At once: what is to be ended from here on needs work of its own.
    this.work = undefined;
  }

  private script(count: number, indexes: readonly number[]): Promise<number | undefined> {
    return new Promise((resolve) => {
      const lost = (): void => resolve(undefined);
      const settle = (code: number | undefined): void => {
        this.client.removeListener("close", lost);
        resolve(code);
      };
      this.client.once("close", lost);
      try {
        this.client.exec(`sh -c '${SCRIPT}' berth-stop ${count} ${indexes.join(" ")}`, (error, channel) => {
          // No free session: one may come; if none does, closing the connection has to do.
          if (error !== undefined) return settle(ASK_AGAIN);
          let code: number | undefined;
          channel.on("exit", (status: number | null) => {
            code = status ?? undefined;
          });
          channel.on("close", () => settle(code));
          channel.resume();
          channel.stderr.resume();
          channel.end();
        });
      } catch {
        settle(undefined);
      }
    });
  }
}
