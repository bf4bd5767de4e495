/**
 * Managers that were cut off, over a real database and the real creator, with a fake dockerd. Proves: the next one brings rows and
 * containers to agree; what somebody took away is gone; what nobody has is removed; and where the ledger was lost, a tenant keeps
 * all that is theirs, and where its copy is lost too, all that labels and logs say is theirs. That a real process dies there:
 * test/process/manager-kill.test.ts.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Result } from "../../../../core/gpu";
import { until } from "../../../lib/until";
import { configOf, ManagerRig, NODE, SOON, template } from "./rig";

let rig: ManagerRig;
beforeEach(() => {
  rig = new ManagerRig();
});
afterEach(() => rig.close());

function given<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(result.refusal.message);
  return result.value;
}
const labelled = (owner: string, creation: string) => ({
  Config: {
    Image: NODE,
    Labels: { "berth.owner": owner, "berth.component": "container", "berth.creation": creation },
  },
});

describe("the next manager", () => {
  it.each([
    ["create", 0],
    ["start", 0],
  ])("ends a making that was cut off while dockerd had to %s", async (step, left) => {
    await rig.start();
    const call = step === "create" ? "POST /containers/create" : "POST /containers/ID/start";
    rig.dockerd.mood(call, { kind: "hang" });
    void rig.create().catch(() => {});
    await until("it is at it", SOON, () => rig.dockerd.calls.includes(call));
    await rig.kill();
    await rig.agreed();
    expect(rig.manager.list("web")).toHaveLength(left);
  });

  it("gives one that runs to whoever asked for it, where its making was cut off at the end", async () => {
    await rig.start();
    rig.dockerd.mood("POST /containers/ID/start", { kind: "deaf" });
    void rig.create({ name: "mine", idempotency_key: "k" }).catch(() => {});
    await until("it runs", SOON, () =>
      [...rig.dockerd.containers.values()].some(({ State }) => State.Running),
    );
    await rig.kill();
    await rig.agreed();
    expect(rig.manager.list("web")).toMatchObject([{ name: "mine", status: "running" }]);
    expect(given(await rig.create({ name: "mine", idempotency_key: "k" }))).toEqual(
      rig.manager.list("web")[0],
    );
  });

  it("ends a delete, and keeps the pool at its target", async () => {
    rig.config = configOf({ templates: [template()] });
    await rig.start();
    await rig.ready(2);
    const { id } = given(await rig.claim());
    await rig.ready(2);
    rig.dockerd.mood("POST /containers/ID/stop", { kind: "hang" });
    void rig.manager.remove("web", id).catch(() => {});
    await until("it is at it", SOON, () => rig.dockerd.calls.includes("POST /containers/ID/stop"));
    await rig.kill();
    await rig.agreed();
    await rig.ready(2);
    expect([rig.manager.list("web"), rig.dockerd.containers.size]).toEqual([[], 2]);
  });

  it("goes on to warm up what was not ready, and counts it", async () => {
    rig.config = configOf({ templates: [template({ health: { command: ["false"], timeoutSeconds: 600 } })] });
    await rig.start();
    await until(
      "both warm up",
      SOON,
      () => rig.rows().filter(({ state }) => state === "warming").length === 2,
    );
    await rig.restart();
    const before = rig.dockerd.execs.all.length;
    await until("both are asked again", SOON, () => rig.dockerd.execs.all.length >= before + 2);
    expect(rig.dockerd.containers.size).toBe(2);
  });

  it("has no container that somebody else took away, and none that nobody has", async () => {
    await rig.start();
    const { id } = given(await rig.create());
    given(await rig.create());
    const docker = rig.manager.find("web", id)?.container ?? "";
    rig.dockerd.take(docker);
    const orphan = rig.dockerd.put(labelled("web", "0a0b0c0d"));
    const persons = rig.dockerd.put(labelled("alice", "00112233445566aa"));
    rig.tenants = [...rig.tenants];
    await rig.restart();
    expect(rig.manager.list("web")).toHaveLength(1);
    expect([rig.dockerd.containers.has(orphan), rig.manager.get("web", id).ok]).toEqual([false, false]);
    // Whether alice is a user is the creator's to say, and not the manager's.
    expect(rig.lines.filter(({ message }) => message.includes("nobody has"))).toHaveLength(1);
    expect(persons).toHaveLength(64);
  });

  describe("where the ledger was lost", () => {
    /** Of a tenant one that was made and one that was claimed; one stands ready. */
    async function begun() {
      rig.config = configOf({ templates: [template({ targetSize: 1 })] });
      await rig.start();
      await rig.ready(1);
      const made = { name: "made", ports: [80], memory: 1024, volumeName: "deps", env: { A: "b" } };
      const claimed = { name: "claimed", env: { TOKEN: "t" }, idempotency_key: "k" };
      given(await rig.create(made));
      given(await rig.claim(claimed));
      await rig.ready(1);
      return { claimed, list: listed(), ids: rig.rows().map(({ id }) => id) };
    }
    /** In the order of their ids, as the database has them. */
    const listed = () => rig.manager.list("web").sort((a, b) => (a.id < b.id ? -1 : 1));

    it("has all that tenants have, and what stands ready, as it was", async () => {
      const { claimed, list, ids } = await begun();
      const envs = list.map(({ id }) => rig.manager.find("web", id)?.env);
      await rig.end();
      rig.lose("ledger.db");
      await rig.begin();
      await rig.ready(1);
      await rig.agreed();
      expect(listed()).toEqual(list);
      expect(list.map(({ id }) => rig.manager.find("web", id)?.env)).toEqual(envs);
      expect(rig.rows().map(({ id }) => id)).toEqual(ids);
      expect(given(await rig.claim(claimed)).id).toBe(list.find(({ name }) => name === "claimed")?.id);
      expect(rig.rig.store.tables.volumes.all()).toMatchObject([
        { name: "berth-test-web.deps", owner: "web" },
      ]);
      expect(rig.rig.store.rebuilding).toBeUndefined();
    });

    it("and rows of its copy cannot be used, leaves alone what may be somebody's", async () => {
      const { list, ids } = await begun();
      const theirs = list.find(({ name }) => name === "claimed")?.id ?? "";
      await rig.end();
      rig.lose("ledger.db");
      rig.spoilCopy(theirs);
      // A power cut took the note at its log too.
      rig.owners.delete(theirs);
      await expect(rig.begin()).rejects.toThrow(`container ${theirs} was made for a pool`);
      await rig.ready(1);
      expect(rig.state(theirs)).toBe("running");
      expect(listed()).toEqual(list.filter(({ id }) => id !== theirs));
      expect(rig.rows().map(({ id }) => id)).toEqual(ids.filter((id) => id !== theirs));
    });

    it("and rows of its copy cannot be used, a tenant has what its log says", async () => {
      const { list } = await begun();
      const theirs = list.find(({ name }) => name === "claimed")?.id ?? "";
      await rig.end();
      rig.lose("ledger.db");
      rig.spoilCopy(theirs);
      await rig.begin();
      expect(listed().map(({ id }) => id)).toEqual(list.map(({ id }) => id));
      expect(rig.rig.store.rebuilding).toBeUndefined();
    });

    it("and its copy too, has all that labels say, be there no manager on the node before", async () => {
      const { list } = await begun();
      await rig.end();
      rig.lose("ledger.db", "tenants.db");
      const { config } = rig;
      rig.config = undefined;
      rig.held.logs.add("web");
      await rig.begin();
      expect([rig.manager.isUsed, rig.rows(), rig.rig.store.rebuilding]).toEqual([true, [], "labels"]);
      rig.config = config;
      await expect(rig.manager.recover()).rejects.toThrow("may be a tenant's since");
      expect(listed().map(({ id }) => id)).toEqual(list.map(({ id }) => id));
    });

    it("and its copy too, has what labels and logs say, and leaves alone what may be somebody's", async () => {
      const { list, ids } = await begun();
      await rig.end();
      rig.lose("ledger.db", "tenants.db");
      await expect(rig.begin()).rejects.toThrow("may be a tenant's since");
      const known = list.map(({ id, ports, memoryMiB }) => ({ id, ports, memoryMiB, status: "running" }));
      expect(listed()).toMatchObject(known);
      const unsure = ids.filter((id) => !list.some((one) => one.id === id));
      expect(unsure).toHaveLength(1);
      const labels = () =>
        [...rig.dockerd.containers.values()].map(({ Config }) => Config?.Labels?.["berth.creation"] ?? "");
      // Another one stands ready; what may be somebody's is not given to anybody.
      await rig.ready(1);
      expect(labels()).toEqual(expect.arrayContaining(ids));
      expect(rig.rows().map(({ id }) => id)).not.toContain(unsure[0]);
      // A restart in the middle is none the wiser.
      await rig.end();
      await expect(rig.begin()).rejects.toThrow(unsure[0]);
      expect([labels().includes(unsure[0] ?? ""), rig.rig.store.rebuilding]).toEqual([true, "labels"]);
      const left = [...rig.dockerd.containers.values()].find(
        ({ Config }) => Config?.Labels?.["berth.creation"] === unsure[0],
      );
      rig.dockerd.take(left?.Id ?? "");
      await rig.restart();
      expect(rig.rig.store.rebuilding).toBeUndefined();
      expect(listed()).toMatchObject(known);
    });
  });
});
