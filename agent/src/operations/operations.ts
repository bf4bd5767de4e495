import type { Result } from "../../../core/gpu";
import type { OperationRow, Turn } from "../store";
import { fault, OPERATIONS, type OperationKind, type StepOf } from "./kinds";

export interface Operation extends Omit<OperationRow, "over"> {
  kind: OperationKind;
}

/** The step of an operation whose caller was told that it failed: nothing of it is to stay. */
export const UNDO = "undo";

/**
 * Brings an operation to an end that was cut off, or that failed and left something behind (`UNDO`). It may itself be cut
 * off, and is then called again.
 */
export type Recover = (operation: Operation) => Promise<void>;

/** Notes the step, then does it. */
export type Step<Kind extends OperationKind> = <T>(name: StepOf<Kind>, act: () => Promise<T>) => Promise<T>;

export interface OperationsOptions {
  /** Those that the database has. */
  loaded: readonly OperationRow[];
  /** Writes in a turn of the one writer. */
  write(decide: (turn: Pick<Turn, "put">) => Result<void>): Promise<Result<void>>;
  log: { warn(data: object, message: string): void };
  /** Milliseconds since the epoch. @default Date.now */
  now?(): number;
}

/** A step that could not be noted, so that it was not done. */
export class NotNoted extends Error {}

/** The journal of operations: what is under way survives a berthd that is killed, and a loss of power. */
export class Operations {
  private readonly noted = new Map<string, Operation>();
  private readonly underWay = new Set<string>();
  private readonly recovers = new Map<OperationKind, Recover>();

  constructor(private readonly options: OperationsOptions) {
    for (const row of options.loaded) {
      if (row.kind in OPERATIONS) this.noted.set(row.id, row as Operation);
      else
        options.log.warn(
          { operation: row.id, kind: row.kind },
          "an operation of an unknown kind is left alone",
        );
    }
  }

  /** Whether an operation of this id is under way, or was cut off and is not brought to an end yet. */
  has(id: string): boolean {
    return this.noted.has(id) || this.underWay.has(id);
  }

  /** Whether an operation of the kind is under way, or was cut off and is not brought to an end yet. */
  hasKind(kind: OperationKind): boolean {
    return [...this.noted.values()].some((one) => one.kind === kind);
  }

  /** Says how operations of the kind are brought to an end. */
  handle(kind: OperationKind, recover: Recover): void {
    this.recovers.set(kind, recover);
  }

  /** Kinds of operations that were cut off, and that nobody handles. */
  get unhandled(): OperationKind[] {
    const kinds = new Set([...this.noted.values()].map(({ kind }) => kind));
    return [...kinds].filter((kind) => !this.recovers.has(kind));
  }

  /**
   * Notes an operation and does it. When `work` throws, something may be left: `recover` is called for it later, with
   * the step `UNDO`.
   *
   * @param work does each step by the function that it is given, the first one too
   * @returns a refusal of the note, of which nothing was done, or what `work` returns
   * @throws Error for a kind that nobody handles: it could not be brought to an end
   */
  async run<Kind extends OperationKind, T>(
    kind: Kind,
    { id, owner, body }: Pick<Operation, "id" | "owner" | "body">,
    work: (step: Step<Kind>) => Promise<Result<T>>,
  ): Promise<Result<T>> {
    if (!this.recovers.has(kind)) throw new Error(`Nobody brings operations of kind ${kind} to an end.`);
    const at = (this.options.now ?? Date.now)();
    const operation: Operation = { id, kind, owner, step: OPERATIONS[kind][0], body, at };
    const begun = await this.note(operation);
    if (!begun.ok) return begun;
    this.underWay.add(id);
    try {
      const done = await work(async (name, act) => {
        if (name !== operation.step) await this.must({ ...operation, step: name });
        operation.step = name;
        fault(`${kind}:before-${name}`);
        const result = await act();
        fault(`${kind}:after-${name}`);
        return result;
      });
      await this.end(operation);
      return done;
    } catch (error) {
      const failed = { ...operation, step: UNDO };
      const undo = await this.note(failed);
      if (!undo.ok) {
        // This berthd knows it all the same; after a restart the step that is noted decides.
        this.noted.set(id, failed);
        this.warn(operation, undo.refusal.message);
      }
      throw error;
    } finally {
      this.underWay.delete(id);
    }
  }

  /**
   * Ends all operations that nobody is at. Its caller waits for one call before the next.
   *
   * @throws Error with all that could not be done; the rest is.
   */
  async recover(): Promise<void> {
    const problems: string[] = [];
    for (const id of [...this.noted.keys()]) {
      // As it stands now: it may have ended, or failed, while others were recovered.
      const operation = this.noted.get(id);
      if (operation === undefined || this.underWay.has(id)) continue;
      try {
        await this.recovers.get(operation.kind)?.(operation);
        await this.end(operation);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        problems.push(`${operation.kind} ${operation.id}: ${why}`);
      }
    }
    if (problems.length > 0) throw new Error(problems.join("; "));
  }

  private async note(operation: Operation): Promise<Result<void>> {
    const row = { ...operation };
    const written = await this.options.write((turn) => {
      turn.put("operations", row);
      return { ok: true, value: undefined };
    });
    if (written.ok) this.noted.set(row.id, row);
    return written;
  }

  private async must(operation: Operation): Promise<void> {
    const written = await this.note(operation);
    if (!written.ok) throw new NotNoted(written.refusal.message);
  }

  private async end(operation: Operation): Promise<void> {
    const written = await this.options.write((turn) => {
      turn.put("operations", { ...operation, over: true });
      return { ok: true, value: undefined };
    });
    // It is over all the same; its note is found and taken away by the next recovery.
    if (written.ok) this.noted.delete(operation.id);
    else this.warn(operation, written.refusal.message);
  }

  private warn({ id, kind }: Operation, reason: string): void {
    this.options.log.warn({ operation: id, kind, reason }, "the end of an operation could not be noted");
  }
}
