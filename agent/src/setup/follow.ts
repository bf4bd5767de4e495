/** What a container prints, brought into its log: each line once, also over restarts of berthd and of dockerd. */
import type { ContainerLogs, LogItem } from "../container-logs";
import type { Engine, LogsOptions } from "../docker";
import { Rate } from "../rate";
import { pause } from "../waiting";

/** How far the log has it: the millisecond of its last line, and how many lines of that millisecond it has. */
interface Position {
  at: number;
  count: number;
}

/** So many lines of the log's end are looked at first, and all of it only where none of these is of the container's own output. */
const LAST_LINES = 2000;
const CATCH_UP_MS = 10_000;

/** How much is read of what containers print: it costs berthd the more processor time, the more it is. */
interface FollowBounds {
  /** @default 10 s */
  spanMs: number;
  /** Lines of one container in each span; each 128 bytes of a line count as one more. @default 20000 */
  most: number;
  /** The same of all containers of one owner. @default 60000 */
  mostOfOwner: number;
  /** Lines of the last ones that are read after a span of which the rest is left out. @default 2000 */
  lastLines: number;
}

const defaultBounds: FollowBounds = { spanMs: 10_000, most: 20_000, mostOfOwner: 60_000, lastLines: 2000 };
const CHARACTERS_A_COUNT = 128;
export const SKIPPED = "[berth] lines are left out here: the container prints more than is kept of it";

export class LogFollower {
  private readonly positions = new Map<string, Position>();
  private readonly bounds: FollowBounds;
  private readonly rate: Rate;

  constructor(
    private readonly engine: Pick<Engine, "logs">,
    private readonly logs: Pick<ContainerLogs, "append" | "read" | "ownerOf">,
    bounds: Partial<FollowBounds> = {},
  ) {
    this.bounds = { ...defaultBounds, ...bounds };
    this.rate = new Rate(undefined, this.bounds.spanMs);
  }

  /**
   * Follows until the container stops, dockerd ends the stream, or the signal comes, whose reason is then thrown. Of what is
   * printed faster than the bounds the last lines of each span come into the log, and a line that says that others do not.
   *
   * @returns false: the log takes no more lines
   */
  async follow(id: string, container: string, signal: AbortSignal): Promise<boolean> {
    let how: LogsOptions = { follow: true, signal };
    for (;;) {
      const wait = await this.take(id, container, how);
      if (typeof wait === "boolean") return wait;
      // Nothing is read meanwhile, also by dockerd: the connection is closed.
      await pause(wait * 1000, signal);
      signal.throwIfAborted();
      how = { ...how, tail: this.bounds.lastLines };
    }
  }

  /** Brings what there is by now, for at most 10 s; nothing beyond the bounds. */
  async catchUp(id: string, container: string): Promise<void> {
    await this.take(id, container, { signal: AbortSignal.timeout(CATCH_UP_MS) });
    this.forget(id);
  }

  /** @returns false: the log takes no more lines; a number: so many seconds nothing more is to be read */
  private async take(id: string, container: string, how: LogsOptions): Promise<boolean | number> {
    const position = this.positions.get(id) ?? (await positionIn(this.logs, id));
    this.positions.set(id, position);
    const since = position.at === 0 ? {} : { since: (position.at / 1000).toFixed(3) };
    let again = position.count;
    let mayLack = how.tail !== undefined;
    for await (const { at: stamp, ...line } of await this.engine.logs(container, { ...since, ...how })) {
      const wait = this.count(id, line);
      if (wait > 0) return wait;
      const at = millisOf(stamp);
      // Where it does not begin with the last line that was read, there were more than these.
      if (mayLack && at > position.at) await this.logs.append(id, { line: SKIPPED }, Date.now(), "setup");
      mayLack = false;
      // dockerd begins with the position's own millisecond once more.
      if (at < position.at || (at === position.at && again-- > 0)) continue;
      Object.assign(position, at === position.at ? { count: position.count + 1 } : { at, count: 1 });
      if (!(await this.logs.append(id, line, at, "start"))) return false;
    }
    return true;
  }

  private count(id: string, { line }: { line: string }): number {
    const { most, mostOfOwner } = this.bounds;
    const weight = 1 + Math.floor(line.length / CHARACTERS_A_COUNT);
    const owner = this.logs.ownerOf(id) ?? "";
    return (
      this.rate.take(`container ${id}`, most, weight) || this.rate.take(`owner ${owner}`, mostOfOwner, weight)
    );
  }

  forget(id: string): void {
    this.positions.delete(id);
  }
}

function millisOf(stamp: string): number {
  const [seconds = "", nanos = ""] = stamp.split(".");
  return Number(seconds) * 1000 + Number(nanos.slice(0, 3));
}

async function positionIn(logs: Pick<ContainerLogs, "read">, id: string): Promise<Position> {
  const last = await lastNumber(logs, id);
  const position = await scan(logs.read(id, { after: Math.max(0, last - LAST_LINES) }));
  return position.count > 0 ? position : scan(logs.read(id));
}

async function lastNumber(logs: Pick<ContainerLogs, "read">, id: string): Promise<number> {
  for await (const item of logs.read(id, { after: Number.MAX_SAFE_INTEGER }))
    if ("at" in item) return item.at;
  return 0;
}

async function scan(items: AsyncIterable<LogItem>): Promise<Position> {
  let position: Position = { at: 0, count: 0 };
  for await (const item of items)
    if ("line" in item && item.source === "start")
      position =
        item.timestamp === position.at
          ? { at: position.at, count: position.count + 1 }
          : { at: item.timestamp, count: 1 };
  return position;
}
