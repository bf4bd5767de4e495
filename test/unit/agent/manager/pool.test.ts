/**
 * Pools of containers that stand ready, over a real database and the real creator, with a fake dockerd whose commands really run.
 * Proves: ready means that the health command passed; a claim is no call to dockerd and gives each container once; pools are filled
 * again, drained when their template changes, never beyond their target, and stand back where an image is broken.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Result } from "../../../../core/gpu";
import { until } from "../../../lib/until";
import { configOf, ManagerRig, SOON, template } from "./rig";

let rig: ManagerRig;
let folder: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "berth-pool-"));
  rig = new ManagerRig();
});
afterEach(async () => {
  await rig.close();
  rmSync(folder, { recursive: true, force: true });
});

async function withPool(...templates: object[]): Promise<void> {
  rig.config = configOf({ templates });
  await rig.start();
}
function change(...templates: object[]): void {
  rig.config = configOf({ templates });
  rig.manager.configChanged();
}
function given<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(result.refusal.message);
  return result.value;
}
const ids = () => rig.rows().map(({ id }) => id);

describe("a pool", () => {
  it("is filled to its target, and its containers are nobody's", async () => {
    await withPool(template());
    await rig.ready(2);
    expect([rig.manager.list("web"), rig.manager.size]).toEqual([[], 2]);
    for (const { id } of rig.rows()) expect(rig.manager.get("web", id).ok).toBe(false);
    const owners = [...rig.dockerd.containers.values()].map(({ Config }) => Config?.Labels?.["berth.owner"]);
    expect(owners).toEqual(["system", "system"]);
    expect(rig.problems()).toEqual([]);
  });

  it("counts one as ready when its health command has passed", async () => {
    const file = join(folder, "healthy");
    await withPool(template({ health: { command: ["test", "-e", file], timeoutSeconds: 60 } }));
    await until("both were asked for their health", SOON, () => rig.dockerd.execs.all.length >= 2);
    expect(rig.pool()).toMatchObject({ ready: 0, warming: 2 });
    expect(given(await rig.claim()).fromPool).toBe(false);
    writeFileSync(file, "");
    await rig.ready(2);
  });

  it("removes one whose health command does not pass in time, and stands back", async () => {
    await withPool(template({ targetSize: 1, health: { command: ["false"], timeoutSeconds: 1 } }));
    await until("it says so", SOON, () => rig.manager.problems[0]);
    expect(rig.manager.problems[0]).toBe(
      "pool node: the health command did not pass within 1 s: it ended with 1",
    );
    await until("it is gone", SOON, () => rig.dockerd.containers.size === 0 && rig.rows().length === 0);
    expect(rig.pool().problem).toBe("the health command did not pass within 1 s: it ended with 1");
  });

  it("whose image is broken or missing says so, and is filled once that is mended", async () => {
    await withPool(template({ image: "node:22", targetSize: 1 }));
    await until("it says so", SOON, () => rig.manager.problems[0]?.includes("its registry has none"));
    const tries = rig.dockerd.calls.filter((call) => call === "POST /images/create").length;
    expect(tries).toBe(1);
    rig.dockerd.data.registry.set("docker.io/library/node:22", `sha256:${"cc".repeat(32)}`);
    rig.later = 6000;
    rig.manager.configChanged();
    await rig.ready(1);
    expect(rig.manager.problems).toEqual([]);
  });

  it("is drained when its template becomes another, and not when its size does", async () => {
    await withPool(template());
    await rig.ready(2);
    const before = ids();
    change(template({ targetSize: 3 }));
    await rig.ready(3);
    expect(ids()).toEqual(expect.arrayContaining(before));
    const old = ids();
    change(template({ memory: "1GiB" }));
    await until(
      "all are others",
      SOON,
      () => !ids().some((id) => old.includes(id)) && rig.pool().ready === 2,
    );
    expect(rig.rows().map(({ memoryMiB }) => memoryMiB)).toEqual([1024, 1024]);
    change();
    await until("all are gone", SOON, () => rig.dockerd.containers.size === 0);
  });

  it("is drained when its image's name is another image's", async () => {
    await withPool(template());
    await rig.ready(2);
    const old = ids();
    const other = `sha256:${"dd".repeat(32)}`;
    rig.dockerd.images.set("node:24-slim", other);
    rig.dockerd.images.set(other, other);
    rig.engine.forget();
    rig.manager.configChanged();
    await until(
      "all are others",
      SOON,
      () => !ids().some((id) => old.includes(id)) && rig.pool().ready === 2,
    );
    expect([...rig.dockerd.containers.values()].map(({ body }) => body?.Image)).toEqual([other, other]);
  });

  it("is drained when another version of what stands in for its image comes", async () => {
    const versions = ["0a", "0b"].map((digest) => ({
      image: `10.88.0.2:5000/berth/dev@sha256:${digest.repeat(32)}`,
      id: `sha256:${digest.replace("0", "e").repeat(32)}`,
    }));
    for (const { image, id } of versions) rig.dockerd.data.registry.set(image, id);
    const withStandIn = (image = "") =>
      configOf({
        templates: [template()],
        images: { default: "node:24-slim", allowed: [], standIn: { names: ["node:24-slim"], image } },
      });
    const images = () => [...rig.dockerd.containers.values()].map(({ body }) => body?.Image);
    rig.config = withStandIn(versions[0]?.image);
    await rig.start();
    for (const { image, id } of versions) {
      rig.config = withStandIn(image);
      rig.manager.configChanged();
      await until(
        `all are of ${id}`,
        SOON,
        () => images().every((one) => one === id) && rig.pool().ready === 2,
      );
    }
  });

  it("replaces one that died, and one that is too old", async () => {
    await withPool(template({ ttlSeconds: 600 }));
    await rig.ready(2);
    const [first = ""] = rig.dockerd.containers.keys();
    rig.dockerd.end(first);
    await until("it is another", SOON, () => {
      rig.manager.configChanged();
      return !rig.dockerd.containers.has(first) && rig.pool().ready === 2;
    });
    const old = ids();
    rig.later = 601_000;
    rig.manager.configChanged();
    await until(
      "all are others",
      SOON,
      () => !ids().some((id) => old.includes(id)) && rig.pool().ready === 2,
    );
    await rig.agreed();
  });

  it("keeps as many as its schedule says at the time", async () => {
    const all = { days: undefined, from: "00:00", to: "24:00" };
    await withPool(template({ targetSize: 0, minSize: 0, schedule: [{ ...all, targetSize: 2 }] }));
    await rig.ready(2);
    expect(rig.pool()).toMatchObject({ target: 2, min: 0 });
  });

  it("takes no more than the node has, and is no fault of the node's health", async () => {
    rig.measured = { ...rig.measured, memoryMiB: 2048 };
    await withPool(template({ targetSize: 5, maxCreating: 5 }));
    await until("what fits is there", SOON, () => rig.pool().ready === 2);
    expect(rig.manager.problems).toEqual([]);
    expect(await rig.create({ image: "python:3.13" })).toMatchObject({ refusal: { code: "full" } });
    expect(rig.manager.capacity().templates).toEqual([{ name: "node", more: 0, bound: "memory", ready: 2 }]);
  });

  it("with GPUs keeps none: they are granted when it is claimed", async () => {
    await withPool(template({ gpus: { kind: "mig", count: 1 } }));
    expect(rig.pool()).toMatchObject({ target: 0, ready: 0 });
    const { id } = given(await rig.claim());
    expect(rig.rig.ledger.grants()).toMatchObject([{ user: "web", state: "bound" }]);
    expect(rig.manager.get("web", id).ok).toBe(true);
    given(await rig.manager.stop("web", id));
    expect(await rig.manager.start("web", id)).toMatchObject({ refusal: { code: "conflict" } });
    given(await rig.manager.remove("web", id));
    await until("they are free", SOON, () => rig.rig.ledger.grants().length === 0);
  });
});

describe("a claim", () => {
  it("asks dockerd for nothing, and the pool is filled again behind it", async () => {
    await withPool(template({ targetSize: 1 }));
    await rig.ready(1);
    const [id] = ids();
    const before = rig.dockerd.calls.length;
    rig.dockerd.mood("POST /containers", { kind: "slow", ms: 30 });
    const claimed = given(await rig.claim({ name: "mine", env: { A: "1" } }));
    // What is being made for the pool begins after it.
    expect(rig.dockerd.calls.slice(before).filter((call) => call.startsWith("POST"))).toEqual([]);
    expect(claimed).toMatchObject({
      ...{ id, name: "mine", fromPool: true, status: "running", template: "node" },
    });
    expect(rig.manager.find("web", id ?? "")?.env).toEqual({ A: "1" });
    expect(rig.manager.get("bench", id ?? "").ok).toBe(false);
    await rig.ready(1);
    expect(rig.problems()).toEqual([]);
  });

  it("that comes with others is answered before dockerd has the next ones to make", async () => {
    await withPool(template({ targetSize: 4, maxCreating: 4 }));
    await rig.ready(4);
    const before = rig.dockerd.calls.length;
    const made = () => rig.dockerd.calls.slice(before).filter((call) => call.startsWith("POST")).length;
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      for (let n = 0; n < 4; n += 1) expect(given(await rig.claim()).fromPool).toBe(true);
      expect(made()).toBe(0);
      vi.advanceTimersByTime(100);
    } finally {
      vi.useRealTimers();
    }
    await rig.ready(4);
    expect(made()).toBeGreaterThanOrEqual(4);
  });

  it("gives each container once, and makes what does not stand ready", async () => {
    await withPool(template({ targetSize: 4, maxCreating: 4 }));
    await rig.ready(4);
    const all = await Promise.all(
      Array.from({ length: 9 }, (_, n) => rig.claim({ name: `c${n}` }, n % 2 === 0 ? "web" : "bench")),
    );
    const got = all.map(given);
    expect(new Set(got.map(({ id }) => id)).size).toBe(9);
    expect(got.filter(({ fromPool }) => fromPool).length).toBeGreaterThanOrEqual(4);
    await rig.ready(4);
    expect([rig.manager.list("web").length, rig.manager.list("bench").length]).toEqual([5, 4]);
    await rig.agreed();
    expect(rig.dockerd.containers.size).toBe(13);
  });

  it("is what a create comes to whose container a pool has; one that is another is made", async () => {
    await withPool(template());
    await rig.ready(2);
    expect(given(await rig.create({ image: "node:24-slim" })).fromPool).toBe(true);
    expect(given(await rig.create({ env: { A: "1" } })).fromPool).toBe(true);
    await rig.ready(2);
    for (const other of [
      { memory: 1024 },
      { cpus: 2 },
      { ports: [80] },
      { volumeName: "v" },
      { image: "python:3.13" },
    ])
      expect([other, given(await rig.create(other)).fromPool]).toEqual([other, false]);
  });

  it("of the same key is the same container", async () => {
    await withPool(template());
    await rig.ready(2);
    const key = { idempotency_key: "k" };
    const [one, two] = await Promise.all([rig.claim(key), rig.claim(key)]);
    await rig.restart();
    const three = await rig.claim(key);
    expect(new Set([one, two, three].map((each) => given(each).id)).size).toBe(1);
    expect(given(three).fromPool).toBe(true);
  });

  it("names a template that there is; where there are several, it names one", async () => {
    await withPool(
      template({ targetSize: 0, minSize: 0 }),
      template({ name: "two", targetSize: 0, minSize: 0 }),
    );
    expect(await rig.claim()).toMatchObject({ refusal: { code: "bad-request", allowed: "node, two" } });
    expect(await rig.claim({ template: "three" })).toMatchObject({ refusal: { code: "not-found" } });
    expect(given(await rig.claim({ template: "two" })).template).toBe("two");
  });

  it("is refused beyond what a tenant may have", async () => {
    rig.mostOfTenant = 1;
    await withPool(template());
    await rig.ready(2);
    const all = await Promise.all([rig.claim(), rig.claim()]);
    expect(all.map((one) => (one.ok ? "ok" : one.refusal.code)).sort()).toEqual(["ok", "over-limit"]);
  });
});
