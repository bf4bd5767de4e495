/**
 * What a GpuPool does: `diff`, `create`, `update`, `read` and `delete`, called as Pulumi's process for dynamic providers
 * calls them, against a node behind a program named `ssh`.
 * Proves: nothing is granted but what was shown; a pool is never replaced; a refresh shows what the node holds; a delete
 * tells the node, or says why it could not.
 */
import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { type Props, UNKNOWN } from "../../../../components/gpu/inputs";
import { provider } from "../../../../components/gpu/provider";
import { granted } from "../../../../components/gpu/units";
import { grant, held, inputs, inventory, slice, snapshot, unit, unreachable } from "./pool-helpers";
import { poolNode } from "./pool-node";

const { ssh, told } = poolNode();

describe("an error", () => {
  it("is printed once, and keeps its stack where it is the program's own", () => {
    const program = `
      const pool = require("./components/gpu/load.cjs");
      const print = (error) => console.log(JSON.stringify([\`\${error}: \${error.stack}\`, error.message]));
      pool.read("node-0", {}).catch(print).then(() => pool.read("node-0", null)).catch(print);
    `;
    const done = spawnSync(process.execPath, ["-e", program], { encoding: "utf8" });
    const [told, fault] = done.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(told).toEqual([
      "GPU pool: see the error of this resource",
      "node-0: the state does not say how it is reached",
    ]);
    expect(fault[0]).toMatch(/^TypeError: .*\n +at /s);
  });
});

describe("diff", () => {
  const olds = inputs(["alice"], {
    ...granted({ "workspace/alice": [unit(0)] }),
    inventory: inventory(2),
  });

  it("sees nothing in what the engine sorts, drops or adds, in lines for people, in limits, or in the GPUs that nobody has", async () => {
    const news = {
      ...olds,
      grants: { "workspace/alice": ["in other words"] },
      __provider: "other code",
      limits: "{}",
      strategy: "pack",
      inventory: inventory(3),
      declared: {
        "workspace/alice": { ask: { count: 1, kind: "mig", profile: "1g.10gb", model: null }, user: "alice" },
      },
    };
    expect(await provider.diff("node-0", olds, news)).toEqual({ changes: false, replaces: [] });
  });

  it.each<[string, Props]>([
    ["the assignment", granted({ "workspace/alice": [unit(1)] })],
    ["declared", { declared: {} }],
    ["target", { target: "root@10.0.0.6:22" }],
    ["sshOptions", { sshOptions: ["-i", "~/other"] }],
    ["machine", { machine: "m2" }],
    ["an unknown machine", { machine: UNKNOWN }],
    ["an assignment that is not known", { assignment: undefined, grants: undefined }],
  ])("asks for an update, never for a replacement: %s", async (_, more) => {
    expect(await provider.diff("node-0", olds, { ...olds, ...more })).toEqual({
      changes: true,
      replaces: [],
    });
  });
});

describe("create and update", () => {
  const wanted = { "workspace/alice": [unit(2)] };
  const props = inputs(["alice"], granted(wanted));

  it("have the node grant exactly what was shown", async () => {
    ssh.answers({ apply: { assignment: wanted } });
    const made = await provider.create(props);
    expect(made).toEqual({ id: "node-0", outs: props });
    const [call] = ssh.calls();
    expect(call?.args.at(-1)).toContain("berth declared apply --json");
    expect(JSON.parse(call?.stdin ?? "")).toEqual({
      declared: [{ key: "workspace/alice", user: "alice", ask: slice }],
      expect: wanted,
    });
    expect(await provider.update("node-0", {}, props)).toEqual({ outs: props });
  });

  it("ask a berth that is older than this program by the words that it knows", async () => {
    const unknown = { error: { code: "bad-request", message: "unknown command 'declared'" } };
    ssh.does({
      apply: { code: 2, stdout: JSON.stringify(unknown) },
      older: { stdout: JSON.stringify({ assignment: wanted }) },
    });
    expect(await provider.create(props)).toEqual({ id: "node-0", outs: props });
    expect(ssh.calls().map(({ args }) => /berth (\w+ \w+) --json/.exec(args.at(-1) ?? "")?.[1])).toEqual([
      "declared apply",
      "pool apply",
    ]);
  });

  it("do not take a berth that refuses what it was sent for an older one", async () => {
    const refusal = (message: string) => ({
      code: 2,
      stdout: JSON.stringify({ error: { code: "bad-request", message } }),
    });
    ssh.does({ apply: refusal("declared.0.ask.count: 0"), older: refusal("unknown command 'pool'") });
    await expect(provider.create(props)).rejects.toThrow(/nothing was granted: declared\.0\.ask\.count: 0/);
  });

  it("keep of a unit what they know, whatever else a node says of it", async () => {
    const more = { "workspace/alice": [{ ...unit(2), serial: "of a later version" }] };
    ssh.answers({ apply: { assignment: more } });
    expect(await provider.create(props)).toEqual({ id: "node-0", outs: props });
  });

  it("decide where nobody could before, and fail where nobody can now", async () => {
    ssh.answers({ show: snapshot([]), apply: { assignment: wanted } });
    expect(held((await provider.create(inputs(["alice"]))).outs)).toEqual({ "workspace/alice": ["0:2"] });
    expect(ssh.calls().length).toBe(2);
    ssh.does(unreachable);
    await expect(provider.create(inputs(["alice"]))).rejects.toThrow(/it cannot be said who gets which GPU/);
  });

  it.each([
    ["no berth", { code: 127 }, /there is no berth on it/],
    ["no connection", unreachable.show, /it cannot be reached.*Connection refused.*Run the stack again/],
    [
      "another key",
      { noShell: true, stderr: "Host key verification failed.", code: 255 },
      /another host key/,
    ],
    ["garbage", { stdout: "what?" }, /berth printed no JSON: what\?/],
    ["no assignment", { stdout: "{}" }, /another version/],
    [
      "a conflict",
      { stdout: JSON.stringify({ error: { code: "conflict", message: "eve has 0:2" } }), code: 1 },
      /no longer as the preview showed it: eve has 0:2\. Run the stack again/,
    ],
    [
      "a refusal",
      { stdout: JSON.stringify({ error: { code: "closed", message: "the GPUs cannot be read" } }), code: 3 },
      /nothing was granted: the GPUs cannot be read\./,
    ],
  ])("fail with what the node said: %s", async (_, apply, message) => {
    ssh.does({ apply });
    await expect(provider.create(props)).rejects.toThrow(message);
    await expect(provider.update("node-0", props, props)).rejects.toThrow(message);
  });
});

describe("read", () => {
  const props = inputs(["alice"], granted({ "workspace/alice": [unit(0)] }));

  it("gives what the node holds, as properties and as inputs", async () => {
    ssh.answers({ show: snapshot([grant("workspace/alice", 3)]) });
    const found = await provider.read("node-0", props);
    expect(found.id).toBe("node-0");
    expect(held(found.props)).toEqual({ "workspace/alice": ["0:3"] });
    expect(found.inputs).toEqual(found.props);
    expect(found.inputs?.declared).toEqual(props.declared);
  });

  it("takes a node without berth for a pool that is gone", async () => {
    ssh.does({ show: { code: 127 } });
    expect((await provider.read("node-0", props)).id).toBe("");
  });

  it.each([
    ["no connection", unreachable.show, /Connection refused/],
    ["garbage", { stdout: "[" }, /no JSON/],
    ["another version", { stdout: "{}" }, /another version/],
  ])("fails rather than guess: %s", async (_, show, message) => {
    ssh.does({ show });
    await expect(provider.read("node-0", props)).rejects.toThrow(message);
  });
});

describe("delete", () => {
  const props = inputs(["alice"], granted({ "workspace/alice": [unit(0)] }));

  it("declares nothing any more", async () => {
    ssh.answers({ apply: { assignment: {} } });
    await provider.delete("node-0", props);
    expect(JSON.parse(ssh.calls()[0]?.stdin ?? "")).toEqual({ declared: [] });
  });

  it("has nothing to do where berth is gone already, and says so", async () => {
    ssh.does({ apply: { code: 127 } });
    await provider.delete("node-0", props);
    expect(told.join()).toContain("there is no berth on it any more");
  });

  it("tells what to do about a node that stays and does not answer", async () => {
    ssh.does({ apply: unreachable.show });
    await expect(provider.delete("node-0", props)).rejects.toThrow(/Connection refused.*pulumi state delete/);
  });
});
