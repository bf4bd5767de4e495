/** What a container prints, brought into its log: each line once, also over restarts of berthd and of dockerd. */
import type { ContainerLogs, LogItem } from "../container-logs";
import type { Engine, LogsOptions } from "../docker";

/** How far the log has it: the millisecond of its last line, and how many lines of that millisecond it has. */
interface Position {
  at: number;
  count: number;
}

/** So many lines of the log's end are looked at first, and all of it only where none of these is of the container's own output. */
const LAST_LINES = 2000;
const CATCH_UP_MS = 10_000;

export class LogFollower {
  private readonly positions = new Map<string, Position>();

  constructor(
    private readonly engine: Pick<Engine, "logs">,
    private readonly logs: Pick<ContainerLogs, "append" | "read">,
  ) {}

  /**
   * Follows until the container stops, dockerd ends the stream, or the signal comes, whose reason is then thrown.
   *
   * @returns false: the log takes no more lines
   */
  follow(id: string, container: string, signal: AbortSignal): Promise<boolean> {
    return this.take(id, container, { follow: true, signal });
  }

  /** Brings what there is by now, for at most 10 s. */
  async catchUp(id: string, container: string): Promise<void> {
    await this.take(id, container, { signal: AbortSignal.timeout(CATCH_UP_MS) });
    this.forget(id);
  }

  private async take(id: string, container: string, how: LogsOptions): Promise<boolean> {
    const position = this.positions.get(id) ?? (await positionIn(this.logs, id));
    this.positions.set(id, position);
    const since = position.at === 0 ? {} : { since: (position.at / 1000).toFixed(3) };
    let again = position.count;
    for await (const { at: stamp, ...line } of await this.engine.logs(container, { ...since, ...how })) {
      const at = millisOf(stamp);
      // dockerd begins with the position's own millisecond once more.
      if (at < position.at || (at === position.at && again-- > 0)) continue;
      Object.assign(position, at === position.at ? { count: position.count + 1 } : { at, count: 1 });
      if (!(await this.logs.append(id, line, at, "start"))) return false;
    }
    return true;
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
