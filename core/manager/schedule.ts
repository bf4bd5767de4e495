/** How many containers a pool keeps at which hour of the week, by the local time of its time zone. Pure. */
import { z } from "zod";

const MINUTE = 60_000;
const DAY_MINUTES = 24 * 60;

/** In the order of the week, and in small letters what `Intl` calls them in English. */
const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;

/** `08:30`; `24:00` is the end of the day. */
const CLOCK = /^(?:([01]\d|2[0-3]):([0-5]\d)|24:00)$/;
const clock = z.string().regex(CLOCK, 'is no time: "08:30" is one, and "24:00" the end of the day');

/** The most containers that a pool may be told to keep. */
export const MOST_WARM = 1000;

const entry = z
  .strictObject({
    /** @default every day */
    days: z
      .array(z.enum(DAYS))
      .min(1)
      .refine((days) => new Set(days).size === days.length, "names a day twice")
      .default([...DAYS]),
    /** Its first minute. */
    from: clock.refine((text) => text !== "24:00", 'is "00:00" of the next day'),
    /** The first minute after it; on the next day if it is not later than `from`. */
    to: clock,
    targetSize: z.int().min(0).max(MOST_WARM),
  })
  .refine(({ from, to }) => from !== to, {
    path: ["to"],
    error: 'is the same as "from"; for the whole day write "00:00" and "24:00"',
  });

/** The first entry that the time lies in gives the size; outside of all it is the template's own `targetSize`. */
export const scheduleSchema = z.array(entry).max(64);

/** A name of the IANA data base, such as `Australia/Sydney`. */
export const timeZoneSchema = z
  .string()
  .max(64)
  .refine(isTimeZone, 'is no time zone: a name such as "UTC" or "Australia/Sydney"');

type Entry = z.output<typeof entry>;

/** What the size of a pool follows from. */
export interface Sized {
  targetSize: number;
  minSize: number;
  schedule: readonly Entry[];
  timeZone: string;
}

export interface PoolSize {
  /** Containers that the pool keeps. */
  target: number;
  /** Fewer ready ones than this are urgent. */
  min: number;
}

/** @param now milliseconds since the epoch */
export function sizeAt({ targetSize, minSize, schedule, timeZone }: Sized, now: number): PoolSize {
  const target = scheduled(schedule, timeZone, now)?.targetSize ?? targetSize;
  return { target, min: Math.min(minSize, target) };
}

/** When the size may change next: at the next full minute, in every time zone. Undefined without a schedule. */
export function nextSizeLook({ schedule }: Pick<Sized, "schedule">, now: number): number | undefined {
  return schedule.length === 0 ? undefined : (Math.floor(now / MINUTE) + 1) * MINUTE;
}

function scheduled(schedule: readonly Entry[], timeZone: string, now: number): Entry | undefined {
  if (schedule.length === 0) return undefined;
  const time = wallTime(timeZone, now);
  return schedule.find((one) => holds(one, time));
}

interface WallTime {
  /** Index in `DAYS`. */
  day: number;
  minute: number;
}

/** An entry over midnight belongs to the day on which it begins. */
function holds({ days, from, to }: Entry, { day, minute }: WallTime): boolean {
  const [start, end] = [minuteOf(from), minuteOf(to)];
  const on = (index: number) => days.includes(DAYS[index % 7] as (typeof DAYS)[number]);
  if (start < end) return on(day) && start <= minute && minute < end;
  return (on(day) && start <= minute) || (on(day + 6) && minute < end);
}

function minuteOf(text: string): number {
  const [, hours, minutes] = CLOCK.exec(text) ?? [];
  return hours === undefined ? DAY_MINUTES : Number(hours) * 60 + Number(minutes);
}

/** One for each time zone, as making one takes a thousand times as long as using it. */
const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(timeZone: string): Intl.DateTimeFormat {
  const format = formats.get(timeZone) ?? newFormat(timeZone);
  formats.set(timeZone, format);
  return format;
}

const newFormat = (timeZone: string) =>
  new Intl.DateTimeFormat("en-US", {
    timeZone,
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });

function wallTime(timeZone: string, now: number): WallTime {
  const parts = formatOf(timeZone).formatToParts(now);
  const part = (type: string) => parts.find((one) => one.type === type)?.value ?? "";
  return {
    day: (DAYS as readonly string[]).indexOf(part("weekday").toLowerCase()),
    minute: Number(part("hour")) * 60 + Number(part("minute")),
  };
}

function isTimeZone(name: string): boolean {
  try {
    newFormat(name);
    return true;
  } catch {
    // What Intl throws says no more than that it is none.
    return false;
  }
}
