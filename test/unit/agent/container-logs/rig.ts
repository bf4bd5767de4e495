/** Logs of containers in a folder of their own, and what a reader of them gets. */
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  ContainerLogs,
  type ContainerLogsOptions,
  type LogItem,
  type LogLine,
} from "../../../../agent/src/container-logs";

export const id = "0123abcd";
export const other = "ffffffff";

const endings: (() => unknown)[] = [];
/** For each file's `afterEach`. */
export async function endAll(): Promise<void> {
  for (const end of endings.splice(0).reverse()) await end();
}

export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "berth-container-logs-"));
  endings.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface Rig {
  logs: ContainerLogs;
  folder: string;
  /** What berthd said, as JSON. */
  said: string[];
}

/** As after a start of berthd, with these containers. */
export async function logsOf(
  alive: readonly string[],
  { folder = newFolder(), ...options }: Partial<ContainerLogsOptions> = {},
): Promise<Rig> {
  const said: string[] = [];
  const log = { error: (...words: unknown[]) => void said.push(JSON.stringify(words)) };
  const logs = new ContainerLogs({ folder, log, ...options });
  await logs.restore(alive);
  endings.push(() => logs.close());
  return { logs, folder, said };
}

/** Appends lines one after another, as a program does that waits for room. */
export async function append(logs: ContainerLogs, lines: Iterable<string>, of = id): Promise<void> {
  for (const line of lines) await logs.append(of, { line }, Date.now(), "start");
}

export async function all(items: AsyncIterable<LogItem>): Promise<LogItem[]> {
  const got: LogItem[] = [];
  for await (const item of items) got.push(item);
  return got;
}

export const linesOf = (items: readonly LogItem[]): LogLine[] =>
  items.filter((item): item is LogLine => "line" in item);

export const textOf = (items: readonly LogItem[]): string[] => linesOf(items).map(({ line }) => line);

export const gapsOf = (items: readonly LogItem[]) => items.filter((item) => "gap" in item);

export const read = (logs: ContainerLogs, after = 0, of = id) => all(logs.read(of, { after }));

/** Bytes of all files of a folder. */
export const bytesIn = (folder: string): number =>
  readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);

export function* numbered(from: number, to: number, more = ""): Generator<string> {
  for (let n = from; n <= to; n++) yield `line ${n}${more}`;
}
