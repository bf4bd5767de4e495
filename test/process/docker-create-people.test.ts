/**
 * Containers that people make for themselves, and what becomes of them, over a dockerd that works. Proves: people have the images of
 * the stack and those that the operator allows, no more than their limits and their workspace say, and remove their own containers
 * alone; whoever leaves the node leaves no container. Their own grants: docker-create-own.test.ts. What the API adds: matrix.test.ts.
 */
import { describe, expect, it } from "vitest";
import { IMAGE } from "../unit/agent/containers/rig";
import { agrees, alice, create, own, rig, settle, untouched, workspaceOf } from "./docker-create-helpers";

const OTHER = `sha256:${"cd".repeat(32)}`;

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
