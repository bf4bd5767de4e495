/**
 * While the node's program for MIG layouts has its lock nothing is granted, nor until the GPUs were read again. Proves: a
 * real lock of another program's is seen, and its end in whatever way; a cut that nobody saw being made as well; the
 * ledger asks before each turn, not at a tick.
 */
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Busy, MigGuard } from "../../../../agent/src/inventory";
import { until } from "../../../lib/until";
import { api, endAfterEachTest } from "../http/cases";
import { closeRigs, got, refused, rigged, wish } from "../service/cases";
import { Gpus, inventoryOf } from "../service/rig";

closeRigs();
endAfterEachTest();

let folder = "";
let file = "";
const children: ReturnType<typeof spawn>[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-mig-"));
  file = join(folder, "mig.lock");
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

/** Another program that has the lock, as the node's program takes it. */
async function holder(): Promise<ReturnType<typeof spawn>> {
  const code =
    "import fcntl, os, sys, time; f = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)\n" +
    "fcntl.flock(f, fcntl.LOCK_EX); os.utime(f); print('held', flush=True); time.sleep(600)";
  const child = spawn("python3", ["-c", code, file], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  await new Promise((resolve) => child.stdout?.once("data", resolve));
  return child;
}

/** A guard whose readings end when the test says so. */
function guarded() {
  const readings: (() => void)[] = [];
  let changed = 0;
  const guard = new MigGuard({
    file,
    refresh: () => new Promise<void>((resolve) => readings.push(resolve)),
    changed: () => {
      changed++;
    },
  });
  const read = async () => {
    await until("a reading", 5_000, () => readings.length > 0);
    readings.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { guard, read, readings, changed: () => changed };
}

describe("the guard of the GPUs", () => {
  it("says nothing where no GPU was ever divided", () => {
    const { guard, readings } = guarded();
    for (let n = 0; n < 3; n++) expect(guard.look()).toBeUndefined();
    expect(readings).toHaveLength(0);
  });

  it("sees another program's lock, and waits for two readings after it, the first of which may be old", async () => {
    const { guard, read, readings, changed } = guarded();
    const child = await holder();
    for (let n = 0; n < 3; n++) expect(guard.look()?.why).toContain("are being divided");
    expect(readings).toHaveLength(0);
    // However it ends.
    child.kill("SIGKILL");
    await until("the lock is free", 5_000, () => guard.look()?.why.includes("are being read") === true);
    await read();
    expect(guard.look()?.why).toContain("are being read");
    await read();
    expect(guard.look()).toBeUndefined();
    expect([changed(), readings.length]).toEqual([1, 0]);
  });

  it("sees that GPUs were divided between two looks", async () => {
    writeFileSync(file, "");
    const { guard, read } = guarded();
    expect(guard.look()).toBeUndefined();
    utimesSync(file, new Date(), new Date(Date.now() + 1000));
    expect(guard.look()?.why).toContain("are being read");
    await read();
    await read();
    expect(guard.look()).toBeUndefined();
  });

  it("reads once more for what happened during the readings", async () => {
    const { guard, read } = guarded();
    let child = await holder();
    expect(guard.look()?.why).toContain("divided");
    child.kill("SIGKILL");
    await until("it is read", 5_000, () => guard.look()?.why.includes("are being read") === true);
    await read();
    child = await holder();
    expect(guard.look()?.why).toContain("are being divided");
    await read();
    child.kill("SIGKILL");
    await until("it is read again", 5_000, () => guard.look()?.why.includes("are being read") === true);
    await read();
    expect(guard.look()?.why).toContain("are being read");
    await read();
    expect(guard.look()).toBeUndefined();
  });

  it("began while the lock was held, waits for its end as well", async () => {
    const child = await holder();
    const { guard, read } = guarded();
    expect(guard.look()?.why).toContain("are being divided");
    child.kill("SIGKILL");
    await until("the lock is free", 5_000, () => guard.look()?.why.includes("are being read") === true);
    await read();
    await read();
    expect(guard.look()).toBeUndefined();
  });

  it("is on the safe side where the lock cannot be asked", () => {
    writeFileSync(file, "");
    const guard = new MigGuard({
      file,
      refresh: async () => {},
      changed: () => {},
      held: () => {
        throw new Error("no room for a file");
      },
    });
    expect(guard.look()?.why).toBe("whether the GPUs are divided anew cannot be told: no room for a file");
    chmodSync(file, 0o600);
  });
});

describe("the ledger", () => {
  it("grants nothing from the lock's first moment on, and again once the GPUs were read", async () => {
    let busy: Busy | undefined;
    const gpus = new Gpus({ inventory: inventoryOf(1), readAt: Date.now() });
    // No tick in between: each request is judged by how it is then.
    const { ledger } = await rigged({ gpus, options: { busy: () => busy, tickEvery: 3_600_000 } });
    const before = got(await ledger.reserve(wish("alice")));
    busy = { why: "the GPUs are being divided anew (MIG)", passes: false };
    const no = refused(await ledger.reserve(wish("bob")));
    expect([no.code, no.message]).toEqual(["closed", expect.stringContaining("divided anew")]);
    // An `up` that divided them goes on with the grants: it waits, and is not refused.
    const declared = [{ key: "workspace/bob", user: "bob", ask: wish("bob").ask }];
    let applied = false;
    const pool = ledger.applyDeclared(declared).finally(() => {
      applied = true;
    });
    expect(ledger.health().reasons.join()).toContain("divided anew");
    // What is granted goes on, and ends as it would.
    expect(got(await ledger.bind({ id: before.id, token: before.token, container: "c1" })).state).toBe(
      "bound",
    );
    const waits = ledger.reserve(wish("carol", { waitSeconds: 60 }));
    expect(refused(await waits).code).toBe("closed");
    expect(applied).toBe(false);
    busy = undefined;
    expect(Object.keys(got(await pool).assignment)).toEqual(["workspace/bob"]);
    expect(got(await ledger.reserve(wish("bob"))).user).toBe("bob");
  });

  it("shows the stack what there is only once the GPUs were read, and does not wait for a cut", async () => {
    const reads: Busy = { why: "the GPUs were divided anew (MIG), and are being read", passes: true };
    let busy: Busy | undefined = reads;
    const made = await api({ options: { busy: () => busy, tickEvery: 3_600_000 } });
    let answered = false;
    const shown = made.call("GET", "/api/declared", { socket: made.main }).finally(() => {
      answered = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(answered).toBe(false);
    busy = undefined;
    expect((await shown).body).not.toHaveProperty("closed");
    // Whoever has the lock may be asking this: the agent stage does.
    busy = { why: "the GPUs are being divided anew", passes: false };
    expect((await made.call("GET", "/api/declared", { socket: made.main })).body.closed).toContain(
      "divided anew",
    );
  });
});
