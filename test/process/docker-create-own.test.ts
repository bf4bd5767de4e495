/**
 * Containers that people make for themselves, over a dockerd that works. Proves: a person's own grant is used as it is, by one
 * container; every misuse is refused before anything is touched; where the container does not start the grant stays; people have
 * the images of the stack and those that the operator allows, and remove their own containers alone. What the API adds:
 * matrix.test.ts.
 */
import { describe, expect, it } from "vitest";
import { DockerError } from "../../agent/src/docker";
import type { Grant } from "../../core/gpu";
import { IMAGE } from "../unit/agent/containers/rig";
import { agrees, create, journal, rig, settle } from "./docker-create-helpers";

const alice = { actor: "user:alice", user: "alice" };
const OTHER = `sha256:${"cd".repeat(32)}`;

/** What `berth gpu request` gives. */
async function request(user = "alice"): Promise<Grant> {
  const ask = { kind: "mig", count: 1 } as const;
  const made = await rig.ledger.reserve({ user, ask, purpose: "asked", actor: `user:${user}` });
  if (!made.ok) throw new Error(made.refusal.message);
  return made.value;
}

/** By alice, for herself; her workspace is there. */
const own = (more: object) => create({ gpus: undefined, ...more }, undefined, alice);
const using = (grant: string, more: object = {}) => own({ gpus: { grant }, ...more });

function workspaceOf(user: string, image = IMAGE): string {
  const labels = { "berth.component": "workspace", "berth.owner": user };
  return rig.dockerd.put({ Name: `/ws-${user}`, Config: { Image: image, Labels: labels } });
}

const untouched = () => {
  for (const call of rig.dockerd.calls) expect(call).toMatch(/^GET /);
  expect(journal()).toEqual([]);
};

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

describe("half-done creations", () => {
  it("wait until the ledger is open: a container that runs is not taken for one whose GPU is lost", async () => {
    await rig.restart({ start: 60_000 });
    rig.dockerd.mood("POST /containers/ID/start", { kind: "deaf" }, 1);
    void create().catch(() => {});
    await expect
      .poll(() => [...rig.dockerd.containers.values()].some(({ State }) => State.Running))
      .toBe(true);
    // As an older version left it, which bound what ran already.
    const [grant] = rig.ledger.grants();
    if (grant === undefined) throw new Error("granted");
    await rig.ledger.unbind({ id: grant.id, container: grant.container ?? "" });
    const { inventory } = rig.ledger.state;
    Object.assign(rig.ledger.state, { inventory: { source: "none", gpus: [] } });
    rig.ledger.why = "the GPUs have not been read yet";
    await rig.restart();
    await rig.creator.recover();
    expect(rig.dockerd.containers.size).toBe(1);
    expect(journal()).toHaveLength(1);
    Object.assign(rig.ledger.state, { inventory });
    rig.ledger.why = undefined;
    await settle();
    expect(rig.ledger.grants()).toMatchObject([{ state: "bound" }]);
    agrees();
  });
});

describe("somebody who leaves", () => {
  it("leaves no container that berthd made, and no GPU; nobody else loses any", async () => {
    const theirs = await create({ user: "sam" });
    const others = await create({ user: "bob" });
    if (!theirs.ok || !others.ok) throw new Error("made");
    const labels = { "berth.component": "workspace", "berth.owner": "sam" };
    const workspace = rig.dockerd.put({ Name: "/ws-sam", Config: { Labels: labels } });
    rig.users = ["alice", "bob"];
    rig.dockerd.mood("POST /containers/ID/stop", { kind: "status", status: 500, message: "busy" }, 1);
    await expect(rig.creator.recover()).rejects.toThrow(/of sam, who left: .*busy/);
    expect(rig.ledger.grants()).toHaveLength(2);
    await settle();
    expect([...rig.dockerd.containers.keys()].sort()).toEqual([workspace, others.value.id].sort());
    expect(rig.ledger.grants()).toMatchObject([{ user: "bob", state: "bound" }]);
    // Limits may still name them.
    expect(await create({ user: "sam" })).toMatchObject({ refusal: { code: "unknown-user" } });
    agrees();
  });
});

describe("what a person may have", () => {
  it("is their workspace's image where none is named", async () => {
    rig.dockerd.images.set(OTHER, OTHER);
    workspaceOf("bob");
    workspaceOf("alice", OTHER);
    const made = await own({ image: undefined });
    if (!made.ok) throw new Error(made.refusal.message);
    expect(rig.dockerd.containers.get(made.value.id)?.body?.Image).toBe(OTHER);
    const [none] = [await create({ user: "sam", image: undefined, gpus: undefined })];
    expect(none).toMatchObject({
      refusal: { code: "conflict", message: expect.stringContaining("sam has no workspace") },
    });
  });

  it("is an image that a container of the stack has, by whichever name, or that the operator allows", async () => {
    const byDigest = `registry.example/a@${OTHER}`;
    for (const name of [OTHER, byDigest]) rig.dockerd.images.set(name, OTHER);
    workspaceOf("alice");
    expect(await own({ image: OTHER })).toMatchObject({ ok: false, refusal: { code: "not-allowed" } });
    untouched();
    rig.images = [byDigest];
    expect(await own({ image: OTHER })).toMatchObject({ ok: true });
    expect(await own({ image: byDigest })).toMatchObject({ ok: true });
    // Whoever makes containers for others chooses among all.
    rig.images = [];
    expect(await create({ user: "bob", image: OTHER, gpus: undefined })).toMatchObject({ ok: true });
  });

  it("is no image of somebody else's workspace, and they are not told of it", async () => {
    rig.dockerd.images.set(OTHER, OTHER);
    workspaceOf("bob", OTHER);
    workspaceOf("alice");
    expect(await own({ image: OTHER })).toMatchObject({
      refusal: { code: "not-allowed", allowed: IMAGE },
    });
    untouched();
    const labels = { "berth.component": "ray", "berth.owner": "system" };
    rig.dockerd.put({ Config: { Image: OTHER, Labels: labels } });
    await rig.containers.listLive();
    expect(await own({ image: OTHER })).toMatchObject({ ok: true });
  });

  it("is told of an image that is not on the node as of one that is not allowed", async () => {
    rig.dockerd.images.set(OTHER, OTHER);
    workspaceOf("alice");
    const missing = `sha256:${"ef".repeat(32)}`;
    const [there, not] = [await own({ image: OTHER }), await own({ image: missing })];
    expect(JSON.stringify(there).replaceAll(OTHER, missing)).toBe(JSON.stringify(not));
  });

  it.each([
    [{ ports: [{ container: 80, host: 20_000 }] }, "not-allowed", /ports/],
    [{ pids: 4097, stop_seconds: 61 }, "over-limit", /pids 4097, stop_seconds 61/],
    [{ memory: "9GiB" }, "over-limit", /defaults.memory/],
  ])("is no more than %j", async (more, code, message) => {
    workspaceOf("alice");
    expect(await own(more)).toMatchObject({
      ok: false,
      refusal: { code, message: expect.stringMatching(message) },
    });
    untouched();
  });

  it("is the size of their workspace where no limit says how much", async () => {
    const workspace = workspaceOf("alice");
    Object.assign(rig.dockerd.containers.get(workspace)?.HostConfig ?? {}, {
      Memory: 2 ** 30,
      NanoCpus: 5e8,
    });
    const { limitsOf } = rig.ledger;
    const none = { value: null, rule: "defaults" };
    rig.ledger.limitsOf = (user) => {
      const now = limitsOf(user);
      return now && { ...now, memory: none, max_cpus: none };
    };
    const made = await own({});
    if (!made.ok) throw new Error(made.refusal.message);
    expect(rig.dockerd.containers.get(made.value.id)?.body?.HostConfig).toMatchObject({
      ...{ Memory: 2 ** 30, MemorySwap: 2 ** 30, NanoCpus: 5e8 },
    });
    expect(await own({ memory: "2GiB" })).toMatchObject({
      refusal: { code: "over-limit", message: "alice asks for 2GiB, and workspace.memory allows 1GiB" },
    });
    expect(await create({ memory: "2GiB", gpus: undefined })).toMatchObject({ ok: true });
  });

  it("is nothing where they have no workspace", async () => {
    expect(await own({})).toMatchObject({ refusal: { code: "conflict" } });
    untouched();
  });

  it("is nothing while their workspace is stopped, and what others make for them", async () => {
    const workspace = workspaceOf("alice");
    rig.dockerd.end(workspace);
    expect(await own({})).toMatchObject({
      refusal: {
        code: "conflict",
        message: expect.stringContaining("your workspace is stopped: it is exited"),
      },
    });
    untouched();
    expect(await create({ gpus: undefined })).toMatchObject({ ok: true });
  });

  it("is so many containers, the workspace among them", async () => {
    workspaceOf("alice");
    for (let i = 0; i < 2; i++) expect(await own({})).toMatchObject({ ok: true });
    expect(await own({})).toMatchObject({
      refusal: { code: "over-limit", rule: "defaults.max_containers_per_user" },
    });
  });

  it("is to remove their own containers, and nobody else's", async () => {
    const workspace = workspaceOf("alice");
    const theirs = await create({ user: "bob" });
    if (!theirs.ok) throw new Error(theirs.refusal.message);
    const other = await rig.creator.remove(theirs.value.name, alice);
    expect(other).toMatchObject({ refusal: { code: "not-found" } });
    const none = await rig.creator.remove("none", alice);
    expect(JSON.stringify(other).replaceAll(theirs.value.name, "none")).toBe(JSON.stringify(none));
    expect(await rig.creator.remove(workspace, alice)).toMatchObject({ refusal: { code: "not-allowed" } });
    expect(rig.dockerd.containers.get(theirs.value.id)?.State.Running).toBe(true);
    const made = await create({}, undefined, { actor: "token:ab" });
    if (!made.ok) throw new Error(made.refusal.message);
    expect(await rig.creator.remove(made.value.id, alice)).toMatchObject({ ok: true });
    agrees();
  });
});
