/**
 * Containers of tenants, over a real database and the real creator, with a fake dockerd. Proves: what a tenant asks for is what
 * Docker is told, and nothing more; each container is its owner's alone; ports have one owner, rest for a while, and stay over
 * restarts; a node that is full says so; the same key gives the same container.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Result } from "../../../../core/gpu";
import { until } from "../../../lib/until";
import { configOf, ManagerRig, NODE, noSetups, PYTHON, SOON, template } from "./rig";

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
const standInOf = (digest: string) => `10.88.0.2:5000/berth/dev@sha256:${digest.repeat(32)}`;
/** The id of an image by digest, as this dockerd gives it. */
const idOf = (reference: string) => `sha256:f${reference.slice(-63)}`;
const only = () => {
  const [container, ...more] = rig.dockerd.containers.values();
  if (container === undefined || more.length > 0) throw new Error(`${more.length} more`);
  return container;
};

describe("a container of a tenant", () => {
  it("is made with the defaults, and says where it is reached", async () => {
    const made = given(await rig.create());
    expect(made).toMatchObject({
      ...{ name: "app", status: "running", image: "node:24-slim", hostPort: 20_000, ports: { 3000: 20_000 } },
      ...{ fromPool: false, pool: false, memoryMiB: 512, cpus: 1 },
      logsUrl: `http://node.test:8080/api/containers/${made.id}/logs`,
      terminalUrl: `ws://node.test:8080/api/containers/${made.id}/terminal`,
    });
    expect(made.id).toMatch(/^[0-9a-f]{8}$/);
    const { Name, body } = only();
    // Docker's name server tells them to whoever is in the network.
    expect([Name, body?.Hostname]).toEqual([`/berth-test-system.${made.id}`, `system-${made.id}`]);
    expect(body).toMatchObject({
      ...{ Image: NODE, Entrypoint: ["sleep"], Cmd: ["infinity"], Tty: false },
      Labels: { "berth.owner": "web", "berth.creation": made.id, "berth.component": "container" },
      HostConfig: {
        ...{ Init: true, Memory: 512 * 2 ** 20, NanoCpus: 1e9, PidsLimit: 4096, Privileged: false },
        PortBindings: { "3000/tcp": [{ HostIp: "127.0.0.1", HostPort: "20000" }] },
      },
    });
    expect(rig.problems()).toEqual([]);
  });

  it("is made as the request says; what is to be in its environment is in no place of Docker's", async () => {
    rig.config = configOf({ publish: { address: "10.0.0.4" } });
    const made = given(
      await rig.create({
        ...{
          image: "python:3.13",
          ports: [8000, { container: 5353, protocol: "udp" }],
          memory: "1GiB",
          cpus: 0.5,
        },
        ...{ env: { TOKEN: "secret-1" }, volumeName: "o-r-node_modules", pool: true },
      }),
    );
    expect(made).toMatchObject({
      ports: { 8000: 20_000, 5353: 20_001 },
      memoryMiB: 1024,
      cpus: 0.5,
      pool: true,
    });
    const { body } = only();
    expect(body).toMatchObject({
      Image: PYTHON,
      HostConfig: {
        ...{ Memory: 2 ** 30, NanoCpus: 5e8 },
        PortBindings: {
          "8000/tcp": [{ HostIp: "10.0.0.4", HostPort: "20000" }],
          "5353/udp": [{ HostIp: "10.0.0.4", HostPort: "20001" }],
        },
        Mounts: [{ Type: "volume", Source: "berth-test-web.o-r-node_modules", Target: "/app/node_modules" }],
      },
    });
    expect(JSON.stringify(body)).not.toContain("secret-1");
    expect(rig.manager.find("web", made.id)?.env).toEqual({ TOKEN: "secret-1" });
    expect(JSON.stringify([rig.lines, await rig.rig.events(), made])).not.toContain("secret-1");
    given(await rig.manager.remove("web", made.id));
    expect(JSON.stringify(rig.rig.store.tables.managed.all())).not.toContain("secret-1");
  });

  it("is listed and looked at from memory, without a word to dockerd", async () => {
    const made = given(await rig.create());
    const before = rig.dockerd.calls.length;
    expect(rig.manager.list("web")).toEqual([made]);
    expect(given(rig.manager.get("web", made.id))).toEqual(made);
    expect(rig.dockerd.calls).toHaveLength(before);
  });

  it("stops, keeps its ports and its room, and starts again", async () => {
    const { id } = given(await rig.create());
    expect(given(await rig.manager.stop("web", id))).toMatchObject({ status: "stopped", hostPort: 20_000 });
    expect(given(await rig.create()).hostPort).toBe(20_001);
    expect(given(await rig.manager.start("web", id)).status).toBe("running");
  });

  it("is deleted with what is in it, once its set-up was ended", async () => {
    const { id } = given(await rig.create());
    const ended: string[] = [];
    rig.setups = {
      ...noSetups,
      phaseOf: (of) => (of === id ? { phase: "cloning", status: "setting-up" } : undefined),
      end: async (of) => {
        ended.push(`${of} with ${rig.dockerd.containers.size}`);
      },
    };
    await rig.restart();
    expect(given(rig.manager.get("web", id)).setup).toEqual({ phase: "cloning", status: "setting-up" });
    const gone: string[] = [];
    rig.manager.onGone((of) => gone.push(of));
    const [first, second] = await Promise.all([rig.manager.remove("web", id), rig.manager.remove("web", id)]);
    expect([first, second]).toEqual([{ ok: true, value: { id } }, first]);
    expect([ended, gone]).toEqual([[`${id} with 1`], [id]]);
    expect([rig.dockerd.containers.size, rig.manager.list("web")]).toEqual([0, []]);
    expect(code(await rig.manager.remove("web", id))).toBe("not-found");
  });

  it("that dockerd cannot delete now is shown as such, and is deleted when it can", async () => {
    const { id } = given(await rig.create());
    rig.dockerd.mood("DELETE /containers/ID", { kind: "status", status: 500, message: "busy" }, 1);
    expect(code(await rig.manager.remove("web", id))).not.toBe("ok");
    expect(given(rig.manager.get("web", id)).status).toBe("removing");
    expect(code(await rig.manager.start("web", id))).toBe("conflict");
    await rig.manager.recover();
    expect([rig.rows(), rig.dockerd.containers.size]).toEqual([[], 0]);
  });

  it("leaves nothing where its caller goes or dockerd fails", async () => {
    rig.dockerd.mood("POST /containers/ID/start", { kind: "slow", ms: 100 }, 1);
    const going = new AbortController();
    const asked = rig.create({}, "web", going.signal);
    await until("it is being started", SOON, () => rig.dockerd.calls.includes("POST /containers/ID/start"));
    going.abort();
    expect(code(await asked)).toBe("conflict");
    rig.dockerd.mood("POST /containers/ID/start", { kind: "status", status: 500, message: "no" }, 1);
    expect(code(await rig.create())).toBe("conflict");
    expect([rig.rows(), rig.dockerd.containers.size]).toEqual([[], 0]);
  });
});

describe("another tenant", () => {
  it("is told of a container what it is told of none, and changes nothing of it", async () => {
    const { id } = given(await rig.create({ env: { A: "b" } }));
    const none = id === "00000000" ? "00000001" : "00000000";
    const { manager } = rig;
    for (const act of [
      (of: string) => manager.get("bench", of),
      (of: string) => manager.remove("bench", of),
      (of: string) => manager.stop("bench", of),
      (of: string) => manager.start("bench", of),
    ]) {
      const [theirs, nobodys] = [await act(id), await act(none)];
      expect(JSON.stringify(theirs)).toBe(JSON.stringify(nobodys).replaceAll(none, id));
      expect(theirs).toMatchObject({
        refusal: { code: "not-found", message: `There is no container ${id}.` },
      });
    }
    expect([manager.list("bench"), manager.find("bench", id)]).toEqual([[], undefined]);
    expect(given(manager.get("web", id)).status).toBe("running");
    // By Docker's id and by Docker's name there is none, whoever asks.
    const { Id, Name } = only();
    for (const other of [Id, Name.slice(1), "", "__proto__"])
      expect(code(manager.get("web", other))).toBe("not-found");
  });

  it("has as many as it may, and no more", async () => {
    rig.mostOfTenant = 2;
    await rig.restart();
    const all = await Promise.all([rig.create(), rig.create(), rig.create(), rig.create({}, "bench")]);
    expect(all.map(code).sort()).toEqual(["ok", "ok", "ok", "over-limit"]);
    expect(rig.manager.list("web")).toHaveLength(2);
  });

  it("that asks for more than it may at a time is told so, also where nobody waits for the answers", async () => {
    rig.dockerd.mood("POST /images/create", { kind: "slow", ms: 300 });
    const ask = (n: number) => rig.create({ image: `node:none-${n}`, idempotency_key: `key-${n}` });
    const asked = Array.from({ length: 70 }, (_, n) => ask(n));
    expect((await Promise.all(asked.slice(64))).map(code)).toEqual(Array(6).fill("full"));
    expect(code(await rig.create({}, "bench"))).toBe("ok");
    rig.dockerd.calm();
    expect((await Promise.all(asked.slice(0, 64))).map(code)).toEqual(Array(64).fill("not-found"));
    expect(code(await rig.create())).toBe("ok");
  });

  it("does not wait for images that somebody else has asked for", async () => {
    rig.dockerd.mood("POST /images/create", { kind: "slow", ms: 200 });
    const late = Array.from({ length: 20 }, (_, n) => rig.create({ image: `node:none-${n}` }));
    let done = 0;
    for (const one of late) void one.then(() => done++);
    expect(code(await rig.create({ image: "node:none-19" }, "bench"))).toBe("not-found");
    expect(done).toBeLessThan(19);
    rig.dockerd.calm();
    await Promise.all(late);
  });

  it("has so many images brought: the one longest unused goes, unless a container has it or the operator names it", async () => {
    rig.config = configOf({ images: { default: "node:24-slim", allowed: ["node:*", "node:named"] } });
    const names = ["named", ...Array.from({ length: 18 }, (_, n) => `v${n}`)];
    for (const name of names) rig.dockerd.data.registry.set(`docker.io/library/node:${name}`, PYTHON);
    const bring = async (name: string, owner = "web") => {
      const made = await rig.create({ image: `node:${name}`, memory: 8 }, owner);
      if (made.ok) await rig.manager.remove(owner, made.value.id);
      return code(made);
    };
    for (const name of names.slice(0, 17)) expect(await bring(name)).toBe("ok");
    // Asked for again.
    expect(await bring("v0")).toBe("ok");
    expect(await bring("v16")).toBe("ok");
    const there = () => names.filter((name) => rig.dockerd.images.has(`node:${name}`));
    expect(there()).toEqual(names.filter((name) => !["v1", "v17"].includes(name)));
    for (const name of there()) if (name !== "named") rig.dockerd.data.used.add(`node:${name}`);
    expect(await bring("v17")).toBe("over-limit");
    expect(await bring("v17", "bench")).toBe("ok");
    expect(await bring("v0")).toBe("ok");
  });

  it("that names what another image stands in for gets that one, brought once, and kept for the node", async () => {
    const [image, older] = [standInOf("0a"), standInOf("0b")];
    for (const one of [image, older]) {
      rig.dockerd.data.registry.set(one, idOf(one));
      rig.dockerd.data.labels.set(idOf(one), { "berth.image": "dev" });
    }
    const standsIn = (by: string) =>
      configOf({
        images: {
          ...{ default: "node:24-slim", allowed: ["node:*"] },
          standIn: { names: ["library/node:24-slim"], image: by },
        },
      });
    rig.config = standsIn(older);
    const old = given(await rig.create());
    expect(only().body?.Image).toBe(idOf(older));
    rig.config = standsIn(image);
    const made = await Promise.all([rig.create(), rig.create({}, "bench"), rig.create({ image: "node" })]);
    expect(made.map(code)).toEqual(["ok", "ok", "not-found"]);
    expect(given(made[0]).image).toBe("node:24-slim");
    const images = [...rig.dockerd.containers.values()].map(({ body }) => body?.Image);
    expect(images).toEqual([idOf(older), idOf(image), idOf(image)]);
    const pulls = rig.dockerd.calls.filter((call) => call === "POST /images/create");
    // The older one, this one, and node:latest, for which nothing stands in.
    expect(pulls).toHaveLength(3);

    rig.dockerd.data.used.add(older).add(image);
    await rig.manager.tidy();
    expect(rig.dockerd.images.has(older)).toBe(true);
    given(await rig.manager.remove("web", old.id));
    rig.dockerd.data.used.clear();
    await rig.manager.tidy();
    expect([rig.dockerd.images.has(older), rig.dockerd.images.has(image)]).toEqual([false, true]);
    rig.config = configOf();
    await rig.manager.tidy();
    expect(rig.dockerd.images.has(image)).toBe(false);
    given(await rig.create());
    expect([...rig.dockerd.containers.values()].at(-1)?.body?.Image).toBe(NODE);
  });

  it("is told what stands in for an image that cannot be brought", async () => {
    const image = standInOf("0a");
    const standIn = { names: ["node:24-slim"], image };
    rig.config = configOf({ images: { default: "node:24-slim", allowed: ["node:*"], standIn } });
    expect(await rig.create()).toMatchObject({
      refusal: {
        code: "not-found",
        message: expect.stringMatching(
          /^image node:24-slim cannot be had on this node: the operator's own image stands in for it here/,
        ),
      },
    });
    expect(rig.rows()).toEqual([]);
  });

  it("has as much in the environments of its containers as berthd can keep, claimed ones too, and no more", async () => {
    rig.config = configOf({ templates: [template({ memory: "8MiB", cpus: 0.01, pids: 16 })] });
    rig.manager.configChanged();
    await rig.ready(2);
    const env = Object.fromEntries(Array.from({ length: 4 }, (_, n) => [`V${n}`, "x".repeat(32_000)]));
    const small = { memory: 8, cpus: 0.01, ports: [], env };
    const made = [];
    for (let n = 0; n < 65; n++) made.push(await rig.create(small));
    expect(made.map(code)).toEqual(Array(65).fill("ok"));
    expect(code(await rig.create(small))).toBe("over-limit");
    expect(code(await rig.claim({ env }))).toBe("over-limit");
    expect(code(await rig.claim())).toBe("ok");
    expect(code(await rig.create(small, "bench"))).toBe("ok");
    await rig.manager.remove("web", given(made[0] as Result<{ id: string }>).id);
    expect(code(await rig.create(small))).toBe("ok");
  });
});

describe("ports of the node", () => {
  it("go to one container each, however many are asked for at a time", async () => {
    const all = await Promise.all(Array.from({ length: 12 }, () => rig.create({ ports: [80, 443] })));
    const hosts = all.flatMap((one) => Object.values(given(one).ports));
    expect(hosts.sort()).toEqual(Array.from({ length: 24 }, (_, index) => 20_000 + index));
    await rig.agreed();
  });

  it("rest for a minute after a delete, also over a restart", async () => {
    const { id } = given(await rig.create());
    given(await rig.manager.remove("web", id));
    expect(given(await rig.create()).hostPort).toBe(20_001);
    await rig.restart();
    expect(given(await rig.create()).hostPort).toBe(20_002);
    rig.later = 61_000;
    expect(given(await rig.create()).hostPort).toBe(20_000);
  });

  it("do not rest where the container was never made, so that nobody can use them up", async () => {
    rig.range = { start: 20_000, end: 20_015 };
    const ports = Array.from({ length: 16 }, (_, n) => 3000 + n);
    rig.dockerd.mood("POST /containers/create", { kind: "status", status: 500, message: "no" }, 3);
    for (let n = 0; n < 3; n++) expect(code(await rig.create({ ports }))).toBe("conflict");
    const gone = new AbortController();
    const asked = rig.create({ ports }, "web", gone.signal);
    gone.abort();
    expect(code(await asked)).toBe("conflict");
    expect(code(await rig.create({ ports }, "bench"))).toBe("ok");
    await rig.restart();
    expect(rig.problems()).toEqual([]);
  });

  it("stay over a restart, and those of containers that others made are not given", async () => {
    rig.dockerd.put({
      Config: { Labels: { "berth.owner": "alice" } },
      HostConfig: { PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "20001" }] } },
    });
    const first = given(await rig.create());
    await rig.restart();
    expect(given(rig.manager.get("web", first.id)).ports).toEqual({ 3000: 20_000 });
    expect(given(await rig.create()).hostPort).toBe(20_002);
  });

  it("that are all taken are said to be", async () => {
    rig.range = { start: 20_000, end: 20_001 };
    given(await rig.create());
    expect(await rig.create({ ports: [1, 2] })).toMatchObject({ refusal: { code: "full" } });
    given(await rig.create());
    expect(rig.manager.hasPort(20_001)).toBe(true);
  });
});

describe("a node", () => {
  it.each([
    [512, 30],
    [1024, 15],
    [2048, 7],
  ])("of 16 GB takes containers of %i MB: %i, and then says that it is full", async (memory, most) => {
    const all = await Promise.all(Array.from({ length: most + 3 }, () => rig.create({ memory, cpus: 0.1 })));
    expect(all.filter(({ ok }) => ok)).toHaveLength(most);
    for (const one of all)
      if (!one.ok)
        expect(one.refusal).toMatchObject({
          code: "full",
          message: expect.stringContaining("MiB of memory"),
        });
    const [first] = rig.manager.list("web");
    given(await rig.manager.remove("web", first?.id ?? ""));
    expect(code(await rig.create({ memory, cpus: 0.1 }))).toBe("ok");
    expect(rig.manager.capacity()).toMatchObject({ bound: "memory" });
  });

  it("counts what others have been promised", async () => {
    rig.dockerd.put({ Config: { Labels: { "berth.owner": "alice" } }, HostConfig: { Memory: 14 * 2 ** 30 } });
    await rig.restart();
    const all = await Promise.all([1, 2, 3].map(() => rig.create()));
    expect(all.map(code).sort()).toEqual(["full", "ok", "ok"]);
  });

  it("says of what it could never hold that it is impossible", async () => {
    expect(code(await rig.create({ memory: "64GiB" }))).toBe("impossible");
  });

  it("without a manager makes nothing", async () => {
    rig.config = undefined;
    expect(code(await rig.create())).toBe("closed");
  });
});

describe("an idempotency key", () => {
  const key = { idempotency_key: "k-1" };
  it("gives the same container, also to requests of one moment and to the next berthd", async () => {
    const [one, two] = await Promise.all([rig.create(key), rig.create(key)]);
    expect(given(two)).toEqual(given(one));
    await rig.restart();
    expect(given(await rig.create(key)).id).toBe(given(one).id);
    expect(rig.dockerd.containers.size).toBe(1);
  });

  it("is its tenant's, and is of one request", async () => {
    const { id } = given(await rig.create(key));
    expect(given(await rig.create(key, "bench")).id).not.toBe(id);
    expect(await rig.create({ ...key, memory: 1024 })).toMatchObject({ refusal: { code: "conflict" } });
    given(await rig.manager.remove("web", id));
    expect(await rig.create(key)).toMatchObject({
      refusal: { code: "conflict", message: expect.stringContaining("was deleted") },
    });
  });

  it("can be used again where the container was not made", async () => {
    rig.dockerd.mood("POST /containers/create", { kind: "status", status: 500, message: "no" }, 1);
    expect(code(await rig.create(key))).toBe("conflict");
    expect(code(await rig.create(key))).toBe("ok");
  });

  it("keeps a container whose caller goes, for when it comes back", async () => {
    rig.dockerd.mood("POST /containers/ID/start", { kind: "slow", ms: 50 }, 1);
    const going = new AbortController();
    const asked = rig.create(key, "web", going.signal);
    await until("it is being started", SOON, () => rig.dockerd.calls.includes("POST /containers/ID/start"));
    going.abort();
    expect(given(await rig.create(key)).id).toBe(given(await asked).id);
  });
});
