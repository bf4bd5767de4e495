/** Why the ledger's database cannot be used. */
export type StoreTrouble = "full" | "io" | "busy" | "corrupt" | "newer" | "locked" | "other";

/**
 * `full`, `io`, `busy`: nothing was written, and the next try may succeed. `corrupt`: the file, or the row that is
 * named, is not as it should be. `newer`: written by a later Berth. `locked`: another berthd has it.
 */
export class StoreError extends Error {
  constructor(
    readonly trouble: StoreTrouble,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = "StoreError";
  }
}

// Result codes of SQLite; the upper bits of an extended code tell more of the same.
const troubles: Record<number, StoreTrouble> = {
  5: "busy",
  6: "busy",
  8: "io",
  10: "io",
  11: "corrupt",
  13: "full",
  14: "io",
  26: "corrupt",
};

/** What SQLite said, as a StoreError. */
export function storeError(error: unknown, doing: string): StoreError {
  if (error instanceof StoreError) return error;
  const code = (error as { errcode?: unknown }).errcode;
  const trouble = typeof code === "number" ? (troubles[code & 0xff] ?? "other") : "other";
  const said = error instanceof Error ? error.message : String(error);
  return new StoreError(trouble, `The ledger's database failed while ${doing}: ${said}`, { cause: error });
}
