/**
 * Tenants that the stack names no more, over a real database, the real journal and the real creator, with a fake dockerd. Proves: where
 * the stack does not say that all they had may go, it stays, stands still, and is theirs again when they are back; where it does, all
 * of it goes, also where berthd is killed in between, and whoever is called so later begins with nothing, be that while the former's
 * things are still being removed or after it. That a real process dies there: test/process/manager-leave-kill.test.ts.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Result } from "../../../../core/gpu";
import { until } from "../../../lib/until";
import { configOf, ManagerRig, PYTHON, SOON, template } from "./rig";

let rig: ManagerRig;
beforeEach(async () => {
  rig = new ManagerRig();
  rig.config = configOf({ templates: [template({ targetSize: 1 })] });
  await rig.start();
  await rig.ready(1);
});
afterEach(() => rig.close());

function given<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(result.refusal.message);
  return result.value;
}
const code = (result: Result<unknown>) => (result.ok ? "ok" : result.refusal.code);
const volumes = () => rig.rig.store.tables.volumes.all().map(({ name }) => name);

/** One that was made with a volume, one that was claimed; images, packages and logs. */
async function has(owner: string) {
  const made = given(await rig.create({ volumeName: "deps", idempotency_key: "k" }, owner));
  const claimed = given(await rig.claim({ idempotency_key: "c" }, owner));
  for (const held of Object.values(rig.held)) held.add(owner);
  await rig.ready(1);
  return [made.id, claimed.id];
}
async function leaves(owner: string, purge: string[] | true = []): Promise<void> {
  rig.tenants = rig.tenants.filter((name) => name !== owner);
  rig.purge = purge;
  await rig.manager.recover();
}
const nothingOf = (owner: string) =>
  until(`nothing is left of ${owner}`, SOON, () => {
    const left = [
      ...rig.rows().filter((row) => row.owner === owner),
      ...volumes().filter((name) => name.startsWith(`berth-test-${owner}.`)),
      ...Object.values(rig.held).filter((held) => held.has(owner)),
    ];
    return left.length === 0 && !rig.manager.isLeaving(owner);
  });

describe("a tenant that the stack names no more", () => {
  it("keeps what it has, which stands still, and finds it when it is back", async () => {
    const ids = await has("web");
    const [theirs] = await has("bench");
    await leaves("web");
    const states = () => ids.map((id) => rig.state(id));
    expect(states()).toEqual(["exited", "exited"]);
    expect([rig.state(theirs ?? ""), volumes().length]).toEqual(["running", 2]);
    expect(rig.former.staying).toEqual(["web"]);
    expect(code(await rig.create({}, "web"))).toBe("closed");
    await rig.restart();
    expect(states()).toEqual(["exited", "exited"]);
    rig.tenants.push("web");
    await rig.manager.recover();
    expect(
      rig.manager
        .list("web")
        .map(({ id, status }) => [id, status])
        .sort(),
    ).toEqual(ids.map((id) => [id, "stopped"]).sort());
    expect(given(await rig.manager.start("web", ids[0] ?? "")).status).toBe("running");
    expect(rig.former.staying).toEqual([]);
  });

  it("has nothing any more where the stack says that it may go, and others keep theirs", async () => {
    await has("web");
    const theirs = await has("bench");
    await leaves("web", ["web"]);
    await nothingOf("web");
    expect(rig.rows().filter(({ owner }) => owner === "bench")).toHaveLength(theirs.length);
    expect(volumes()).toEqual(["berth-test-bench.deps"]);
    expect(Object.values(rig.held).every((held) => held.has("bench"))).toBe(true);
    await rig.ready(1);
    await rig.agreed();
  });

  it("has nothing on a node that has no manager any more, where the stack says so of the node", async () => {
    await has("web");
    await has("bench");
    rig.config = undefined;
    await leaves("web");
    await leaves("bench");
    expect(rig.rows().filter(({ owner }) => owner !== undefined)).toHaveLength(4);
    rig.purge = true;
    await rig.manager.recover();
    await nothingOf("web");
    await nothingOf("bench");
    expect(volumes()).toEqual([]);
  });

  const whats = ["volumes", "images", "packages", "logs", "keys"] as const;
  it.each(whats)("has nothing there either where %s alone are left of it", async (what) => {
    const asked = { volumes: { volumeName: "deps" }, keys: { idempotency_key: "k" } };
    const { id } = given(await rig.create(what === "volumes" || what === "keys" ? asked[what] : {}));
    if (what !== "volumes" && what !== "keys") rig.held[what].add("web");
    given(await rig.manager.remove("web", id));
    rig.config = undefined;
    await leaves("web");
    await until("no container is left", SOON, () => rig.rows().length === 0);
    await rig.restart();
    // Keys are over within a day.
    expect([rig.manager.isUsed, rig.former.staying]).toEqual([true, what === "keys" ? [] : ["web"]]);
    rig.purge = true;
    await rig.manager.recover();
    await nothingOf("web");
    expect(rig.manager.isUsed).toBe(false);
    rig.config = configOf();
    rig.tenants.push("web");
    given(await rig.create({ name: "another", idempotency_key: "k" }));
  });
});

describe("whoever is called so later", () => {
  /** As a new tenant, whose requests and names are those of the former. */
  async function beginsWithNothing(former: string[]): Promise<void> {
    expect([rig.manager.list("web"), rig.manager.images("web").own]).toEqual([[], []]);
    // The same keys are other requests now.
    const made = given(await rig.create({ volumeName: "deps", idempotency_key: "k", name: "another" }));
    const claimed = given(await rig.claim({ idempotency_key: "c" }));
    for (const { id } of [made, claimed]) expect(former).not.toContain(id);
    expect(rig.dockerd.calls.filter((call) => call === "DELETE /volumes/berth-test-web.deps")).toHaveLength(
      1,
    );
  }

  it("begins with nothing, after all is gone", async () => {
    const ids = await has("web");
    await leaves("web", ["web"]);
    await nothingOf("web");
    rig.tenants.push("web");
    rig.purge = [];
    await rig.manager.recover();
    await rig.ready(1);
    await beginsWithNothing(ids);
  });

  it.each(["goes on", "ends"])("is let in when all is gone, where berthd %s meanwhile", async (how) => {
    const ids = await has("web");
    const busy = { kind: "status", status: 500, message: "busy" } as const;
    rig.dockerd.mood("DELETE /containers/ID", busy);
    await leaves("web", ["web"]);
    // Until then nobody else brings it to an end.
    await until("it is noted, and was tried in vain", SOON, () =>
      rig.lines.some(({ message }) => message.startsWith("not all that a tenant had could be removed")),
    );
    expect(rig.rig.store.tables.operations.all().map(({ kind }) => kind)).toContain("leave");
    // Named again, with all that is to go still there.
    rig.tenants.push("web");
    rig.purge = [];
    // What cannot be removed yet is said each time.
    if (how === "ends") await rig.end();
    await expect(how === "ends" ? rig.begin() : rig.manager.recover()).rejects.toThrow("leave leave-web");
    expect(rig.manager.isLeaving("web")).toBe(true);
    expect(rig.rows().filter(({ owner }) => owner === "web")).toHaveLength(2);
    expect(code(await rig.create({ volumeName: "deps" }))).toBe("closed");
    expect(code(await rig.claim())).toBe("closed");
    rig.dockerd.calm();
    await rig.manager.recover();
    await nothingOf("web");
    await rig.ready(1);
    await beginsWithNothing(ids);
  });

  it("has nothing of a request of the former's that was under way", async () => {
    rig.dockerd.mood("POST /images/create", { kind: "slow", ms: 1500 });
    rig.dockerd.data.registry.set("docker.io/library/node:22", PYTHON);
    const late = rig.create({ image: "node:22", volumeName: "deps" });
    await until("it is brought", SOON, () => rig.dockerd.calls.includes("POST /images/create"));
    rig.held.images.add("web");
    await leaves("web", ["web"]);
    await nothingOf("web");
    rig.tenants.push("web");
    rig.purge = [];
    expect(await late).toMatchObject({
      refusal: { code: "closed", message: expect.stringContaining("no tenant") },
    });
    expect([rig.manager.list("web"), volumes()]).toEqual([[], []]);
  });
});
