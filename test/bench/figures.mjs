/**
 * @file What a measurement found: a table for people, or with `--json` a figure on each line; and which bounds are broken.
 */
import { loadavg } from "node:os";
import { table } from "../../scripts/lib/format.mjs";

const json = process.argv.includes("--json");

/** @param {string} line */
const write = (line) => process.stdout.write(`${line}\n`);

export class Figures {
  constructor() {
    /** @type {string[][]} */
    this.rows = [];
    /** @type {{name: string, value?: number, bound?: number, least?: boolean, kept?: boolean}[]} */
    this.figures = [];
    /** @type {string[]} */
    this.broken = [];
  }

  /** A row of the table. @param {...string} cells */
  row(...cells) {
    this.rows.push(cells);
  }

  /**
   * @param {string} name
   * @param {number} value
   * @param {number | "higher" | undefined} bound at most so much; a negative one: at least its amount; none: told alone, and
   *   "higher": so that more of it is better
   * @param {object} detail
   */
  add(name, value, bound, detail) {
    const bounded = typeof bound === "number";
    const kept = !bounded || (bound < 0 ? value >= -bound : value <= bound);
    const told = bounded ? { bound: Math.abs(bound), least: bound < 0, kept } : { least: bound === "higher" };
    this.judge({ name, value: Number(value.toFixed(3)), ...told, detail }, kept);
  }

  /**
   * A figure that has its own judge.
   * @param {{name: string, [more: string]: unknown}} figure
   * @param {boolean} kept
   */
  judge(figure, kept) {
    if (!kept) this.broken.push(figure.name);
    this.figures.push(figure);
  }

  /**
   * Prints all of it, and sets the exit code where a bound is broken.
   * @param {{about: string, head: string[], notes: string[], last: string}} words `notes`: after the figures; `last`: the
   *   last line, for programs that read no other
   */
  print({ about, head, notes, last }) {
    if (json) for (const figure of this.figures) write(JSON.stringify({ ...figure, load: loadavg()[0] }));
    else {
      write(about);
      write(table(head, this.rows));
      for (const { name, value, bound, least, kept } of this.figures) {
        if (value === undefined) continue;
        const said = `(bound: ${least ? "at least" : "at most"} ${bound}${kept ? "" : ", BROKEN"})`;
        write(`${name} ${value}${bound === undefined ? "" : ` ${said}`}`);
      }
      for (const note of notes) write(note);
    }
    if (this.broken.length > 0) {
      process.exitCode = 1;
      process.stderr.write(`Above or below a bound: ${this.broken.join(", ")}\n`);
    }
    if (!json) write(last);
  }
}

/** @param {number} value milliseconds */
export const ms = (value) => `${value.toFixed(value < 10 ? 2 : 0)} ms`;

/** @param {number} value */
export const times = (value) => `${value.toFixed(1)} times`;
