import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { EffectiveLimits } from "../../../core/gpu";
import { defaultLimitsDocument, type LimitsDocument, parseLimits, resolveLimits } from "../../../core/limits";
import { replaceFile } from "../files";
import type { LimitsPort } from "./ports";

export interface LimitsSourceOptions {
  file: string;
  lastGood: string;
  /** The group that the stack gives a user; `known` false: the stack does not name this user. */
  account(user: string): { known: boolean; group?: string };
  onEvent(level: "info" | "error", event: string, message: string): void;
}

/** Users see it, so it names no one; `problem` is for the operator. */
const noDocument = "there is no usable limits document";

type Read = { ok: true; document: LimitsDocument } | { ok: false; problem: string };

/**
 * The limits document in force. A file that is corrupt or that breaks the rules changes nothing: the last good one
 * stays in force, also over a restart, and `problem` says so.
 */
export class LimitsSource implements LimitsPort {
  problem: string | undefined;
  /** Set: there is no document to go by, good or last good. Nothing new is granted then. */
  closed: string | undefined;
  private current: LimitsDocument = defaultLimitsDocument;
  private text: string | undefined;
  private readonly listeners = new Set<() => void>();
  private readonly resolved = new Map<string, EffectiveLimits | undefined>();

  constructor(private readonly options: LimitsSourceOptions) {
    const first = this.read(options.file);
    if (first.ok) {
      this.adopt(first.document);
      return;
    }
    this.complain(first.problem);
    if (!existsSync(options.lastGood)) {
      this.closed = noDocument;
      return;
    }
    const last = this.read(options.lastGood);
    if (last.ok) this.current = last.document;
    else {
      this.closed = noDocument;
      this.problem = `${first.problem} And the last good one: ${last.problem}`;
    }
  }

  get document(): LimitsDocument {
    return this.current;
  }

  of(user: string): EffectiveLimits | undefined {
    // Asked for each grant of each turn; the document changes rarely.
    if (this.resolved.has(user)) return this.resolved.get(user);
    const { known, group } = this.options.account(user);
    const named = Object.values(this.current.groups ?? {}).some(({ members }) => members?.includes(user));
    const found =
      known || named || Object.hasOwn(this.current.user_overrides ?? {}, user)
        ? resolveLimits(this.current, user, group)
        : undefined;
    // Names that nobody declared come from callers: they are not kept.
    if (found) this.resolved.set(user, found);
    return found;
  }

  group(user: string): string | undefined {
    return this.options.account(user).group;
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Users or their groups changed. */
  accountsChanged(): void {
    this.resolved.clear();
    for (const listener of this.listeners) listener();
  }

  /** Reads the file again; does nothing when it has not changed. */
  reload(): void {
    const before = this.text;
    const read = this.read(this.options.file);
    if (!read.ok) {
      this.complain(read.problem);
      return;
    }
    if (this.text === before && this.problem === undefined) return;
    const mended = this.problem !== undefined;
    this.adopt(read.document);
    this.options.onEvent(
      "info",
      "limits-changed",
      mended ? "The limits document is good again and in force." : "A new limits document is in force.",
    );
    for (const listener of this.listeners) listener();
  }

  private adopt(document: LimitsDocument): void {
    this.current = document;
    this.problem = undefined;
    this.closed = undefined;
    this.resolved.clear();
    this.save();
  }

  private complain(problem: string): void {
    const message = `${problem} The last good limits stay in force.`;
    if (this.problem === message) return;
    this.problem = message;
    this.options.onEvent("error", "limits-refused", message);
  }

  private read(file: string): Read {
    let text: string;
    try {
      // No file: the stack declares no limits.
      if (file === this.options.file && !existsSync(file)) {
        this.text = undefined;
        return { ok: true, document: defaultLimitsDocument };
      }
      text = readFileSync(file, "utf8");
    } catch (error) {
      return { ok: false, problem: `${file} cannot be read: ${(error as Error).message}.` };
    }
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      return { ok: false, problem: `${file} is not JSON: ${(error as Error).message}.` };
    }
    const parsed = parseLimits(value);
    if (parsed.ok) {
      if (file === this.options.file) this.text = text;
      return parsed;
    }
    const all = parsed.problems.map(
      ({ path, problem, allowed, fix }) =>
        `${path || "(the document)"} ${problem}; allowed: ${allowed}; ${fix}`,
    );
    return { ok: false, problem: `${file} breaks the rules of a limits document: ${all.join(" | ")}.` };
  }

  private save(): void {
    const { lastGood } = this.options;
    try {
      if (this.text === undefined) rmSync(lastGood, { force: true });
      else {
        mkdirSync(dirname(lastGood), { recursive: true, mode: 0o700 });
        replaceFile(lastGood, this.text, 0o644);
      }
    } catch (error) {
      this.options.onEvent(
        "error",
        "limits-not-kept",
        `${lastGood} cannot be written (${(error as Error).message}): the limits are in force, and a restart with a corrupt file would find no last good ones.`,
      );
    }
  }
}
