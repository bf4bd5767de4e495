/**
 * @file Shows numbered steps with their times, and keeps a log of all they do.
 *
 * On a terminal the running step is one line that moves; elsewhere each event is a plain line with the time of day.
 */
import { appendFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cut, duration } from "./format.mjs";
import { interrupted } from "./process.mjs";

const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/** Logs of so many earlier runs are kept. */
const KEPT_LOGS = 20;

/** Where no line moves, a long step says what it is at so often. */
const QUIET_MS = 20_000;

/**
 * One running step.
 * @typedef {object} Step
 * @property {(text: string) => void} note  says what goes on now
 * @property {(line: string) => void} line  a line of some program's output: into the log, and as the moving text
 * @property {(way: string) => void} done  ends it: which way was taken, or what was found
 * @property {(how?: string) => void} failed  ends it badly: "failed" (the error itself is shown by the caller) or
 *   "stopped"
 */

/** A step's end without a value. @param {string} way */
export const told = (way) => ({ way, value: undefined });

/**
 * Runs one step: shows it, and shows that it failed when it throws.
 * @template T
 * @param {Pick<Ui, "step">} ui
 * @param {string} title
 * @param {(step: Step) => Promise<{way: string, value: T}>} work
 * @returns {Promise<T>}
 */
export async function runStep(ui, title, work) {
  const step = ui.step(title);
  try {
    const { way, value } = await work(step);
    step.done(way);
    return value;
  } catch (error) {
    step.failed(interrupted() ? "stopped" : "failed");
    throw error;
  }
}

export class Ui {
  /**
   * @param {{logs: string, name: string, total: number, out?: NodeJS.WriteStream}} options `logs`: folder of the
   *   logs; `name`: what the log is called after; `total`: number of steps
   */
  constructor({ logs, name, total, out = process.stdout }) {
    this.out = out;
    this.total = total;
    this.count = 0;
    this.began = Date.now();
    this.moving = Boolean(out.isTTY) && process.env.TERM !== "dumb" && !process.env.CI;
    mkdirSync(logs, { recursive: true, mode: 0o700 });
    this.logFile = join(logs, `${name}-${new Date().toISOString().replaceAll(":", "").slice(0, 17)}.log`);
    writeFileSync(this.logFile, "", { mode: 0o600 });
    const old = readdirSync(logs).filter((file) => file.startsWith(`${name}-`) && file.endsWith(".log"));
    for (const file of old.sort().slice(0, -KEPT_LOGS)) rmSync(join(logs, file), { force: true });
  }

  /** @param {string} text */
  log(text) {
    appendFileSync(this.logFile, `${new Date().toISOString()} ${text}\n`);
  }

  /**
   * A plain line, outside any step.
   * @param {string} [text]
   */
  say(text = "") {
    this.#clear();
    this.out.write(`${text}\n`);
    if (text) this.log(text);
  }

  /**
   * Begins a step. Only one runs at a time.
   * @param {string} title
   * @returns {Step}
   */
  step(title) {
    this.count += 1;
    const began = Date.now();
    const label = `[${this.count}/${this.total}] ${title}`;
    let text = "";
    let lastShown = began;
    let frame = 0;
    this.log(`${label}: begins`);
    const draw = () => {
      frame = (frame + 1) % FRAMES.length;
      const line = `${FRAMES[frame]} ${label}  ${duration(Date.now() - began)}  ${text}`;
      this.out.write(`\r\u001b[2K${cut(line, (this.out.columns || 80) - 1)}`);
    };
    /** @param {string} shown */
    const plainLine = (shown) => {
      lastShown = Date.now();
      this.out.write(`${new Date().toTimeString().slice(0, 8)} ${label}: ${shown}\n`);
    };
    const remind = () => {
      if (Date.now() - lastShown < QUIET_MS) return;
      plainLine(`${text || "at work"} (${duration(Date.now() - began)} so far)`);
    };
    const timer = this.moving ? setInterval(draw, 120) : setInterval(remind, 1000);
    timer.unref();
    /** @param {string} mark @param {string} way */
    const end = (mark, way) => {
      clearInterval(timer);
      this.#clear();
      const time = duration(Date.now() - began);
      this.log(`${label}: ${way} (${time})`);
      if (this.moving) this.out.write(`${mark} ${label}: ${way}  (${time})\n`);
      else plainLine(`${way} (${time})`);
    };
    return {
      note: (note) => {
        text = note;
        this.log(`${label}: ${note}`);
        if (!this.moving) plainLine(note);
      },
      line: (line) => {
        if (!line.trim()) return;
        text = line.trim();
        this.log(`  | ${line}`);
        if (!this.moving && Date.now() - lastShown > QUIET_MS && Date.now() - began > QUIET_MS)
          plainLine(text);
      },
      done: (way) => end("✔", way),
      failed: (how = "failed") => end("✘", how),
    };
  }

  /** @returns {string} time since the beginning */
  elapsed() {
    return duration(Date.now() - this.began);
  }

  #clear() {
    if (this.moving) this.out.write("\r\u001b[2K");
  }
}
