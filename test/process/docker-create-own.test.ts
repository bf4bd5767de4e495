/**
 * A person's own grant in a container that they make for themselves, over a dockerd that works. Proves: it is used as it is, by one
 * container; every misuse is refused before anything is touched; where the container does not start the grant stays. Who may make
 * and remove what: docker-create-people.test.ts. What the API adds: matrix.test.ts.
 */
import { describe, expect, it } from "vitest";
import { DockerError } from "../../agent/src/docker";
import type { Grant } from "../../core/gpu";
import {
  agrees,
  alice,
  create,
  journal,
  own,
  rig,
  settle,
  untouched,
  workspaceOf,
} from "./docker-create-helpers";

/** What `berth gpu request` gives. */
async function request(user = "alice"): Promise<Grant> {
  const ask = { kind: "mig", count: 1 } as const;
  const made = await rig.ledger.reserve({ user, ask, purpose: "asked", actor: `user:${user}` });
  if (!made.ok) throw new Error(made.refusal.message);
  return made.value;
}

const using = (grant: string, more: object = {}) => own({ gpus: { grant }, ...more });

describe("a grant that a person asked for", () => {
  it("is the container's, with its devices and its labels, and over when the container is removed", async () => {
    workspaceOf("alice");
    const grant = await request();
    const made = await using(grant.id);
    if (!made.ok) throw new Error(made.refusal.message);
    expect(made.value.grant).toMatchObject({ id: grant.id, token: grant.token, state: "bound" });
    expect(made.value.grant?.container).toBe(made.value.id);
    expect(rig.dockerd.containers.get(made.value.id)?.body).toMatchObject({
      Labels: { "berth.grant": grant.id, "berth.owner": "alice" },
      HostConfig: {
        DeviceRequests: [{ DeviceIDs: grant.units.map(({ uuid }) => `nvidia.com/gpu=${uuid}`) }],
        NetworkMode: "berth-containers",
        CapDrop: ["ALL"],
        SecurityOpt: ["no-new-privileges"],
        PidsLimit: 4096,
      },
    });
    agrees();
    expect(await rig.creator.remove(made.value.id, alice)).toMatchObject({ ok: true });
    expect(rig.ledger.grants()).toEqual([]);
  });

  it("may be one that is held for a container that stopped", async () => {
    workspaceOf("alice");
    rig.ledger.follow(rig.containers);
    const grant = await request();
    const first = await using(grant.id);
    if (!first.ok) throw new Error(first.refusal.message);
    rig.dockerd.end(first.value.id);
    await rig.containers.tell(first.value.id);
    await expect.poll(() => rig.ledger.grant(grant.id)?.state).toBe("held");
    const second = await using(grant.id);
    if (!second.ok) throw new Error(second.refusal.message);
    expect(rig.ledger.grant(grant.id)).toMatchObject({ state: "bound", container: second.value.id });
    // The first one has it no more: its removal, and a look at both, change nothing.
    await rig.ledger.look(rig.containers);
    expect(await rig.creator.remove(first.value.id, alice)).toMatchObject({ ok: true });
    expect(rig.ledger.grant(grant.id)).toMatchObject({ state: "bound", container: second.value.id });
    agrees();
  });

  it.each(["before the creation", "during it"])(
    "stays with the container that it was held for where that runs again, heard of or not: %s",
    async (when) => {
      workspaceOf("alice");
      rig.ledger.follow(rig.containers);
      const grant = await request();
      const first = await using(grant.id);
      if (!first.ok) throw new Error(first.refusal.message);
      rig.dockerd.end(first.value.id);
      await rig.containers.tell(first.value.id);
      await expect.poll(() => rig.ledger.grant(grant.id)?.state).toBe("held");
      // As an operator does with `docker start`; nobody follows the events here.
      const startAgain = () => rig.dockerd.run(first.value.id);
      if (when === "before the creation") startAgain();
      const make = rig.engine.create.bind(rig.engine);
      rig.engine.create = async (...args) => {
        const id = await make(...args);
        if (when === "during it") startAgain();
        return id;
      };
      expect(await using(grant.id)).toMatchObject({
        refusal: { code: "conflict", message: `grant ${grant.id} is in use by container ${first.value.id}` },
      });
      expect(rig.ledger.grants()).toMatchObject([
        { id: grant.id, state: "bound", container: first.value.id },
      ]);
      agrees();
    },
  );

  const misuses: [string, () => Promise<string>, string, RegExp][] = [
    ["one that there is not", async () => "g99", "not-found", /^alice has no live grant g99$/],
    ["somebody else's", async () => (await request("bob")).id, "not-found", /^alice has no live grant g1$/],
    [
      "one that is over",
      async () => {
        const { id } = await request();
        await rig.ledger.release(id);
        return id;
      },
      "not-found",
      /^alice has no live grant g1$/,
    ],
    [
      "one whose time is over",
      async () => {
        const grant = await request();
        rig.ledger.state.grants.set(grant.id, { ...grant, reservedUntil: Date.now() - 1 });
        return grant.id;
      },
      "not-found",
      /time of grant g1 is over/,
    ],
    [
      "one that the stack declares",
      async () => {
        const grant = await request();
        rig.ledger.state.grants.set(grant.id, { ...grant, key: "workspace/alice" });
        return grant.id;
      },
      "not-allowed",
      /declared by the stack as workspace\/alice/,
    ],
    [
      "one that a container has",
      async () => {
        const grant = await request();
        await rig.ledger.bindOwn({ id: grant.id, user: "alice", container: "c1" });
        return grant.id;
      },
      "conflict",
      /in use by container c1/,
    ],
    [
      "any while the ledger is closed",
      async () => {
        const { id } = await request();
        rig.ledger.state.closed = "the GPUs cannot be read";
        return id;
      },
      "closed",
      /the GPUs cannot be read/,
    ],
  ];
  it.each(misuses)("is refused before anything is touched: %s", async (_, prepare, code, message) => {
    workspaceOf("alice");
    const id = await prepare();
    const before = JSON.stringify(rig.ledger.grants());
    const result = await using(id);
    expect(result).toMatchObject({ ok: false, refusal: { code, message: expect.stringMatching(message) } });
    expect(JSON.stringify(rig.ledger.grants())).toBe(before);
    untouched();
  });

  it("answers of somebody else's as of none", async () => {
    workspaceOf("alice");
    const { id } = await request("bob");
    const [theirs, none] = [await using(id), await using("g99")];
    expect(JSON.stringify(theirs).replaceAll(id, "g99")).toBe(JSON.stringify(none));
  });

  it("goes to one of two that come at once, and only that one ever starts", async () => {
    workspaceOf("alice");
    const grant = await request();
    const starts: string[] = [];
    const start = rig.engine.start.bind(rig.engine);
    rig.engine.start = (id) => {
      starts.push(id);
      return start(id);
    };
    const results = await Promise.all([using(grant.id), using(grant.id)]);
    expect(results.filter(({ ok }) => ok)).toHaveLength(1);
    expect(results.find(({ ok }) => !ok)).toMatchObject({ refusal: { code: "conflict" } });
    expect(starts).toHaveLength(1);
    agrees();
  });

  it("is not one that a creation under way asked for", async () => {
    workspaceOf("alice");
    rig.dockerd.mood("POST /containers/create", { kind: "slow", ms: 200 }, 1);
    const first = own({ gpus: { kind: "mig", count: 1 } });
    await expect.poll(() => rig.dockerd.calls).toContain("POST /containers/create");
    const [grant] = rig.ledger.grants();
    expect(await using(grant?.id ?? "")).toMatchObject({
      ok: false,
      refusal: { code: "conflict", message: expect.stringContaining("a container that is being made") },
    });
    expect(await first).toMatchObject({ ok: true });
    agrees();
  });

  const ends: [string, (go: () => void) => Promise<unknown>][] = [
    ["its caller goes", async (go) => go()],
    ["it comes to bind it", async () => {}],
    [
      "Docker says that it made no container",
      async () => {
        throw new DockerError("no", "refused", 400);
      },
    ],
  ];
  it.each(ends)(
    "stays with the container that has it when the creation that asked for it ends: %s",
    async (_, end) => {
      workspaceOf("alice");
      const other = rig.dockerd.put({ State: { Status: "exited" } });
      const caller = new AbortController();
      const made = rig.engine.create.bind(rig.engine);
      rig.engine.create = async (...args) => {
        const id = await made(...args);
        const [grant] = rig.ledger.grants();
        await rig.ledger.bindOwn({ id: grant?.id ?? "", user: "alice", container: other });
        await end(() => caller.abort());
        return id;
      };
      const ask = { gpus: { kind: "mig", count: 1 } };
      expect(await create({ ...ask }, caller.signal, alice)).toMatchObject({ ok: false });
      expect(rig.ledger.grants()).toMatchObject([{ state: "bound", container: other }]);
      expect(journal()).toEqual([]);
      expect([...rig.dockerd.containers.values()].map(({ State }) => State.Status)).not.toContain("created");
    },
  );

  it("stays with the container that has it when the creation that asked for it was cut off", async () => {
    workspaceOf("alice");
    await rig.restart({ create: 60_000 });
    rig.dockerd.mood("POST /containers/create", { kind: "deaf" }, 1);
    void own({ gpus: { kind: "mig", count: 1 } }).catch(() => {});
    await expect.poll(() => rig.dockerd.calls).toContain("POST /containers/create");
    const [grant] = rig.ledger.grants();
    const other = rig.dockerd.put({ State: { Status: "exited" } });
    await rig.ledger.bindOwn({ id: grant?.id ?? "", user: "alice", container: other });
    await rig.restart();
    await settle();
    expect(rig.ledger.grants()).toMatchObject([{ state: "bound", container: other }]);
    expect([...rig.dockerd.containers.values()].map(({ State }) => State.Status)).not.toContain("created");
    expect(journal()).toEqual([]);
  });

  it("cannot be given back while a container is made with it", async () => {
    workspaceOf("alice");
    const grant = await request();
    const start = rig.engine.start.bind(rig.engine);
    let said: unknown;
    rig.engine.start = async (id) => {
      said = await rig.ledger.release(grant.id);
      return start(id);
    };
    expect(await using(grant.id)).toMatchObject({ ok: true });
    expect(said).toMatchObject({ ok: false, refusal: { code: "conflict" } });
    agrees();
  });

  it.each(["POST /containers/create", "POST /containers/ID/start"])(
    "stays where %s fails, for the next try",
    async (call) => {
      workspaceOf("alice");
      const grant = await request();
      rig.dockerd.mood(call, { kind: "status", status: 400, message: "no such program" }, 1);
      expect(await using(grant.id)).toMatchObject({ ok: false });
      expect(rig.ledger.grants()).toMatchObject([
        { id: grant.id, state: "reserved", reservedUntil: expect.any(Number) },
      ]);
      expect(rig.ledger.grants()[0]).not.toHaveProperty("container");
      expect(await using(grant.id)).toMatchObject({ ok: true });
      agrees();
    },
  );

  it("stays where its container was created and berthd was cut off, and is the container's where it started", async () => {
    workspaceOf("alice");
    for (const started of [false, true]) {
      const grant = await request();
      await rig.restart({ start: 60_000 });
      rig.dockerd.mood("POST /containers/ID/start", { kind: started ? "deaf" : "hang" }, 1);
      void using(grant.id).catch(() => {});
      await expect.poll(() => rig.dockerd.calls.includes("POST /containers/ID/start")).toBe(true);
      expect(rig.ledger.grant(grant.id)?.state).toBe("bound");
      await rig.restart();
      await settle();
      expect(rig.ledger.grant(grant.id)?.state).toBe(started ? "bound" : "reserved");
      expect(journal()).toEqual([]);
      if (!started) expect(await using(grant.id)).toMatchObject({ ok: true });
      agrees();
      rig.dockerd.calls.length = 0;
    }
  });
});
