/**
 * dockerd that is slow, hung, gone, confused or of another version, behind a real socket. Proves: every call ends by
 * its deadline, and says whether dockerd refused, was not reached, or may have done it.
 */
import { existsSync } from "node:fs";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DockerError, Engine } from "../../../../agent/src/docker";
import type { ContainerBody } from "../../../../core/containers";
import { FakeDockerd, type Mood } from "../../../fakes/dockerd";
import { failureOf } from "../../../lib/failure";
import { until } from "../../../lib/until";

let dockerd: FakeDockerd;
let engine: Engine;
const MS = 1000;
const body = { Image: "sha256:x", Env: [], Labels: { a: "b" }, HostConfig: {} } as unknown as ContainerBody;

const engineOf = ({ socket }: FakeDockerd) =>
  new Engine({
    socket,
    deadlines: { read: MS, create: MS, start: MS, stop: MS, remove: MS, write: MS },
  });

beforeEach(async () => {
  dockerd = new FakeDockerd();
  await dockerd.start();
  engine = engineOf(dockerd);
});
afterEach(() => dockerd.close());

const failure = (work: Promise<unknown>) => failureOf(DockerError, work);

describe("a dockerd that works", () => {
  it("is asked once for its settings and for an image that it has, until what it said is void", async () => {
    dockerd.images.set("x", "sha256:x");
    const asked = (call: string) => dockerd.calls.filter((one) => one.startsWith(call)).length;
    for (let i = 0; i < 3; i++) {
      expect((await engine.info()).cdi).toBe(true);
      expect(await engine.imageId("x")).toBe("sha256:x");
      expect(await engine.imageId("y")).toBeUndefined();
    }
    expect([asked("GET /info"), asked("GET /images/x"), asked("GET /images/y")]).toEqual([1, 1, 3]);
    dockerd.cdi = false;
    dockerd.images.clear();
    engine.forget();
    expect((await engine.info()).cdi).toBe(false);
    expect(await engine.imageId("x")).toBeUndefined();
  });

  it("is asked for everything that is needed", async () => {
    dockerd.images.set("a/b@sha256:x", "sha256:y");
    const id = await engine.create("one", body);
    expect(dockerd.containers.get(id)?.body).toEqual(body);
    await engine.start(id);
    expect(await engine.inspect("one")).toMatchObject({ Id: id, State: { Status: "running" } });
    await engine.stop(id, 0);
    await engine.stop(id, 0);
    expect(await engine.list()).toMatchObject([{ Id: id, State: "exited" }]);
    await engine.remove(id);
    await engine.remove(id);
    await engine.stop(id, 0);
    expect(await engine.inspect(id)).toBeUndefined();
    expect(await engine.imageId("a/b@sha256:x")).toBe("sha256:y");
    expect(await engine.imageId("a/c")).toBeUndefined();
    expect(await engine.info()).toMatchObject({
      version: "26.1.5",
      api: "1.45",
      cgroupDriver: "cgroupfs",
      cdi: true,
      cpus: 16,
    });
  });

  it("is spoken to in a version that both know, whatever DOCKER_HOST says", async () => {
    process.env.DOCKER_HOST = "tcp://127.0.0.1:1";
    try {
      dockerd.api = "1.60";
      await new Engine({ socket: dockerd.socket }).list();
      const other = new Engine({ socket: dockerd.socket });
      await other.list();
      expect(other.api).toBe("1.51");
    } finally {
      delete process.env.DOCKER_HOST;
    }
    dockerd.api = "1.40";
    const error = await failure(engine.list());
    expect(error.message).toBe(
      "list the containers: dockerd speaks API 1.24 to 1.40; berthd needs one of 1.41 (Docker 20.10) to 1.51 (Docker 28)",
    );
    // Upgraded meanwhile: asked anew.
    dockerd.api = "1.45";
    expect(await engine.list()).toEqual([]);
  });
});

describe("a dockerd that does not", () => {
  /** An archive of which no more comes. */
  const unended = () => {
    const archive = new Readable({ read() {} });
    archive.push("begin");
    return archive;
  };
  const calls: [string, (on: Engine) => Promise<unknown>, string][] = [
    ["list", (on) => on.list(), "GET /containers/json"],
    ["inspect", (on) => on.inspect("x"), "GET /containers/ID"],
    ["image", (on) => on.imageId("x"), "GET /images"],
    ["info", (on) => on.info(), "GET /info"],
    ["create", (on) => on.create("x", body), "POST /containers/create"],
    ["start", (on) => on.start("x"), "POST /containers/ID"],
    ["stop", (on) => on.stop("x", 0), "POST /containers/ID"],
    ["remove", (on) => on.remove("x"), "DELETE /containers/ID"],
    ["exec", (on) => on.exec("x", { argv: ["true"] }), "POST /containers/ID/exec"],
    ["terminal", (on) => on.execStream("x", { shell: "true" }), "POST /containers/ID/exec"],
    ["logs", (on) => on.logs("x"), "GET /containers/ID/logs"],
    ["stats", (on) => on.stats("x"), "GET /containers/ID/stats"],
    ["archive", (on) => on.putArchive("x", "/app", unended()), "PUT /containers/ID/archive"],
    ["commit", (on) => on.commit("x", { repository: "x", tag: "x" }), "POST /commit"],
    ["images", (on) => on.images(), "GET /images/json"],
    ["remove image", (on) => on.removeImage("x"), "DELETE /images"],
    ["events", (on) => on.events("0", new AbortController().signal), "GET /events"],
  ];
  const moods: [Mood, DockerError["outcome"], RegExp][] = [
    [{ kind: "hang" }, "unknown", /gave no answer within 1 s/],
    [{ kind: "drop" }, "unknown", /cannot be reached: .*hang up/],
    [{ kind: "status", status: 500, message: "the disk is full" }, "refused", /: the disk is full$/],
    [{ kind: "slow", ms: 2 * MS }, "unknown", /gave no answer within 1 s/],
  ];
  it.each(moods)("ends every call in time: %o", async (mood, outcome, message) => {
    await Promise.all(
      calls.map(async ([name, call, at]) => {
        const dockerd = new FakeDockerd();
        await dockerd.start();
        try {
          const engine = engineOf(dockerd);
          await engine.list();
          dockerd.mood(at, mood);
          const began = performance.now();
          const error = await failure(call(engine));
          expect(performance.now() - began, name).toBeLessThan(MS + 3000);
          expect(error.outcome, name).toBe(outcome);
          expect(error.message, name).toMatch(message);
          if (mood.kind === "status") expect(error.status, name).toBe(500);
        } finally {
          await dockerd.close();
        }
      }),
    );
  });

  it("hangs at its very first answer", async () => {
    dockerd.mood("GET /version", { kind: "hang" });
    const errors = await Promise.all([failure(engine.list()), failure(engine.info())]);
    for (const { outcome } of errors) expect(outcome).toBe("unknown");
    dockerd.calm();
    expect(await engine.list()).toEqual([]);
  });

  it("says a lot: the beginning of it is told", async () => {
    dockerd.mood("GET /info", { kind: "status", status: 500, message: `no ${"x".repeat(100_000)}` });
    const { message } = await failure(engine.info());
    expect(message).toContain("no xxx");
    expect(message.length).toBeLessThan(600);
  });

  it.each(["<html>", '{"a":1}', "[{}]", "null", ""])("lists nonsense: %j", async (text) => {
    dockerd.mood("GET /containers/json", { kind: "garbage", text });
    const error = await failure(engine.list());
    expect(error.message).toContain("dockerd's answer makes no sense");
    expect(error.outcome).toBe("unknown");
  });

  it.each(["{}", '{"Id":"x"}', "[]"])("inspects nonsense: %j", async (text) => {
    dockerd.mood("GET /containers/ID", { kind: "garbage", text });
    expect((await failure(engine.inspect("x"))).message).toContain("makes no sense");
  });

  it("is gone, and is found again when it is back", async () => {
    await engine.list();
    await dockerd.stop();
    const error = await failure(engine.list());
    expect(error.outcome).toBe("unreachable");
    expect(error.message).toMatch(/cannot be reached.*\(systemctl status docker\)$/);
    if (existsSync(dockerd.socket)) throw new Error("the socket stayed");
    dockerd.api = "1.44";
    await dockerd.start();
    expect(await engine.list()).toEqual([]);
    expect(engine.api).toBe("1.44");
  });

  it("answers late to one caller, and that does not hold up another", async () => {
    await engine.list();
    dockerd.mood("GET /info", { kind: "hang" });
    const slow = failure(engine.info());
    const began = performance.now();
    await engine.list();
    expect(performance.now() - began).toBeLessThan(MS);
    expect((await slow).outcome).toBe("unknown");
  });
});

describe("the stream of events", () => {
  it("stays open without events beyond every deadline, and ends when told, with that reason", async () => {
    const end = new AbortController();
    const stream = await engine.events("0", end.signal);
    const seen: string[] = [];
    const reading = (async () => {
      for await (const event of stream) seen.push(event?.action ?? "missed");
    })();
    await new Promise((resolve) => setTimeout(resolve, MS + 200));
    const id = dockerd.put();
    dockerd.event("start", id);
    await until("the event", 30_000, () => seen.length === 1);
    end.abort(new Error("enough"));
    await expect(reading).rejects.toThrow(/^enough$/);
    await until("the end of the connection", 30_000, () => dockerd.following === 0);
  });
});
