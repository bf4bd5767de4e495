/** Which lines of events.jsonl count as on the disk: those alone leave the outbox. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { EventLog, healEventLog } from "../../../agent/src/events";
import { until } from "../../lib/until";

const synced = vi.hoisted(() => ({ files: 0 }));
vi.mock("node:fs", async (original) => {
  const real = await original<typeof import("node:fs")>();
  return {
    ...real,
    fsyncSync: (fd: number) => {
      synced.files++;
      real.fsyncSync(fd);
    },
  };
});

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-events-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const line = (seq: number) => ({ seq, line: JSON.stringify({ seq }) });

it("are not those whose file was closed by a failed write before it was brought to the disk", async () => {
  const file = join(folder, "events.jsonl");
  const log = new EventLog(file, 0);
  log.append([line(1)]);
  await until("written", 30_000, () => log.backlog === 0);
  rmSync(file);
  mkdirSync(file);
  log.append([line(2)]);
  await until("it failed", 30_000, () => log.problem !== undefined);
  await log.close();
  expect(log.written).toBe(0);
});

it("are those that were brought to the disk", async () => {
  const log = new EventLog(join(folder, "events.jsonl"), 0);
  log.append([line(1), line(2)]);
  await log.close();
  expect(log.written).toBe(2);
});

it("are those that a start found, since it brings them to the disk", () => {
  const file = join(folder, "events.jsonl");
  writeFileSync(file, `${line(1).line}\n${line(2).line}\n{"se`);
  const before = synced.files;
  expect(healEventLog(file).seq).toBe(2);
  expect(synced.files - before).toBe(1);
});

it.each([10, 300_000, 2_000_000])("are those before %i zeros that a power cut left", (zeros) => {
  const file = join(folder, "events.jsonl");
  const whole = `${line(1).line}\n${line(2).line}\n`;
  writeFileSync(file, whole + "\0".repeat(zeros));
  expect(healEventLog(file).seq).toBe(2);
  expect(readFileSync(file, "utf8")).toBe(whole);
});
