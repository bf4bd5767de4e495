/**
 * What a tenant may ask for, over a real database and the real creator, with a fake dockerd. Proves: images are those that are allowed,
 * and the tenant's own; volumes are the tenant's and so many; a request with anything else is refused.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { managedSchema } from "../../../../agent/src/manager";
import type { Result } from "../../../../core/gpu";
import { configOf, ManagerRig, NODE, noSetups, PYTHON, template } from "./rig";

let rig: ManagerRig;
beforeEach(async () => {
  rig = new ManagerRig();
  await rig.start();
});
afterEach(() => rig.close());

function given<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(result.refusal.message);
  return result.value;
}
const code = (result: Result<unknown>) => (result.ok ? "ok" : result.refusal.code);
const only = () => {
  const [container, ...more] = rig.dockerd.containers.values();
  if (container === undefined || more.length > 0) throw new Error(`${more.length} more`);
  return container;
};

describe("an image", () => {
  it("is one of those that are allowed, by whatever spelling; else dockerd is asked for nothing", async () => {
    const before = rig.dockerd.calls.length;
    for (const image of [
      "alpine:3",
      "docker.io/evil/node:24",
      `node@sha256:${"0".repeat(64)}x`,
      "../x",
      NODE,
    ])
      expect(["not-allowed", "bad-request"]).toContain(code(await rig.create({ image })));
    expect(rig.dockerd.calls).toHaveLength(before);
    for (const image of ["docker.io/library/node:24-slim", "node:24-slim"])
      expect(given(await rig.create({ image })).image).toBe("node:24-slim");
  });

  it("of a tenant's own is theirs alone, and counts as used when a container is made from it", async () => {
    const uses: string[][] = [];
    rig.setups = {
      ...noSetups,
      imagesOf: (owner) => (owner === "web" ? [{ id: PYTHON, shown: "o-r:main" }] : []),
      useImage: (...used) => void uses.push(used),
    };
    await rig.restart();
    given(await rig.create({ image: "o-r:main" }));
    expect(only().body?.Image).toBe(PYTHON);
    for (const image of ["o-r:main", PYTHON])
      expect(code(await rig.create({ image }, "bench"))).toBe("not-allowed");
    expect([rig.manager.images("web").own, rig.manager.images("bench").own]).toEqual([
      [{ id: PYTHON, shown: "o-r:main", outdated: false }],
      [],
    ]);
    expect(uses).toEqual([["web", PYTHON]]);
  });

  it("of a tenant's own that is outdated is shown so, and a container begins with what it was made from", async () => {
    const old = `sha256:${"dd".repeat(32)}`;
    rig.setups = {
      ...noSetups,
      imagesOf: () => [{ id: old, shown: "o-r:main", instead: PYTHON }],
    };
    await rig.restart();
    expect(rig.manager.images("web").own).toEqual([{ id: old, shown: "o-r:main", outdated: true }]);
    for (const image of ["o-r:main", old]) expect(given(await rig.create({ image })).image).toBe(PYTHON);
  });

  it("that the node does not have is brought once, and one that cannot be had is said to be missing", async () => {
    rig.dockerd.data.registry.set("docker.io/library/node:22", `sha256:${"cc".repeat(32)}`);
    const all = await Promise.all([1, 2].map(() => rig.create({ image: "node:22" })));
    expect(all.map(code)).toEqual(["ok", "ok"]);
    expect(rig.dockerd.calls.filter((call) => call === "POST /images/create")).toHaveLength(1);
    expect(await rig.create({ image: "node:nope" })).toMatchObject({
      refusal: { code: "not-found", message: expect.stringContaining("its registry has none of that name") },
    });
    rig.measured = { ...rig.measured, diskFreeMiB: 3000 };
    expect(code(await rig.create({ image: "node:23" }))).toBe("full");
  });
});

describe("a volume", () => {
  const volumes = () => rig.rig.store.tables.volumes.all().map(({ name }) => name);
  it("is its tenant's, whoever else names one so, and stays when its container goes", async () => {
    const { id } = given(await rig.create({ volumeName: "v" }));
    given(await rig.create({ volumeName: "v" }, "bench"));
    given(await rig.manager.remove("web", id));
    expect(volumes()).toEqual(["berth-test-web.v", "berth-test-bench.v"]);
  });

  it("makes room for another where there are as many as may be, unless a container has each", async () => {
    rig.mostVolumes = 2;
    await rig.restart();
    const [a] = [given(await rig.create({ volumeName: "a" })), given(await rig.create({ volumeName: "b" }))];
    expect(await rig.create({ volumeName: "c" })).toMatchObject({ refusal: { code: "over-limit" } });
    expect(code(await rig.create({ volumeName: "c" }, "bench"))).toBe("ok");
    given(await rig.manager.remove("web", a.id));
    expect(code(await rig.create({ volumeName: "c" }))).toBe("ok");
    expect(rig.dockerd.urls).toContain("/volumes/berth-test-web.a");
    expect(volumes().sort()).toEqual(["berth-test-bench.c", "berth-test-web.b", "berth-test-web.c"]);
    await rig.restart();
    expect(code(await rig.create({ volumeName: "a" }))).toBe("over-limit");
    expect(code(await rig.create({ volumeName: "b" }))).toBe("ok");
  });
});

describe("a request", () => {
  it.each([
    [{}, "name"],
    [{ name: "" }, "name"],
    [{ name: "x".repeat(129) }, "name"],
    [{ name: "a\nb" }, "name"],
    [{ name: "a", ports: [0] }, "ports"],
    [{ name: "a", ports: [80, { container: 80, protocol: "udp" }] }, "ports"],
    [{ name: "a", ports: Array.from({ length: 17 }, (_, n) => n + 1) }, "ports"],
    [{ name: "a", ports: [{ container: 80, host: 22 }] }, "ports"],
    [{ name: "a", memory: 4 }, "memory"],
    [{ name: "a", memory: "much" }, "memory"],
    [{ name: "a", cpus: 0 }, "cpus"],
    [{ name: "a", volumeName: "../etc" }, "volumeName"],
    [{ name: "a", volumeName: "/etc" }, "volumeName"],
    [{ name: "a", env: { NVIDIA_VISIBLE_DEVICES: "all" } }, "env"],
    [{ name: "a", gpus: { grant: "g1" } }, "gpus"],
    [{ name: "a", user: "alice" }, ""],
    [{ name: "a", command: ["sh"] }, ""],
    [{ name: "a", mounts: [] }, ""],
  ])("%j is refused", (body, at) => {
    const read = managedSchema.safeParse(body);
    expect(read.success).toBe(false);
    expect(read.error?.issues.map(({ path }) => String(path[0] ?? ""))).toContain(at);
  });

  it("names a template of the node, whose size it has", async () => {
    rig.config = configOf({ templates: [template({ name: "big", memory: "2GiB", targetSize: 0 })] });
    expect(given(await rig.create({ template: "big" }))).toMatchObject({ memoryMiB: 2048, template: "big" });
    expect(await rig.create({ template: "other" })).toMatchObject({
      refusal: { code: "not-found", allowed: "big" },
    });
  });
});
