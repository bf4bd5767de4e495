/**
 * The registry of containers. Proves: what is known of each container, of which kind it is, and by whose labels; the
 * registry follows dockerd by events, finds what no event told, and is whole again after a restart of dockerd or berthd.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { recordOf } from "../../../../agent/src/containers/record";
import { ContainerRegistry } from "../../../../agent/src/containers/registry";
import type { Inspect } from "../../../../agent/src/docker/shapes";
import { inventory, MIG0, Rig } from "./rig";

const inspect = (
  more: Partial<Omit<Inspect, "State">> & { State?: Partial<Inspect["State"]> } = {},
): Inspect => ({
  Id: more.Id ?? "ab".repeat(32),
  Name: more.Name ?? "/one",
  Created: "2026-11-30T07:00:00.5Z",
  Config: { Image: "alpine", Labels: {}, ...more.Config },
  HostConfig: { ...more.HostConfig },
  ...(more.NetworkSettings === undefined ? {} : { NetworkSettings: more.NetworkSettings }),
  State: {
    Status: "running",
    Running: true,
    Pid: 7,
    ExitCode: 0,
    StartedAt: "2026-11-30T07:00:01Z",
    FinishedAt: "0001-01-01T00:00:00Z",
    ...more.State,
  },
});

describe("a record", () => {
  const kinds: [string, Record<string, string>, string, string | undefined][] = [
    [
      "a person's workspace",
      { "berth.component": "workspace", "berth.owner": "alice" },
      "workspace",
      "alice",
    ],
    [
      "what berthd made",
      { "berth.component": "container", "berth.owner": "bob", "berth.creation": "00" },
      "created",
      "bob",
    ],
    [
      "what an older berthd made",
      { "berth.component": "container", "berth.owner": "bob", "berth.launch": "00" },
      "created",
      "bob",
    ],
    [
      "a workspace whose image brought a creation",
      { "berth.component": "workspace", "berth.owner": "bob", "berth.creation": "00" },
      "workspace",
      "bob",
    ],
    ["a part of Berth", { "berth.component": "ray", "berth.owner": "system" }, "own", "system"],
    ["a stranger's", {}, "other", undefined],
    ["a stranger's with labels that its image brought", { "berth.component": "ray" }, "other", undefined],
  ];
  it.each(kinds)("tells %s", (_, Labels, kind, owner) => {
    const record = recordOf(inspect({ Config: { Labels } }), inventory);
    expect([record.kind, record.owner]).toEqual([kind, owner]);
  });

  it("has the times, the end and the ports of a container that runs", () => {
    const ports = { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "20000" }], "53/udp": null };
    expect(recordOf(inspect({ NetworkSettings: { Ports: ports } }), inventory)).toEqual({
      id: "ab".repeat(32),
      name: "one",
      kind: "other",
      image: "alpine",
      state: "running",
      createdAt: Date.parse("2026-11-30T07:00:00.500Z"),
      startedAt: Date.parse("2026-11-30T07:00:01Z"),
      ports: [{ container: 80, protocol: "tcp", address: "127.0.0.1", host: 20_000 }],
      units: [],
      usesGpus: false,
      privileged: false,
      runs: true,
    });
  });

  it("has the last end of one that is down, and the ports that it will ask for", () => {
    const record = recordOf(
      inspect({
        HostConfig: { PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "20000" }] } },
        State: {
          Status: "exited",
          Running: false,
          Pid: 0,
          ExitCode: 137,
          FinishedAt: "2026-11-30T08:00:00Z",
        },
      }),
      inventory,
    );
    expect(record).toMatchObject({
      state: "exited",
      runs: false,
      exitCode: 137,
      finishedAt: Date.parse("2026-11-30T08:00:00Z"),
      ports: [{ container: 80, protocol: "tcp", address: "127.0.0.1", host: 20_000 }],
    });
  });

  it("has neither end nor code of an earlier run while the container runs", () => {
    const record = recordOf(
      inspect({ State: { FinishedAt: "2026-11-30T06:00:00Z", ExitCode: 3 } }),
      inventory,
    );
    expect(record).not.toHaveProperty("exitCode");
    expect(record).not.toHaveProperty("finishedAt");
  });

  it.each([
    ["healthy", "healthy"],
    ["starting", "starting"],
    ["none", undefined],
  ])("takes health %s for %s", (Status, health) => {
    expect(recordOf(inspect({ State: { Health: { Status } } }), inventory).health).toBe(health);
  });
});

describe("reading", () => {
  it("finds by id and by name, and lists by owner", () => {
    const registry = new ContainerRegistry();
    const put = (digit: string, name: string, owner?: string) => {
      const Labels: Record<string, string> = owner === undefined ? {} : { "berth.owner": owner };
      const record = recordOf(
        inspect({ Id: digit.repeat(64), Name: `/${name}`, Config: { Labels } }),
        inventory,
      );
      registry.put(record);
      return record.id;
    };
    const a = put("a", "one", "alice");
    const b = put("b", "two", "alice");
    const c = put("c", "three");
    expect(registry.get(a)?.name).toBe("one");
    expect(registry.get("two")?.id).toBe(b);
    expect(registry.list("alice").map(({ id }) => id)).toEqual([a, b]);
    expect(registry.list("bob")).toEqual([]);
    expect(registry.list()).toHaveLength(3);
    // Renamed, and its name taken by another.
    put("a", "four", "alice");
    const d = put("d", "one");
    expect([registry.get("one")?.id, registry.get("four")?.id]).toEqual([d, a]);
    // Made anew under its name before the end of the first is told.
    const e = put("e", "three");
    registry.delete(c);
    expect(registry.get("three")?.id).toBe(e);
    registry.delete(a);
    registry.delete(b);
    expect(registry.list("alice")).toEqual([]);
    expect(registry.size).toBe(2);
  });
});

describe("a registry that follows dockerd", () => {
  let rig: Rig;
  beforeEach(async () => {
    rig = new Rig();
    await rig.start();
  });
  afterEach(() => rig.close());

  async function follow(): Promise<void> {
    const looked = new Promise<void>((resolve) => {
      rig.containers.onEvent(({ kind }) => kind === "looked" && resolve());
    });
    rig.containers.follow();
    await looked;
  }
  const states = () => Object.fromEntries(rig.containers.list().map(({ name, state }) => [name, state]));
  const owned = (owner: string) => ({ Labels: { "berth.owner": owner } });

  it("knows containers without GPUs from their creation to their end", async () => {
    const there = rig.dockerd.put({ Name: "/there", Config: owned("alice") });
    await follow();
    expect(states()).toEqual({ there: "running" });
    const id = rig.dockerd.put({ Name: "/new", Config: owned("bob"), State: { Status: "created" } });
    rig.dockerd.event("create", id);
    await expect.poll(states).toEqual({ there: "running", new: "created" });
    rig.dockerd.run(id);
    await expect.poll(states).toMatchObject({ new: "running" });
    Object.assign(rig.dockerd.containers.get(id) ?? {}, { Name: "/newer" });
    rig.dockerd.event("rename", id);
    await expect.poll(() => rig.containers.get("newer")?.id).toBe(id);
    Object.assign(rig.dockerd.containers.get(id)?.State ?? {}, { Health: { Status: "unhealthy" } });
    rig.dockerd.event("health_status: unhealthy", id);
    await expect.poll(() => rig.containers.get(id)?.health).toBe("unhealthy");
    rig.dockerd.end(id, 3);
    await expect.poll(() => rig.containers.get(id)).toMatchObject({ state: "exited", runs: false });
    rig.dockerd.take(there);
    await expect.poll(states).toEqual({ newer: "exited" });
  });

  it("asks nothing when a program is run in a container", async () => {
    const id = rig.dockerd.put();
    await follow();
    rig.dockerd.calls.length = 0;
    rig.dockerd.event("exec_create: sh -c true", id);
    rig.dockerd.event("exec_start: sh -c true", id);
    const other = rig.dockerd.put({ Name: "/other" });
    rig.dockerd.event("create", other);
    await expect.poll(() => rig.containers.get("other")?.id).toBe(other);
    expect(rig.dockerd.calls).toEqual(["GET /containers/ID/json"]);
  });

  it("finds what no event told: a new container, an end, a removal", async () => {
    rig.probeSeconds = 0.05;
    await rig.restart();
    const ends = rig.dockerd.put({
      Name: "/ends",
      Config: { Labels: { "berth.owner": "a", "berth.gpus": MIG0 } },
    });
    const goes = rig.dockerd.put({ Name: "/goes" });
    await follow();
    const told: string[] = [];
    rig.containers.onEvent(({ kind }) => kind !== "looked" && told.push(kind));
    rig.dockerd.put({ Name: "/new" });
    Object.assign(rig.dockerd.containers.get(ends)?.State ?? {}, { Status: "exited", Running: false });
    rig.dockerd.processes.delete(ends);
    rig.dockerd.containers.delete(goes);
    await expect.poll(states).toEqual({ ends: "exited", new: "running" });
    expect(told).toEqual(["stopped"]);
  });

  it("is whole again after a restart of dockerd, and after one of berthd", async () => {
    const stays = rig.dockerd.put({ Name: "/stays", Config: owned("alice") });
    const goes = rig.dockerd.put({ Name: "/goes", Config: owned("alice") });
    await follow();
    await rig.dockerd.stop();
    await expect.poll(() => rig.containers.problem).toBeDefined();
    // What was known is still told; whoever needs to know what is so now is refused.
    expect(rig.containers.list("alice")).toHaveLength(2);
    await expect(rig.containers.current()).rejects.toThrow("cannot be reached");
    rig.dockerd.containers.delete(goes);
    Object.assign(rig.dockerd.containers.get(stays)?.State ?? {}, { Status: "exited", Running: false });
    await rig.dockerd.start();
    await expect.poll(states, { timeout: 5000 }).toEqual({ stays: "exited" });
    await rig.restart();
    expect(rig.containers.list()).toEqual([]);
    await rig.containers.current();
    expect(states()).toEqual({ stays: "exited" });
  });
});
