/**
 * @file Pure text helpers: times, sizes, tables, shell quoting.
 */
import { stripVTControlCharacters } from "node:util";

/**
 * A duration for people: "0.4 s", "12 s", "3 min 05 s".
 * @param {number} ms milliseconds
 */
export function duration(ms) {
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}

/**
 * A size for people, in powers of ten: "231 MB", "1.4 GB".
 * @param {number} bytes
 */
export function size(bytes) {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  return `${Math.round(bytes / 1e6)} MB`;
}

/**
 * A text table with aligned columns, two spaces apart, no trailing blanks.
 * @param {string[]} head
 * @param {string[][]} rows
 * @returns {string}
 */
export function table(head, rows) {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)));
  /** @param {string[]} row */
  const line = (row) =>
    row
      .map((cell, column) => (cell ?? "").padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return [line(head), widths.map((width) => "-".repeat(width)).join("  "), ...rows.map(line)].join("\n");
}

/**
 * Quotes a word for POSIX shells; plain words stay as they are.
 * @param {string} word
 */
export function shellQuote(word) {
  if (/^[A-Za-z0-9_/:=.,@%+-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * The text without terminal colours, cursor moves and carriage returns: for log files and parsers.
 * @param {string} text
 */
export function plain(text) {
  return stripVTControlCharacters(text).replace(/\r/g, "");
}

/**
 * One line for a terminal, of words that somebody else chose: nothing in it moves the cursor or turns the line round.
 * @param {string} text
 */
export function printable(text) {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
}

/**
 * Cuts a line to a width, with "…" as its last character when something was cut.
 * @param {string} text
 * @param {number} width
 */
export function cut(text, width) {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}
