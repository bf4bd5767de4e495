/**
 * Bearer tokens that are replaced, over a real database. Proves: the new one is for the same as the old one; the old one
 * ends when it was to end, never later than before; both are written together or not at all, and are there after a
 * restart; what cannot be replaced is refused with what to do, and nothing is changed then; those of who left end for
 * good, whoever has the name later.
 */
import { describe, expect, it } from "vitest";
import { Tokens } from "../../../../agent/src/http";
import { type StoredToken, StoreError } from "../../../../agent/src/store";
import type { Result } from "../../../../core/gpu";
import { makeRig, type Rig } from "../service/rig";
import { api, endAfterEachTest, endings } from "./cases";

endAfterEachTest();

const day = 86_400;
const start = 1_800_000_000_000;

interface Kept {
  rig: Rig;
  tokens: Tokens;
  users: Set<string>;
  clock: { now: number };
  /** As a berthd that starts now reads them. */
  reread(): Tokens;
}

async function kept(): Promise<Kept> {
  const rig = await makeRig();
  endings.push(() => rig.close());
  const users = new Set(["alice"]);
  const clock = { now: start };
  const reread = () =>
    new Tokens(
      rig.store.tables.tokens,
      (...args) => rig.ledger.saveTokens(...args),
      (what, name) => what === "user" && users.has(name),
      () => true,
      () => clock.now,
    );
  return { rig, tokens: reread(), users, clock, reread };
}

function got<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(result.refusal.message);
  return result.value;
}

/** Who is known by these tokens, by the id of each. */
const known = (tokens: Tokens, ...secrets: string[]) => secrets.map((one) => tokens.identify(one)?.token);

describe("a token that is replaced", () => {
  const wanted = [
    { role: "user", owner: "alice", name: "laptop", requestsPerMinute: 600, expiresInSeconds: 30 * day },
    { role: "service", name: "back-end", expiresInSeconds: 90 * day },
    { role: "admin", owner: "the night shift" },
  ] as const;

  it.each(wanted)("has one in its place that is for the same, and lives as long: %j", async (one) => {
    const { tokens, clock } = await kept();
    const first = got(await tokens.create(one, "root"));
    clock.now += day * 1000;
    const made = got(await tokens.rotate(first.record.id, day, "root"));
    const { id, hash, createdAt, expiresAt, ...same } = made.record;
    expect(same).toEqual({
      role: one.role,
      ...("owner" in one && { owner: one.owner }),
      ...("name" in one && { name: one.name }),
      ...("requestsPerMinute" in one && { requestsPerMinute: one.requestsPerMinute }),
    });
    expect(createdAt).toBe(clock.now);
    expect(expiresAt).toBe("expiresInSeconds" in one ? clock.now + one.expiresInSeconds * 1000 : undefined);
    const [before, now] = [first.token, made.token].map((secret) => tokens.identify(secret));
    expect({ ...now, actor: "", token: "" }).toEqual({ ...before, actor: "", token: "" });
    expect(now?.token).toBe(id);
    expect(hash).not.toBe(first.record.hash);
  });

  it.each([
    ["a day", undefined, day, day],
    ["30 days", undefined, 30 * day, 30 * day],
    ["as long as it was good, and no longer", 60, day, 60],
    ["shorter than it was good", 10 * day, 60, 60],
  ])("stays good for %s", async (_words, expiresInSeconds, keep, seconds) => {
    const { tokens, clock, reread } = await kept();
    const first = got(await tokens.create({ role: "service", expiresInSeconds }, "root"));
    const made = got(await tokens.rotate(first.record.id, keep, "root"));
    const both = [first.record.id, made.record.id];
    clock.now += seconds * 1000 - 1;
    // The new one ends with its own time, as that of 60 s is over a moment later.
    for (const all of [tokens, reread()]) expect(known(all, first.token, made.token)).toEqual(both);
    clock.now += 1;
    for (const all of [tokens, reread()]) {
      expect(known(all, first.token)).toEqual([undefined]);
      expect(all.holds(first.record.id)).toBe(false);
    }
  });

  it("ends at once where nothing is to be kept of it", async () => {
    const { tokens, reread } = await kept();
    const first = got(await tokens.create({ role: "service" }, "root"));
    const made = got(await tokens.rotate(first.record.id, 0, "root"));
    for (const all of [tokens, reread()])
      expect(known(all, first.token, made.token)).toEqual([undefined, made.record.id]);
  });

  it("is one commit with the new one, which an event names; a use in between undoes nothing", async () => {
    const { rig, tokens, reread, clock } = await kept();
    const first = got(await tokens.create({ role: "user", owner: "alice", name: "laptop" }, "root"));
    const { commits } = rig.store;
    const rotating = tokens.rotate(first.record.id, 60, "token:abc");
    // It is written down as used, in the same turn.
    expect(known(tokens, first.token)).toEqual([first.record.id]);
    const made = got(await rotating);
    expect(rig.store.commits).toBe(commits + 1);
    const rows = new Map(rig.store.tables.tokens.all().map((row) => [row.id, row]));
    expect(rows.get(first.record.id)).toEqual({
      ...first.record,
      ...{ replacedBy: made.record.id, expiresAt: start + 60_000, lastUsedAt: start },
    });
    expect(rows.get(made.record.id)).toEqual(made.record);
    expect(
      reread()
        .list()
        .map(({ id }) => id)
        .sort(),
    ).toEqual([...rows.keys()].sort());
    const said = (await rig.events()).filter(({ event }) => event === "token-rotated");
    expect(said).toEqual([
      {
        ...{ seq: expect.any(Number), event: "token-rotated", at: expect.any(String), by: "token:abc" },
        message: `Token ${first.record.id}, role user, is replaced by ${made.record.id}`,
        ...{ token_id: first.record.id, replaced_by: made.record.id },
        ...{ role: "user", owner: "alice", name: "laptop" },
      },
    ]);
    for (const secret of [first.token, made.token, made.record.hash])
      expect(JSON.stringify(said)).not.toContain(secret);
    expect(clock.now).toBe(start);
  });

  it("stays as it was where that cannot be written, whatever else is done to it in that turn", async () => {
    const { rig, tokens, reread } = await kept();
    const first = got(await tokens.create({ role: "service" }, "root"));
    const commit = rig.store.commit.bind(rig.store);
    rig.store.commit = () => {
      throw new StoreError("full", "the disk is full");
    };
    const id = first.record.id;
    const all = await Promise.all([
      tokens.rotate(id, 0, "root"),
      tokens.revoke(id, "root"),
      tokens.rotate(id, 0, "root"),
    ]);
    expect(all.map((one) => !one.ok && one.refusal.code)).toEqual(["closed", "closed", "conflict"]);
    rig.store.commit = commit;
    expect(tokens.list()).toEqual([first.record]);
    expect(reread().list()).toEqual([first.record]);
    expect(known(tokens, first.token)).toEqual([id]);
    expect(got(await tokens.rotate(id, 0, "root")).old.replacedBy).toEqual(expect.any(String));
  });

  it("has one in its place, of several that were asked for at once", async () => {
    const { tokens } = await kept();
    const first = got(await tokens.create({ role: "service" }, "root"));
    const all = await Promise.all([1, 2, 3].map(() => tokens.rotate(first.record.id, day, "root")));
    expect(all.map(({ ok }) => ok)).toEqual([true, false, false]);
    expect(tokens.list()).toHaveLength(2);
  });
});

describe("a token that is not to be replaced", () => {
  const end: [string, (made: Kept, id: string) => unknown, RegExp, string][] = [
    ["was revoked", ({ tokens }, id) => tokens.revoke(id, "root"), /was revoked/, "--role user --user alice"],
    ["has expired", ({ clock }) => (clock.now += day * 1000), /has expired/, "--role user --user alice"],
    ["stands for who left", ({ users }) => users.clear(), /alice, no user now/, "--role user --user NAME"],
  ];
  it.each(end)("%s: it says so, and how to make another", async (_words, make, said, fix) => {
    const made = await kept();
    const wanted = { role: "user", owner: "alice", expiresInSeconds: day } as const;
    const { record } = got(await made.tokens.create(wanted, "root"));
    await make(made, record.id);
    const before = made.tokens.list();
    const refused = await made.tokens.rotate(record.id, day, "root");
    expect(refused).toMatchObject({
      refusal: {
        code: "conflict",
        message: expect.stringMatching(said),
        fix: `Make a new one: berth token create ${fix}`,
      },
    });
    expect(made.tokens.list()).toEqual(before);
  });

  it("has one in its place already, which is named", async () => {
    const { tokens } = await kept();
    const ids: string[] = [got(await tokens.create({ role: "service" }, "root")).record.id];
    for (let n = 0; n < 3; n++) {
      const [last = ""] = ids.slice(-1);
      ids.push(got(await tokens.rotate(last, day, "root")).record.id);
    }
    expect(await tokens.rotate(ids[0] as string, day, "root")).toMatchObject({
      refusal: { code: "conflict", fix: `Replace that one: berth token rotate ${ids[1]}` },
    });
    const heirs = tokens.list().map(({ id, replacedBy }: StoredToken) => [id, replacedBy]);
    expect(new Map(heirs as [string, string][])).toEqual(
      new Map(ids.map((id, n) => [id, ids[n + 1] as string])),
    );
  });
});

describe("a token of somebody who left", () => {
  const of = (tokens: Tokens, owner: string) => tokens.create({ role: "user", owner }, "root").then(got);
  const revoked = async (rig: Rig) =>
    (await rig.events()).filter(({ event }) => event === "token-revoked").map((one) => one.token_id);

  it("is ended for good, in one turn, with an event for each; those of others stay", async () => {
    const { rig, tokens, users, clock, reread } = await kept();
    users.add("bob");
    const [one, two, other] = [await of(tokens, "alice"), await of(tokens, "alice"), await of(tokens, "bob")];
    const program = got(await tokens.create({ role: "service", owner: "alice" }, "root"));
    const all = [one, two, other, program].map(({ token }) => token);
    const ids = [undefined, undefined, other.record.id, program.record.id];
    tokens.endOrphans();
    users.delete("alice");
    clock.now += 1000;
    tokens.endOrphans();
    const { commits } = rig.store;
    got(await tokens.noteOrphans());
    expect(rig.store.commits).toBe(commits + 1);
    users.add("alice");
    for (const these of [tokens, reread()]) expect(known(these, ...all)).toEqual(ids);
    const gone = [one, two].map(({ record }) => record.id);
    expect((await revoked(rig)).sort()).toEqual(gone.sort());
    tokens.endOrphans();
    got(await tokens.noteOrphans());
    expect(await revoked(rig)).toHaveLength(2);
    const fresh = await of(tokens, "alice");
    expect(known(tokens, fresh.token)).toEqual([fresh.record.id]);
  });

  it("is ended though that cannot be written yet", async () => {
    const { rig, tokens, users, reread } = await kept();
    const { token, record } = await of(tokens, "alice");
    users.clear();
    tokens.endOrphans();
    users.add("alice");
    const commit = rig.store.commit.bind(rig.store);
    rig.store.commit = () => {
      throw new StoreError("full", "the disk is full");
    };
    expect((await tokens.noteOrphans()).ok).toBe(false);
    expect(known(tokens, token)).toEqual([undefined]);
    rig.store.commit = commit;
    got(await tokens.noteOrphans());
    expect(known(reread(), token)).toEqual([undefined]);
    expect(await revoked(rig)).toEqual([record.id]);
  });

  it("is written down once, however often that is asked for, and so are those that end meanwhile", async () => {
    const { rig, tokens, users } = await kept();
    users.add("bob");
    const [one, two] = [await of(tokens, "alice"), await of(tokens, "bob")];
    users.delete("alice");
    tokens.endOrphans();
    const noting = [tokens.noteOrphans(), tokens.noteOrphans()];
    users.delete("bob");
    tokens.endOrphans();
    for (const noted of [...noting, tokens.noteOrphans()]) got(await noted);
    expect(await revoked(rig)).toEqual([one.record.id, two.record.id]);
  });

  it("and is revoked by name before it is written down, is revoked when that is answered", async () => {
    const { rig, tokens, users, reread } = await kept();
    const { token, record } = await of(tokens, "alice");
    users.clear();
    tokens.endOrphans();
    got(await tokens.revoke(record.id, "root"));
    users.add("alice");
    expect(known(reread(), token)).toEqual([undefined]);
    got(await tokens.noteOrphans());
    expect(await revoked(rig)).toEqual([record.id]);
  });

  it("is ended though they left while it was revoked, and that could not be written", async () => {
    const { rig, tokens, users } = await kept();
    const { token, record } = await of(tokens, "alice");
    rig.store.commit = () => {
      throw new StoreError("full", "the disk is full");
    };
    const revoking = tokens.revoke(record.id, "root");
    users.clear();
    tokens.endOrphans();
    expect((await revoking).ok).toBe(false);
    users.add("alice");
    expect(known(tokens, token)).toEqual([undefined]);
  });

  it("is ended, though it was made or replaced while they left", async () => {
    const { tokens, users, reread } = await kept();
    const first = await of(tokens, "alice");
    const making = [of(tokens, "alice"), tokens.rotate(first.record.id, day, "root").then(got)];
    users.clear();
    tokens.endOrphans();
    const made = await Promise.all(making);
    users.add("alice");
    got(await tokens.noteOrphans());
    for (const these of [tokens, reread()])
      expect(known(these, first.token, ...made.map(({ token }) => token))).toEqual(Array(3).fill(undefined));
  });
});

describe("over the API", () => {
  it("gives the new one once, not to be kept by anything between, and lists who replaces whom", async () => {
    const made = await api();
    const first = await made.call("POST", "/api/tokens", { body: { role: "service", name: "back-end" } });
    const path = `/api/tokens/${first.body.id}/rotate`;
    const rotated = await made.call("POST", path, { body: {} });
    expect(rotated.status, rotated.text).toBe(201);
    expect(rotated.headers["cache-control"]).toBe("no-store");
    const { token, replaces, ...shown } = rotated.body;
    const left = replaces.expiresAt - shown.createdAt;
    expect(left).toBe(day * 1000);
    expect(replaces).toMatchObject({ id: first.body.id, replacedBy: shown.id });
    const { port } = made.servers;
    for (const secret of [first.body.token, token])
      expect((await made.call("GET", "/api/whoami", { port, token: secret })).body.role).toBe("service");
    const list = await made.call("GET", "/api/tokens");
    expect(list.body.tokens.map(({ id, replacedBy }: StoredToken) => [id, replacedBy]).sort()).toEqual(
      [
        [first.body.id, shown.id],
        [shown.id, undefined],
      ].sort(),
    );
    for (const secret of [token, first.body.token, "hash"]) expect(list.text).not.toContain(secret);
    expect((await made.call("POST", path, { body: {} })).status).toBe(409);
  });

  it.each([
    [{ keep_seconds: -1 }, /keep_seconds/],
    [{ keep_seconds: 30 * day + 1 }, /keep_seconds/],
    [{ keep_seconds: 1.5 }, /keep_seconds/],
    [{ keep_seconds: "1d" }, /keep_seconds/],
    [{ keep: 5, expires: 6 }, /keep.*expires/],
    [undefined, /body/],
  ])("refuses %j, and changes nothing", async (body, said) => {
    const made = await api();
    const { id } = (await made.call("POST", "/api/tokens", { body: { role: "service" } })).body;
    const before = made.tokens.list();
    const refused = await made.call("POST", `/api/tokens/${id}/rotate`, { body });
    expect([refused.status, refused.body.error.message]).toEqual([400, expect.stringMatching(said)]);
    expect(made.tokens.list()).toEqual(before);
  });
});
