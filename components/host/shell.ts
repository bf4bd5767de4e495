/**
 * Text for bash, made safely. Pure.
 *
 * Every value that ends up in a rendered script passes through `quote` or `heredoc`, after a check of its own
 * kind where it has one. What cannot be written safely is refused here, before anything reaches a node.
 */

import { LABEL, LINUX_LOGIN } from "../../core/names";
import { isAddress } from "../../core/net";

/** Raised for a value that a host stage cannot take; the message says which, why, and what is allowed. */
export class StageOptionError extends Error {
  constructor(where: string, value: unknown, allowed: string) {
    super(`${where}: ${JSON.stringify(value) ?? String(value)} is not possible here; allowed: ${allowed}`);
    this.name = "StageOptionError";
  }
}

/** True when the text holds a control character (line breaks included). */
export function hasControl(text: string): boolean {
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0;
    if (code < 32 || code === 127) return true;
  }
  return false;
}

/**
 * One bash word that stands for exactly `value`.
 * @throws StageOptionError when the value holds a control character: it could break a line of a script or a log.
 */
export function quote(value: string, where = "a value in a host stage"): string {
  if (hasControl(value)) throw new StageOptionError(where, value, "text without control characters");
  if (/^[A-Za-z0-9_@%+=:,./-]+$/.test(value)) return value;
  return `'${value.replaceAll("'", `'\\''`)}'`;
}

/** Several words, each quoted, with blanks between. */
export function quoteAll(values: readonly string[], where?: string): string {
  return values.map((value) => quote(value, where)).join(" ");
}

/**
 * `<<'WORD'` with the content and the closing word: redirects a command's standard input from literal text.
 * The word is one that is no line of the content. A final line break is added where there is none.
 */
export function heredoc(content: string, where = "a file in a host stage"): string {
  if (content.includes("\0")) throw new StageOptionError(where, content, "text without NUL");
  const lines = new Set(content.split("\n"));
  let word = "BERTH_FILE";
  for (let i = 1; lines.has(word); i++) word = `BERTH_FILE_${i}`;
  return `<<'${word}'\n${content}${content.endsWith("\n") || content === "" ? "" : "\n"}${word}`;
}

/** A Linux login: root too. */
export function checkLinuxLogin(value: string, where: string): string {
  return value === "root" ? value : checkLinuxName(value, where);
}

export function checkLinuxName(value: string, where: string): string {
  if (!LINUX_LOGIN.test(value) || value === "root") {
    throw new StageOptionError(
      where,
      value,
      "a Linux user name: a-z, 0-9, _ and -, a letter first, not root",
    );
  }
  return value;
}

/** A label: stage and node names, used in file names and messages. */
export function checkLabel(value: string, where: string): string {
  if (!LABEL.test(value)) {
    throw new StageOptionError(
      where,
      value,
      "1 to 63 letters, digits, '.', '_' and '-', a letter or digit first",
    );
  }
  return value;
}

/** An absolute path without `.`, `..`, empty parts or control characters. */
export function checkPath(value: string, where: string): string {
  const parts = value.split("/").slice(1);
  const bad = parts.some((part) => part === "" || part === "." || part === "..");
  if (!value.startsWith("/") || bad || hasControl(value)) {
    throw new StageOptionError(where, value, "an absolute path in its shortest form, such as '/data'");
  }
  return value;
}

/** `host:port`, with an address (IPv6 in brackets) or a name: how Docker names a registry. */
export function checkHostPort(value: string, where: string): string {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?):(\d{1,5})$/.exec(value);
  const port = Number(match?.[2]);
  const wrong = match?.[1] !== undefined && !isAddress(match[1]);
  if (!match || wrong || port < 1 || port > 65535) {
    throw new StageOptionError(where, value, "ADDRESS:PORT, such as '10.88.0.2:5000'");
  }
  return value;
}

export function checkWhole(value: number, where: string, from: number, to: number): number {
  if (!Number.isSafeInteger(value) || value < from || value > to) {
    throw new StageOptionError(where, value, `a whole number from ${from} to ${to}`);
  }
  return value;
}
