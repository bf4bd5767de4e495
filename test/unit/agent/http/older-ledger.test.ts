/**
 * A ledger that berthd of commit 31dfb70 wrote (test/fixtures/stack-31dfb70), opened by this one.
 * Proves: who holds which GPU stays so, with id, token, state and times; what the stack declared is granted already; the
 * history is there; a request sent again gets its grant, a bearer token is known, and a revoked one is not.
 */
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, it } from "vitest";
import { schemaVersion } from "../../../../agent/src/store";
import type { Grant } from "../../../../core/gpu";
import { FakeContainers, Limits } from "../service/rig";
import { type Api, makeApi } from "./rig";

const SQL = readFileSync(join(__dirname, "../../../fixtures/stack-31dfb70/ledger.sql"), "utf8");
/** What its berthd answered as it made them. */
const TOKENS = {
  scheduler: "berth_qvCG21lpTuvr3pw70gSO_Ybv1BSLr-S1Zw0UBunH7Tc",
  gone: "berth_8fEIL5YXNo6UDVbV1Q8iYpRZ-y9L0evntXJUsC_d0qw",
  alice: "berth_s_2gXKGH7xm1bxLdpR2KWOv_MBctw6UG-OiAYQd-ppw",
};
const declared = ["alice", "bob"].map((user) => ({
  key: `workspace/${user}`,
  user,
  ask: { kind: "mig", profile: "1g.10gb", count: 1 },
}));

let made: Api;
/** All grants as they were written, oldest first. */
let written: Grant[];

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "berth-older-"));
  const db = new DatabaseSync(join(folder, "ledger.db"));
  // As if it had been written just now: holds and reservations end after a while.
  const recorded = Number(/VALUES\(1,'grants.*',(\d+)\)/.exec(SQL)?.[1]);
  const late = Date.now() - recorded;
  db.exec(SQL.replace(/\b1[0-9]{12}\b/g, (at) => String(Number(at) + late)));
  written = db
    .prepare("SELECT body FROM grants ORDER BY token")
    .all()
    .map(({ body }) => JSON.parse(String(body)));
  expect(db.prepare("SELECT max(version) AS version FROM migrations").get()).toEqual({ version: 1 });
  db.close();
  const containers = new FakeContainers();
  const seen = (container: string, user: string, unit: string, grant: string, running: boolean) => ({
    ...{ container, name: `berth-${container}`, user, units: [unit], grant, running },
  });
  containers.seen = [
    seen("c-alice", "alice", "MIG-0-0", "workspace/alice", true),
    seen("c-bob", "bob", "MIG-0-2", "gmx37aree54627509", false),
  ];
  const limits = new Limits();
  limits.hold = 3600;
  made = await makeApi({ folder, containers, limits });
});
afterAll(() => made.close());

it("has the schema of this version, and is not taken for a lost one", () => {
  const db = new DatabaseSync(join(made.folder, "ledger.db"), { readOnly: true });
  expect(db.prepare("SELECT max(version) AS version FROM migrations").get()).toEqual({
    version: schemaVersion,
  });
  db.close();
  expect(schemaVersion).toBeGreaterThan(1);
  expect([made.store.loaded.lost, made.fatal]).toEqual([undefined, []]);
});

it("keeps who holds what: bound, held, reserved, and declared by the stack", async () => {
  const live = written.filter(({ state }) => state !== "released");
  expect(live.map(({ state, key, user }) => [state, key ?? user])).toEqual([
    ["bound", "workspace/alice"],
    ["reserved", "workspace/bob"],
    ["held", "bob"],
    ["reserved", "alice"],
  ]);
  expect(made.ledger.grants().sort((a, b) => a.token - b.token)).toEqual(live);
  const { body } = await made.call("GET", "/api/grants");
  expect(body.grants.map(({ id }: Grant) => id).sort()).toEqual(live.map(({ id }) => id).sort());
});

it("has granted already what the stack declares", async () => {
  const before = made.ledger.grants();
  const plan = await made.call("POST", "/api/declared/plan", { body: { declared } });
  expect(plan.status, plan.text).toBe(200);
  const { assignment } = plan.body;
  expect(Object.keys(assignment).sort()).toEqual(["workspace/alice", "workspace/bob"]);
  const applied = await made.call("POST", "/api/declared", { body: { declared, expect: assignment } });
  expect(applied.status, applied.text).toBe(200);
  expect(made.ledger.grants()).toEqual(before);
});

it("keeps the history", async () => {
  const { body } = await made.call("GET", "/api/history");
  expect(body.grants).toEqual([...written].reverse());
  expect(body.grants.map(({ state }: Grant) => state)).toContain("released");
});

it("gives a request that is sent again the grant that it got", async () => {
  const send = (key: string) =>
    made.call("POST", "/api/grants", {
      socket: made.socketOf("bob"),
      body: { ask: { kind: "mig", count: 1 }, purpose: "training", idempotency_key: key },
    });
  const again = await send("bob-1");
  expect(again.status, again.text).toBe(201);
  expect(again.body).toMatchObject({ id: written[2]?.id, token: 3, state: "held" });
  const other = await send("bob-2");
  expect(other.body.token).toBe(6);
});

it("knows its bearer tokens, and which of them was revoked", async () => {
  const whoami = (token: string) => made.call("GET", "/api/whoami", { port: made.servers.port, token });
  expect((await whoami(TOKENS.scheduler)).body).toMatchObject({ role: "service" });
  expect((await whoami(TOKENS.alice)).body).toMatchObject({ role: "user", user: "alice" });
  expect((await whoami(TOKENS.gone)).status).toBe(401);
});
