/** What is asked for, from the options of a command. */
import { type Ask, type Strategy, strategies } from "../../../core/gpu";
import { formatDuration, parseDuration, parseSize } from "../../../core/limits";
import { type Failure, usage } from "./failure";
import type { AskView } from "./views";

export const kinds: readonly Ask["kind"][] = ["gpu", "mig", "share"];

/** As commander gives them: text, unless said otherwise. */
export interface AskOptions {
  kind?: string;
  count?: string;
  profile?: string;
  model?: string;
  memory?: string;
  strategy?: string;
  pin?: string[];
}

/**
 * @throws {Failure} with every problem at once
 */
export function readAsk(options: AskOptions): Ask {
  const problems: string[] = [];
  const note = <T>(read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      problems.push((error as Failure).message);
      return undefined;
    }
  };
  const kind = options.kind ?? (options.profile === undefined ? "gpu" : "mig");
  if (!isOneOf(kinds, kind)) problems.push(`--kind ${kind}: one of ${kinds.join(", ")}`);
  const pins = options.pin?.length ? options.pin : undefined;
  const count = note(() => readCount("--count", options.count ?? `${pins?.length ?? 1}`));
  const memoryMiB = options.memory === undefined ? undefined : note(() => readMemory(options.memory ?? ""));
  const { strategy } = options;
  if (strategy !== undefined && !isOneOf(strategies, strategy))
    problems.push(`--strategy ${strategy}: one of ${strategies.join(", ")}`);
  if (options.profile !== undefined && kind !== "mig")
    problems.push(`--profile is of --kind mig, not of ${kind}`);
  if (kind === "share" && options.memory === undefined)
    problems.push("--kind share needs --memory: how much of the GPU's memory");
  if (kind === "share" && count !== undefined && count !== 1)
    problems.push("--kind share is of one GPU: --count 1");
  if (pins && count !== undefined && pins.length !== count)
    problems.push(`--count ${count} and ${pins.length} times --pin: as many as --count`);
  if (problems.length > 0) throw usage(problems.join("; "));
  return {
    kind: kind as Ask["kind"],
    count: count ?? 1,
    ...(options.profile !== undefined && { profile: options.profile }),
    ...(options.model !== undefined && { model: options.model }),
    ...(memoryMiB !== undefined && { memoryMiB }),
    ...(strategy !== undefined && { strategy: strategy as Strategy }),
    ...(pins && { pins }),
  };
}

function isOneOf<T extends string>(all: readonly T[], value: string): value is T {
  return (all as readonly string[]).includes(value);
}

/** A whole number from 1. */
export function readCount(name: string, text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || !Number.isSafeInteger(value))
    throw usage(`${name} ${text}: a whole number from 1`);
  return value;
}

const MIB = 1024 ** 2;

/** `20GiB`, `20g`, `20480MiB`: whole MiB. */
export function readMemory(text: string): number {
  const value = Math.floor((parseSize(text) ?? 0) / MIB);
  if (value < 1) throw usage(`--memory ${text}: a size with its unit, such as 20GiB or 512MiB`);
  return value;
}

/** `90s`, `30m`, `1h30m`: whole seconds, at least one. */
export function readDuration(name: string, text: string): number {
  const value = parseDuration(text);
  if (!value) throw usage(`${name} ${text}: a time with its unit, such as 90s, 30m or 1h30m`);
  return value;
}

/** The same from `0`, and no more than `most` seconds. */
export function readDurationUpTo(name: string, text: string, most: number): number {
  const value = parseDuration(text);
  if (value === undefined || value > most)
    throw usage(
      `${name} ${text}: 0, or a time with its unit, such as 90s or 24h; at most ${formatDuration(most)}`,
    );
  return value;
}

/** What somebody asked for, in words: `2 x MIG 1g.10gb of an H100, at least 10 GiB each`. */
export function askInWords(ask: AskView, memoryInWords: (mebibytes: number) => string): string {
  const what = ask.kind === "gpu" ? "GPU" : ask.kind === "mig" ? `MIG ${ask.profile ?? "instance"}` : "share";
  const size = ask.memoryMiB === undefined ? "" : memoryInWords(ask.memoryMiB);
  const parts = [
    `${ask.count} x ${what}`,
    ask.kind === "share" && size ? `of ${size}` : "",
    ask.model ? `on ${ask.model}` : "",
    ask.kind !== "share" && size ? `from ${size}` : "",
    ask.pins?.length ? `exactly ${ask.pins.join(", ")}` : "",
  ];
  return parts.filter(Boolean).join(" ");
}
