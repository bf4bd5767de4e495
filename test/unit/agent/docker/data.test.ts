/**
 * Logs, archives, images and figures over a real socket. Proves: what is asked of dockerd and how its answers are read, in the
 * oldest and a new version; a stream that breaks, from either side, ends the call with its own error and leaves nothing.
 */
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DockerError, Engine } from "../../../../agent/src/docker";
import { statsOf } from "../../../../agent/src/docker/stats";
import { FakeDockerd } from "../../../fakes/dockerd";
import { failureOf } from "../../../lib/failure";
import { until } from "../../../lib/until";

const WAIT_MS = 30_000;
let dockerd: FakeDockerd;
let engine: Engine;

beforeEach(async () => {
  dockerd = new FakeDockerd();
  await dockerd.start();
  engine = new Engine({ socket: dockerd.socket });
});
afterEach(() => dockerd.close());

const asked = (path: string) =>
  new URL(dockerd.urls.findLast((url) => url.startsWith(path)) ?? "/", "http://d");

describe("the logs of a container", () => {
  const T = "2026-11-30T15:00:00";

  it.each(["1.41", "1.45"])("are read from a moment on, in version %s", async (api) => {
    dockerd.api = api;
    const id = dockerd.put();
    dockerd.data.log(id, 1, `${T}.000000001Z`, "one\n");
    dockerd.data.log(id, 2, `${T}.000000002Z`, "two\n");
    const lines: string[] = [];
    for await (const { stream, line } of await engine.logs(id, { since: "1796050800.000000001" }))
      lines.push(`${stream} ${line}`);
    expect(lines).toEqual(["stdout one", "stderr two"]);
    const { since, ...query } = Object.fromEntries(asked(`/containers/${id}/logs`).searchParams);
    expect(query).toEqual({ stdout: "true", stderr: "true", timestamps: "true", follow: "false" });
    expect(since).toBe("1796050800.000000001");
  });

  it("are followed until the container stops", async () => {
    const id = dockerd.put();
    const lines = (await engine.logs(id, { follow: true }))[Symbol.asyncIterator]();
    for (const text of ["one", "two"]) {
      dockerd.data.log(id, 1, `${T}.000000001Z`, `${text}\n`);
      expect((await lines.next()).value).toMatchObject({ line: text });
    }
    dockerd.data.endLogs();
    expect((await lines.next()).done).toBe(true);
  });

  it.each([
    ["while a line is waited for", true],
    ["between two lines", false],
  ])("are followed until that is enough, be it %s: the reader gets that reason", async (_when, waits) => {
    const id = dockerd.put();
    const enough = new AbortController();
    const lines = (await engine.logs(id, { follow: true, signal: enough.signal }))[Symbol.asyncIterator]();
    dockerd.data.log(id, 1, `${T}.000000001Z`, "one\n");
    await lines.next();
    const next = waits ? lines.next() : undefined;
    enough.abort(new Error("enough"));
    await expect(next ?? lines.next()).rejects.toThrow(/^enough$/);
    await until("the end of the connection", WAIT_MS, () => dockerd.data.following === 0);
  });

  it("leave no connection when their reader stops", async () => {
    const id = dockerd.put();
    dockerd.data.log(id, 1, `${T}.000000001Z`, "one\n");
    for await (const { line } of await engine.logs(id, { follow: true })) {
      expect(line).toBe("one");
      break;
    }
    await until("the end of the connection", WAIT_MS, () => dockerd.data.following === 0);
  });

  it("break off with an error when the daemon does", async () => {
    const id = dockerd.put();
    const next = (await engine.logs(id, { follow: true }))[Symbol.asyncIterator]().next();
    await dockerd.stop();
    await expect(next).rejects.toThrow();
  });

  it("are none of a container that is not there", async () => {
    const error = await failureOf(DockerError, engine.logs("nobody"));
    expect([error.status, error.message]).toEqual([
      404,
      "read the logs of container nobody: HTTP 404: No such container: nobody",
    ]);
  });
});

describe("an archive", () => {
  const archive = (...pieces: string[]) => Readable.from(pieces.map((piece) => Buffer.from(piece)));

  it("is unpacked, however large, and the container's other files stay what they are", async () => {
    const id = dockerd.put();
    const piece = "x".repeat(100_000);
    await engine.putArchive(id, "/app", archive(...Array(100).fill(piece)));
    expect(dockerd.data.archives.map(({ path, bytes }) => [path, bytes.length])).toEqual([
      ["/app", 10_000_000],
    ]);
    expect(asked(`/containers/${id}/archive`).searchParams.get("noOverwriteDirNonDir")).toBe("true");
  });

  it.each([
    ["into a folder that is not there", "/missing", "ok", 404, /Could not find the file \/missing/],
    ["that is none", "/app", "bad", 500, /Error processing tar file/],
  ])("%s is refused, and read no further", async (_what, path, text, status, message) => {
    const id = dockerd.put();
    const source = archive(text);
    const error = await failureOf(DockerError, engine.putArchive(id, path, source));
    expect([error.outcome, error.status]).toEqual(["refused", status]);
    expect(error.message).toMatch(message);
    expect(source.destroyed).toBe(true);
  });

  it("that breaks ends the call with its own error, before, while and as it is sent", async () => {
    const id = dockerd.put();
    const broken = new Readable({ read() {} });
    broken.destroy(new Error("git ended"));
    await expect(engine.putArchive(id, "/app", broken)).rejects.toThrow("git ended");
    const half = new Readable({ read() {} });
    half.push("half");
    const sending = engine.putArchive(id, "/app", half);
    await until("the call", WAIT_MS, () => dockerd.calls.includes("PUT /containers/ID/archive"));
    half.destroy(new Error("git was killed"));
    await expect(sending).rejects.toThrow("git was killed");
    const short = new Readable({ read() {} });
    const cut = engine.putArchive(id, "/app", short);
    short.destroy();
    await expect(cut).rejects.toThrow("Premature close");
    expect(dockerd.data.archives).toEqual([]);
    // dockerd is not at fault: what it said of itself still holds.
    expect(await engine.inspect(id)).toBeDefined();
  });

  it("is let go of when the caller is", async () => {
    const id = dockerd.put();
    const source = new Readable({ read() {} });
    const gone = new AbortController();
    const sending = engine.putArchive(id, "/app", source, gone.signal);
    gone.abort(new Error("the caller has gone"));
    await expect(sending).rejects.toThrow("the caller has gone");
    expect(source.destroyed).toBe(true);
  });
});

describe("an image", () => {
  it("is made of a container, with labels and with what is secret blanked", async () => {
    const container = dockerd.put();
    const labels = { "berth.owner": 'acme "1"' };
    const changes = ["ENV TOKEN=", "ENV OTHER="];
    const id = await engine.commit(container, { repository: "berth/main-1a", tag: "main", labels, changes });
    expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
    const [{ query, body } = { query: new URLSearchParams(), body: {} }] = dockerd.data.commits;
    expect([query.get("container"), query.get("repo"), query.get("tag")]).toEqual([
      container,
      "berth/main-1a",
      "main",
    ]);
    expect([query.get("pause"), query.getAll("changes"), body]).toEqual([
      "true",
      changes,
      { Labels: labels },
    ]);
    expect(await engine.images()).toMatchObject([{ Id: id, RepoTags: ["berth/main-1a:main"] }]);
    expect(await engine.images(["berth.owner=acme", "berth.stack"])).toEqual([]);
    expect(JSON.parse(asked("/images/json").searchParams.get("filters") ?? "")).toEqual({
      label: ["berth.owner=acme", "berth.stack"],
    });
  });

  it("is removed where nothing needs it, and is then no longer known", async () => {
    dockerd.images.set("a/b:main", "sha256:x");
    expect(await engine.imageId("a/b:main")).toBe("sha256:x");
    dockerd.data.used.add("a/b:main");
    expect(await engine.removeImage("a/b:main")).toBe(false);
    expect(await engine.imageId("a/b:main")).toBe("sha256:x");
    dockerd.data.used.clear();
    expect(await engine.removeImage("a/b:main")).toBe(true);
    expect(await engine.imageId("a/b:main")).toBeUndefined();
    expect(await engine.removeImage("a/b:main")).toBe(true);
    dockerd.mood("DELETE /images", { kind: "status", status: 500, message: "the disk is full" });
    await expect(engine.removeImage("a/b:main")).rejects.toThrow("remove image a/b:main: the disk is full");
  });
});

describe("what a container uses", () => {
  const running = {
    read: "2026-11-30T15:00:00.5Z",
    pids_stats: { current: 3, limit: 512 },
    networks: { eth0: { rx_bytes: 10, tx_bytes: 1 }, eth1: { rx_bytes: 20, tx_bytes: 2 } },
    blkio_stats: {
      io_service_bytes_recursive: [
        { major: 8, minor: 0, op: "read", value: 100 },
        { major: 8, minor: 0, op: "write", value: 200 },
        { major: 9, minor: 0, op: "write", value: 5 },
      ],
    },
    cpu_stats: {
      cpu_usage: { total_usage: 12345, usage_in_kernelmode: 1, usage_in_usermode: 2 },
      online_cpus: 2,
    },
    precpu_stats: { cpu_usage: { total_usage: 0 } },
    memory_stats: { usage: 1000, limit: 5000, stats: { anon: 600, inactive_file: 300 } },
  };

  it("is looked at once, without the second that a rate would take", async () => {
    const id = dockerd.put();
    dockerd.data.stats.set(id, running);
    expect(await engine.stats(id)).toEqual({
      at: Date.UTC(2026, 10, 30, 15, 0, 0, 500),
      cpuNanos: 12345,
      memoryBytes: 700,
      memoryLimitBytes: 5000,
      pids: 3,
      receivedBytes: 30,
      sentBytes: 3,
      readBytes: 100,
      writtenBytes: 205,
    });
    const query = Object.fromEntries(asked(`/containers/${id}/stats`).searchParams);
    expect(query).toEqual({ stream: "false", "one-shot": "true" });
  });

  it("is nothing of one that does not run or is not there", async () => {
    expect(await engine.stats(dockerd.put({ State: { Status: "exited" } }))).toBeUndefined();
    expect(await engine.stats("nobody")).toBeUndefined();
  });

  it("is reckoned as docker does with the older cgroups, whose words for disks are capital", () => {
    const stats = { total_inactive_file: 400, inactive_file: 1 };
    const disks = { io_service_bytes_recursive: [{ op: "Read", value: 7 }] };
    const old = { ...running, memory_stats: { usage: 1000, stats }, blkio_stats: disks, networks: undefined };
    expect(statsOf(old)).toMatchObject({ memoryBytes: 600, readBytes: 7, writtenBytes: 0, receivedBytes: 0 });
    const more = { ...running, memory_stats: { usage: 100, stats: { inactive_file: 300 } } };
    expect(statsOf(more)).toMatchObject({ memoryBytes: 100 });
  });
});
