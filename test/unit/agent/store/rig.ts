/** @file A folder with a ledger on disk for each test, and rows to write into it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import { type Answered, type Batch, Store, type StoredToken, StoreError } from "../../../../agent/src/store";
import type { Grant } from "../../../../core/gpu";

/** Of the test that runs. */
export let folder: string;
/** Of the test that runs: where its ledger is. */
export let file: string;
const open: Store[] = [];

/** Closes what {@link opened} opened. */
export function closeAll(): void {
  for (const store of open.splice(0)) store.close();
}

/** To be called once by a file of tests. */
export function storeForEachTest(): void {
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "berth-store-"));
    file = join(folder, "ledger.db");
  });
  afterEach(() => {
    closeAll();
    rmSync(folder, { recursive: true, force: true });
  });
}

export const NOW = Date.UTC(2026, 10, 21);

/** Closed after the test. @param options `file` is another one than that of the test */
export function opened(options: Partial<Parameters<typeof Store.open>[0]> = {}): Store {
  const store = Store.open({ file, now: NOW, ...options });
  open.push(store);
  return store;
}

export const grant = (token: number, more: Partial<Grant> = {}): Grant => ({
  id: `g${token}`,
  token,
  user: "alice",
  group: "student",
  ask: { kind: "mig", count: 1 },
  units: [
    { uuid: `MIG-${token}`, gpu: "GPU-0", name: "0:0", model: "NVIDIA H100", memoryMiB: 9984, shared: false },
  ],
  state: "reserved",
  purpose: "a test",
  createdAt: NOW,
  ...more,
});

export const event = (seq: number) => ({ seq, line: JSON.stringify({ seq }) });

/** One turn, with these rows. */
export function write(
  store: Store,
  {
    grants,
    answered = [],
    tokens = [],
    ...rest
  }: Omit<Batch, "puts"> & { grants: Grant[]; answered?: Answered[]; tokens?: StoredToken[] },
): void {
  const puts = [
    ...grants.map((row) => ({ table: "grants" as const, row })),
    ...answered.map((row) => ({ table: "answered" as const, row })),
    ...tokens.map((row) => ({ table: "tokens" as const, row })),
  ];
  store.commit({ puts, ...rest });
}

export const trouble = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof StoreError) return `${error.trouble}: ${error.message}`;
    throw error;
  }
  return "none";
};
