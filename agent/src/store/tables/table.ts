import type { DatabaseSync } from "node:sqlite";
import type { z } from "zod";
import { StoreError, storeError } from "../errors";

/**
 * One table: its statements, and what each of its rows must be. What writes is called within a transaction of the
 * store's; what reads throws a `StoreError`.
 */
export abstract class Table<Row> {
  constructor(
    protected readonly db: DatabaseSync,
    private readonly name: string,
    private readonly shape: z.ZodType<Row>,
  ) {}

  /** Removes rows that are too old to matter. @param _now milliseconds since the epoch */
  prune(_now: number): void {}

  /** Whether something is a row of it. */
  takes(row: unknown): row is Row {
    return this.shape.safeParse(row).success;
  }

  /** @throws {StoreError} for whatever goes wrong in `run` */
  protected read<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      throw storeError(error, `reading the table ${this.name}`);
    }
  }

  /** The row, if it is as it should be. @throws {StoreError} `corrupt`, naming the table and the key */
  protected checked(key: string | number, row: unknown): Row {
    const seen = this.shape.safeParse(row);
    // The row as it was read, with the order of its fields and with those that a later berthd added.
    if (seen.success) return row as Row;
    const wrong = seen.error.issues.map(({ path, message }) => `${path.join(".") || "row"}: ${message}`);
    throw this.corrupt(key, wrong.join("; "));
  }

  /** The row that a JSON column holds. @throws {StoreError} `corrupt`, naming the table and the key */
  protected parsed(key: string | number, body: string): Row {
    return this.checked(key, this.json(key, body));
  }

  /** What a JSON column holds. @throws {StoreError} `corrupt`, naming the table and the key */
  protected json(key: string | number, body: string): unknown {
    try {
      return JSON.parse(body);
    } catch (error) {
      throw this.corrupt(key, `its body is not JSON: ${(error as Error).message}`);
    }
  }

  protected corrupt(key: string | number, why: string): StoreError {
    return new StoreError("corrupt", `Row ${key} of the table ${this.name} is not as it should be: ${why}`);
  }
}
