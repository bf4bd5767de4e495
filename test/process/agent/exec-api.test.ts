/**
 * Commands in containers by the API, over TCP and a user's socket; the fake dockerd runs them as real processes. Proves: who
 * may, and that dockerd hears nothing of containers that are not the caller's; what is answered; every bound; that whoever
 * goes leaves nothing running.
 */
import { describe, expect, it } from "vitest";
import type { ManagedContainer } from "../../../agent/src/commands";
import { isLeaving, noContainer, notMadeYet } from "../../../agent/src/manager";
import { rawClient } from "../../lib/stream-client";
import { until } from "../../lib/until";
import { endAfterEachTest, endings } from "../../unit/agent/http/cases";
import { type Inside, ids, inside, living, soon } from "./inside-rig";

endAfterEachTest();

const path = (id: string) => `/api/containers/${id}/exec`;
const exec = (of: Inside, command: string, more: object = {}, options: object = {}) =>
  of.ask("POST", path(ids.mine), { body: { command, ...more }, ...options });
/** What the OpenAPI document says of a body. */
const bodyOf = (of: Inside, at: string) => {
  const { post } = of.api.contract.document.paths[at] as unknown as {
    post: { requestBody: { content: Record<string, { schema: { properties: Record<string, object> } }> } };
  };
  return post.requestBody.content["application/json"]?.schema.properties ?? {};
};
const begun = (of: Inside, count = 1) =>
  until("they run", soon, () => of.dockerd.execs.all.filter(({ running }) => running).length === count);

describe("a command by the API", () => {
  it("is answered with its exit code and both outputs", async () => {
    const of = await inside();
    const answer = await exec(of, 'echo "out ä"; echo err >&2; exit 3');
    expect([answer.status, answer.body]).toEqual([
      200,
      { exitCode: 3, stdout: "out ä\n", stderr: "err\n", timedOut: false, truncated: false },
    ]);
    const [one] = of.dockerd.execs.all;
    expect(one?.container).toBe(of.docker.mine);
    expect(one?.body.Cmd).toEqual(["/bin/sh", "-c", 'echo "out ä"; echo err >&2; exit 3']);
  });

  it("has the container's variables, which no command line and no log has", async () => {
    const of = await inside();
    const env = { GREETING: "hunter2 'quoted' $HOME", BERTH_COMMAND: "of-a-tenant" };
    of.managed.set(ids.mine, { ...(of.managed.get(ids.mine) as ManagedContainer), env });
    const { body } = await exec(of, 'printf "%s" "$GREETING"; tr "\\0" "\\n" </proc/self/cmdline >&2');
    expect([body.stdout, body.exitCode]).toEqual([env.GREETING, 0]);
    expect(body.stderr).not.toContain("hunter2");
    const [one] = of.dockerd.execs.all;
    expect(JSON.stringify(one?.body.Cmd)).not.toContain("hunter2");
    // What berthd ends its commands by is its own.
    expect(one?.body.Env?.filter((line) => line.startsWith("BERTH_COMMAND="))).toEqual([
      `BERTH_COMMAND=${of.commands.environment.BERTH_COMMAND}`,
    ]);
    expect(of.said.join("")).not.toContain("hunter2");
  });

  it("is killed with all that it began after its time, which is a minute if nothing else is said", async () => {
    const of = await inside();
    const { body } = await exec(of, "echo begun; sleep 1000 & sleep 1000", { timeout: 700 });
    expect(body).toEqual({ exitCode: 137, stdout: "begun\n", stderr: "", timedOut: true, truncated: false });
    expect(living(of)).toEqual([]);
    const { timeout } = bodyOf(of, "/api/containers/{id}/exec");
    expect(timeout).toMatchObject({ default: 60_000, minimum: 1, maximum: 3_600_000 });
  });

  it("is truncated where it writes more than is kept, and still ends by itself", async () => {
    const of = await inside();
    const { body } = await exec(of, "yes x | head -c 3000000; yes y | head -c 10 >&2; exit 4");
    expect([body.exitCode, body.stdout.length, body.stderr, body.truncated]).toEqual([
      4,
      512 * 1024,
      "y\n".repeat(5),
      true,
    ]);
  });

  it("whose caller goes is killed", async () => {
    const of = await inside();
    const text = JSON.stringify({ command: "trap '' HUP; sleep 1000 & sleep 1000" });
    const client = rawClient(
      { port: of.port },
      `POST ${path(ids.mine)} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${of.ide}\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\n\r\n${text}`,
    );
    endings.push(() => client.socket.destroy());
    await begun(of);
    client.socket.destroy();
    await until(
      "nothing of it runs",
      soon,
      () => living(of).length === 0 && !of.dockerd.execs.all[0]?.running,
    );
    // That is no failure of berthd's.
    expect(of.said).toEqual([]);
    expect((await exec(of, "true")).body.exitCode).toBe(0);
  });

  it("is refused for what makes no sense, before dockerd hears of it", async () => {
    const of = await inside();
    const before = of.dockerd.calls.length;
    const wrong: [unknown, RegExp][] = [
      [{}, /command/],
      [{ command: "" }, /command/],
      [{ command: ["ls"] }, /command/],
      [{ command: "a\0b" }, /NUL/],
      [{ command: "ä".repeat(65_536) }, /at most 131071 bytes/],
      [{ command: "ls", timeout: 0 }, /timeout/],
      [{ command: "ls", timeout: 3_600_001 }, /timeout/],
      [{ command: "ls", timeout: 1.5 }, /timeout/],
      [{ command: "ls", user: "0" }, /user/],
    ];
    for (const [body, why] of wrong) {
      const answer = await of.ask("POST", path(ids.mine), { body });
      expect([answer.status, answer.body.error.message]).toEqual([400, expect.stringMatching(why)]);
    }
    const large = await of.ask("POST", path(ids.mine), { body: { command: "x".repeat(300_000) } });
    expect(large.status).toBe(413);
    expect(of.dockerd.calls.length).toBe(before);
  });
});

describe("whose container it is", () => {
  const routes: [string, string, object?][] = [
    ["POST", "exec", { command: "true" }],
    ["GET", "stats"],
    ["POST", "terminal/ticket"],
    ["POST", "logs/ticket"],
  ];

  it.each(routes)(
    "%s %s: what is not the caller's is not there, in one text, and dockerd hears nothing",
    async (method, name, body) => {
      const of = await inside();
      const before = of.dockerd.calls.length;
      const said = async (id: string, options = {}) => {
        const answer = await of.ask(method, `/api/containers/${id}/${name}`, { body, ...options });
        expect(answer.status).toBe(404);
        return answer.text.replaceAll(decodeURIComponent(id), "ID");
      };
      const alices = of.docker.alices;
      const texts = [
        ...(await Promise.all(
          [
            ids.theirs,
            ids.pooled,
            "ffffffff",
            of.docker.mine,
            of.docker.theirs,
            alices,
            "..%2f",
            "x".repeat(128),
          ].map((id) => said(id)),
        )),
        await said(ids.mine, { token: of.bench }),
        await said(ids.mine, { port: undefined, socket: of.api.socketOf("alice"), token: undefined }),
        await said(alices, { port: undefined, socket: of.api.socketOf("bob"), token: undefined }),
      ];
      expect(new Set(texts)).toEqual(
        new Set([
          '{"error":{"code":"not-found","message":"There is no container ID.","fix":"See: GET /api/containers"}}',
        ]),
      );
      expect(of.dockerd.calls.length).toBe(before);
    },
  );

  it.each(routes)("%s %s is for tenants and users alone", async (method, name, body) => {
    const of = await inside();
    const { body: made } = await of.api.call("POST", "/api/tokens", { body: { role: "service" } });
    const at = `/api/containers/${ids.mine}/${name}`;
    expect((await of.ask(method, at, { body, token: made.token })).status).toBe(403);
    expect((await of.api.call(method, at, { body })).status).toBe(403);
    expect((await of.ask(method, at, { body, token: undefined })).status).toBe(401);
  });

  it("a person's is one that they had made", async () => {
    const of = await inside();
    const alice = { socket: of.api.socketOf("alice"), port: undefined, token: undefined };
    const answer = await of.ask("POST", path(of.docker.alices), { body: { command: "echo hers" }, ...alice });
    expect(answer.body.stdout).toBe("hers\n");
    const stats = await of.ask("GET", `/api/containers/${of.docker.alices}/stats`, alice);
    expect(stats.status).toBe(200);
  });

  it("one that is being made, removed or is stopped says so, and how to go on", async () => {
    const of = await inside();
    const making = await of.ask("POST", path(ids.making), { body: { command: "true" } });
    expect([making.status, making.body.error]).toEqual([409, notMadeYet(ids.making)]);
    expect((await of.ask("GET", `/api/containers/${ids.making}/stats`)).status).toBe(409);
    const others = await of.ask("POST", path(ids.making), { body: { command: "true" }, token: of.bench });
    expect([others.status, others.body.error]).toEqual([404, noContainer(ids.making)]);
    of.dockerd.end(of.docker.mine);
    const stopped = await exec(of, "true");
    expect([stopped.status, stopped.body.error.fix]).toEqual([
      409,
      "Start it, then ask again: POST /api/containers/00000001/start",
    ]);
    const mine = of.managed.get(ids.mine);
    if (mine) of.managed.set(ids.mine, { ...mine, state: "leaving" });
    expect((await exec(of, "true")).body.error).toEqual(isLeaving(ids.mine));
  });

  it("is told without Docker's words when Docker fails", async () => {
    const of = await inside();
    of.dockerd.mood(
      "POST /containers/ID/exec",
      { kind: "status", status: 500, message: "secret of the node" },
      1,
    );
    const failed = await exec(of, "true");
    expect([failed.status, failed.text]).toEqual([503, expect.not.stringContaining("secret")]);
    expect(of.said.join()).toContain("secret of the node");
    await of.dockerd.stop();
    expect(await exec(of, "true")).toMatchObject({ status: 503, body: { error: { code: "closed" } } });
  });
});

describe("commands at once", () => {
  it("are so many in a container, of an owner and in all; whoever has none gets one", async () => {
    const of = await inside({ places: { commands: { container: 2, owner: 3, own: 1, all: 3 } } });
    of.managed.set("0000000a", {
      id: "0000000a",
      owner: "web-ide",
      container: of.docker.pooled,
      state: "ready",
      env: {},
    });
    const gone = new AbortController();
    const stays = (id: string) =>
      void of.ask("POST", path(id), { body: { command: "sleep 1000" }, signal: gone.signal }).catch(() => {});
    stays(ids.mine);
    stays(ids.mine);
    await begun(of, 2);
    const third = await exec(of, "true");
    expect([third.status, third.headers["retry-after"], third.body.error.message]).toEqual([
      429,
      "5",
      "Container 00000001 has 2 commands at once, and no more are begun.",
    ]);
    stays("0000000a");
    await begun(of, 3);
    const fourth = await of.ask("POST", path("0000000a"), { body: { command: "true" } });
    expect(fourth.body.error.message).toContain("web-ide has 3 commands");
    const bench = { token: of.bench, body: { command: "sleep 1000" }, signal: gone.signal };
    void of.ask("POST", path(ids.theirs), bench).catch(() => {});
    await begun(of, 4);
    const more = await of.ask("POST", path(ids.theirs), { token: of.bench, body: { command: "true" } });
    expect(more.body.error.message).toContain("All together have 4");
    gone.abort();
    await until("there is room again", soon, async () => (await exec(of, "true")).status === 200);
    expect(living(of)).toEqual([]);
  });

  it("are so many a minute", async () => {
    const of = await inside();
    // Also for what is not there: it is counted before it is looked for.
    const none = () => of.ask("POST", path("ffffffff"), { body: { command: "true" } });
    for (let n = 0; n < 600; n += 50) {
      const answers = await Promise.all(Array.from({ length: 50 }, none));
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([404]));
    }
    const late = await none();
    expect([late.status, late.body.error.message]).toEqual([
      429,
      "Your account has begun as many commands as it may in a minute.",
    ]);
    expect(Number(late.headers["retry-after"])).toBeGreaterThan(0);
    const other = await of.ask("POST", path(ids.theirs), { token: of.bench, body: { command: "true" } });
    expect(other.status).toBe(200);
  });

  it("end with berthd, and none is begun any more", async () => {
    const of = await inside();
    const answer = exec(of, "trap '' HUP TERM; echo begun; sleep 1000");
    await begun(of);
    await of.commands.close();
    expect(living(of)).toEqual([]);
    expect(await answer).toMatchObject({ status: 503, body: { error: { code: "closed" } } });
    expect((await exec(of, "true")).status).toBe(503);
  });
});

describe("what a container uses", () => {
  it("is told of a moment; who asks meanwhile hears the same", async () => {
    const of = await inside();
    const at = `/api/containers/${ids.mine}/stats`;
    of.dockerd.mood("GET /containers/ID/stats", { kind: "slow", ms: 300 });
    const answers = await Promise.all(Array.from({ length: 5 }, () => of.ask("GET", at)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(answers[0]?.body.memoryLimitBytes).toBeGreaterThan(0);
    const looks = () => of.dockerd.calls.filter((call) => call === "GET /containers/ID/stats").length;
    expect(looks()).toBe(1);
    await of.ask("GET", at);
    expect(looks()).toBe(2);
  });
});
