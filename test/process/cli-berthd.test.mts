/** `berth` as nodes get it, bundled, against a real berthd in a process of its own: declared GPUs, an empty dockerd. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { bundleAgent } from "../../scripts/image/agent-bundle.mjs";
import { ask, LedgerNode } from "../bench/ledger-node.mjs";
import { until } from "../lib/until.js";

interface Ran {
  code: number | null;
  out: string;
  err: string;
}
interface Running extends Ran {
  child: ChildProcess;
  done: Promise<Ran>;
}

const isRoot = process.getuid?.() === 0;
const node = new LedgerNode({
  users: [{ name: "alice", group: "student" }, { name: "bob", group: "student" }, { name: "carol" }],
  limits: {
    defaults: { max_mig_instances: 2, max_gpus_per_container: 2 },
    groups: { student: { max_mig_instances: 1 } },
  },
  gpus: [{ model: "NVIDIA H100 80GB HBM3", memoryMiB: 81_559, mig: ["3g.40gb", "3g.40gb"] }],
});
const running = new Set<ChildProcess>();

// Each test starts several programs.
vi.setConfig({ testTimeout: 60_000 });
beforeAll(() => node.start(), 60_000);
afterAll(() => node.end());
afterEach(async () => {
  for (const child of running) child.kill("SIGKILL");
  // Nothing is left for the next test.
  for (const user of ["alice", "bob", "carol"]) {
    const { grants } = (await ask(socketOf(user), "GET", "/api/grants")).body;
    for (const { id } of grants) await ask(socketOf(user), "DELETE", `/api/grants/${id}`);
  }
});

function socketOf(user: string | undefined): string {
  return user === undefined ? node.socket : join(node.root, "run/berth/users", user, "berth.sock");
}

/** @param user whose socket; undefined: the node's own, where it matters who runs this test */
function start(user: string | undefined, words: string[], stdin = ""): Running {
  const child = spawn(node.programs?.berth ?? "", words, {
    env: { ...node.env, BERTH_SOCKET: socketOf(user) },
    stdio: "pipe",
  });
  running.add(child);
  const one: Running = {
    child,
    code: null,
    out: "",
    err: "",
    done: Promise.resolve({ code: null, out: "", err: "" }),
  };
  child.stdout.setEncoding("utf8").on("data", (text) => {
    one.out += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    one.err += text;
  });
  child.stdin.end(stdin);
  one.done = once(child, "close").then(([code]) => {
    running.delete(child);
    one.code = code;
    return { code, out: one.out, err: one.err };
  });
  return one;
}

function berth(user: string | undefined, ...words: string[]): Promise<Ran> {
  return start(user, words).done;
}

/** Not by the command, which is tried below: it takes longer. */
async function grantFor(user: string, purpose: string, count = 1) {
  const body = { ask: { kind: "mig", count }, purpose };
  const { status, body: grant } = await ask(socketOf(user), "POST", "/api/grants", body);
  expect(status).toBe(201);
  return grant;
}
const release = (user: string, id: string) => ask(socketOf(user), "DELETE", `/api/grants/${id}`);
const queue = async () => (await ask(socketOf("bob"), "GET", "/api/queue")).body.queue;

it("asks, has, shows and gives back", async () => {
  expect(await berth("alice", "whoami")).toEqual({ code: 0, out: "alice (user)\n", err: "" });
  const words = ["--profile", "3g.40gb", "--purpose", "train", "--json"];
  const { code, out, err } = await berth("alice", "gpu", "request", ...words);
  expect({ code, err }).toEqual({ code: 0, err: "" });
  const grant = JSON.parse(out);
  expect(grant).toMatchObject({
    user: "alice",
    state: "reserved",
    purpose: "train",
    units: [{ profile: "3g.40gb" }],
  });
  const mine = await berth("alice", "gpu", "status");
  expect(mine.out).toContain(`alice (${grant.id})  reserved`);
  expect(mine.out).toContain("free");
  const others = await berth("bob", "gpu", "status");
  expect(others.out).toMatch(/in use +reserved/);
  expect(others.out).not.toContain("alice");
  expect((await berth("bob", "gpu", "release", grant.id)).code).toBe(1);
  expect((await berth("alice", "gpu", "release", grant.id)).out).toBe(`Released: ${grant.id} (0:0)\n`);
  expect((await berth("alice", "gpu", "status")).out).not.toContain("alice");
  expect((await berth("alice", "gpu", "history", "--limit", "1")).out).toMatch(/released .* train/);
});

it("is refused by the rule's name, with how much is used by what", async () => {
  const { units } = await grantFor("alice", "first");
  const { code, err } = await berth("alice", "gpu", "request", "--kind", "mig");
  expect(code).toBe(1);
  expect(err).toMatch(/alice uses 1 of 1 .* by first/);
  expect(err).toContain(units[0].name);
  expect(err).toContain("rule     groups.student.max_mig_instances");
  expect(await berth("alice", "limits", "check", "--kind", "mig")).toMatchObject({ code: 1 });
  expect((await berth("alice", "limits", "show")).out).toMatch(/max_mig_instances +1 +groups\.student/);
  expect((await berth("alice", "limits", "show", "bob")).code).not.toBe(0);
  const unknown = await berth("bob", "gpu", "request", "--profile", "7g.80gb");
  expect(unknown).toMatchObject({ code: 1, out: "" });
  expect(unknown.err).toContain("3g.40gb");
});

describe("waiting", () => {
  /** All there is, so that whoever comes next has to wait. */
  const takeAll = () => grantFor("carol", "all", 2);

  it("is told its place and why, and gets what is given back", async () => {
    const grant = await takeAll();
    const waits = start("alice", ["gpu", "request", "--kind", "mig", "--wait", "1m", "--json"]);
    await until("its place is told", 60_000, () => waits.err.includes("Waiting: number 1 of 1."));
    expect(waits.out).toBe("");
    expect((await berth("bob", "gpu", "queue")).out).toMatch(/1 +\S+ +somebody +student +1 x MIG instance/);
    await release("carol", grant.id);
    const { code, out } = await waits.done;
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ user: "alice", state: "reserved" });
  });

  it.each(["SIGINT", "SIGTERM"] as const)(
    "is withdrawn by %s: nothing waits, nothing is granted",
    async (signal) => {
      const grant = await takeAll();
      const waits = start("alice", ["gpu", "request", "--kind", "mig", "--wait"]);
      await until("its place is told", 60_000, () => waits.err.includes("Waiting: number 1"));
      waits.child.kill(signal);
      expect(await waits.done).toMatchObject({ code: 130, out: "" });
      expect((await berth("carol", "gpu", "queue")).out).toBe("Nobody waits.\n");
      await release("carol", grant.id);
      expect((await berth("alice", "gpu", "status")).out).not.toContain("alice");
    },
  );

  it("is told its own place, and withdrawn alone, where the same person asks twice in the same words", async () => {
    await takeAll();
    const both = [1, 2].map(() => start("alice", ["gpu", "request", "--kind", "mig", "--wait"]));
    const places = () => both.map(({ err }) => /.*number (\d) of 2/s.exec(err)?.[1]);
    await until("both are told their places", 60_000, () => !places().includes(undefined));
    expect(places().sort()).toEqual(["1", "2"]);
    const [first] = await queue();
    const [ahead, behind] = places()[0] === "1" ? both : both.toReversed();
    behind?.child.kill("SIGINT");
    expect((await behind?.done)?.code).toBe(130);
    expect((await queue()).map(({ id }: { id: string }) => id)).toEqual([first.id]);
    expect(ahead?.code).toBe(null);
  });

  it("ends with the command that waited, however that ends", async () => {
    await takeAll();
    const waits = start("alice", ["gpu", "request", "--kind", "mig", "--wait"]);
    await until("its place is told", 60_000, () => waits.err.includes("Waiting: number 1"));
    waits.child.kill("SIGKILL");
    await waits.done;
    await until("nobody waits", 60_000, async () => (await queue()).length === 0);
  });

  it("can be ended by whoever waits, from elsewhere, by its id", async () => {
    await takeAll();
    const waits = start("alice", ["gpu", "request", "--kind", "mig", "--wait"]);
    await until("its place is told", 60_000, () => waits.err.includes("Waiting: number 1"));
    const [{ id }] = await queue();
    expect((await berth("bob", "gpu", "release", id)).code).toBe(1);
    expect((await berth("alice", "gpu", "release", id)).out).toContain("Withdrawn");
    expect((await waits.done).code).toBe(1);
  });

  it("ends at its deadline", async () => {
    await takeAll();
    const { code, err } = await berth("alice", "gpu", "request", "--kind", "mig", "--wait", "1s");
    expect(code).toBe(1);
    expect(err).toContain("Nothing became free for alice within 1 s.");
  });

  it("goes on when berthd is stopped and started, and gets its grant once", async () => {
    const grant = await takeAll();
    const waits = start("alice", ["gpu", "request", "--kind", "mig", "--wait", "2m", "--json"]);
    await until("its place is told", 60_000, () => waits.err.includes("Waiting: number 1"));
    await node.stopBerthd("SIGTERM");
    expect((await berth("alice", "gpu", "status")).code).toBe(3);
    await node.startBerthd();
    await until("it waits again", 60_000, async () => (await queue()).length === 1);
    await release("carol", grant.id);
    const { code, out } = await waits.done;
    expect(code).toBe(0);
    const mine = JSON.parse((await berth("alice", "gpu", "history", "--json")).out).grants;
    expect(
      mine.filter(({ state }: { state: string }) => state !== "released").map(({ id }: { id: string }) => id),
    ).toEqual([JSON.parse(out).id]);
  });
});

describe("what is for administrators", () => {
  it("is not for users", async () => {
    for (const words of [
      ["token", "list"],
      ["declared", "show"],
      ["gpu", "request", "--user", "bob"],
    ])
      expect((await berth("alice", ...words)).code).toBe(4);
  });

  it.runIf(isRoot)("plans and grants the pool over standard input", async () => {
    const declared = [{ key: "workspace/carol", user: "carol", ask: { kind: "mig", count: 1 } }];
    const planned = await start(undefined, ["declared", "plan"], JSON.stringify({ declared })).done;
    expect({ code: planned.code, err: planned.err }).toEqual({ code: 0, err: "" });
    const plan = JSON.parse(planned.out);
    expect(plan).toMatchObject({ added: ["workspace/carol"], refusals: [] });
    const input = JSON.stringify({ declared, expect: plan.assignment });
    expect((await start(undefined, ["declared", "apply"], input).done).code).toBe(0);
    expect(JSON.parse((await berth(undefined, "declared", "show")).out).assignment).toEqual(plan.assignment);
    expect((await berth("carol", "gpu", "status")).out).toContain("workspace/carol");
    const other = await start(
      undefined,
      ["declared", "apply"],
      JSON.stringify({ declared: [], expect: plan.assignment }),
    ).done;
    expect(other.code).toBe(1);
    expect(JSON.parse(other.out).error.code).toBe("conflict");
    expect((await start(undefined, ["declared", "apply"], JSON.stringify({ declared: [] })).done).code).toBe(
      0,
    );
  });

  it.runIf(isRoot)("puts a GPU out of use and back", async () => {
    const { gpus } = JSON.parse((await berth(undefined, "gpu", "status", "--json")).out);
    const { uuid } = gpus[0];
    expect((await berth(undefined, "gpu", "restore", uuid)).err).toContain("is not out of use");
    expect((await berth(undefined, "gpu", "quarantine", "GPU-none", "--reason", "x")).code).toBe(1);
    expect((await berth(undefined, "gpu", "quarantine", uuid, "--reason", "ECC errors")).code).toBe(0);
    expect((await berth("alice", "gpu", "status")).out).toContain("quarantined: ECC errors");
    expect((await berth("alice", "gpu", "request", "--pin", gpus[0].instances[0].uuid)).code).toBe(1);
    expect((await berth(undefined, "health")).out).toContain("ECC errors");
    expect((await berth(undefined, "gpu", "restore", uuid)).code).toBe(0);
    expect((await berth("alice", "gpu", "status")).out).not.toContain("quarantined");
  });

  it.runIf(isRoot)("makes a token that works until it is revoked, and shows it once", async () => {
    const made = await berth(
      undefined,
      "token",
      "create",
      "--role",
      "user",
      "--user",
      "alice",
      "--expires",
      "1h",
    );
    expect(made.out).toMatch(/^berth_[\w-]{43}\n$/);
    const listed = await berth(undefined, "token", "list");
    expect(listed.out).toMatch(/user +alice .*in (1 h|59 min)/);
    expect(listed.out).not.toContain(made.out.trim());
    const id = /berth token revoke (\w+)/.exec(made.err)?.[1] ?? "";
    const other = await berth(undefined, "token", "rotate", id, "--keep", "30m");
    expect(other.out).toMatch(/^berth_[\w-]{43}\n$/);
    expect(other.out).not.toBe(made.out);
    const heir = /^Token (\w+): shown once\. Token \w+ ends in (30|29) min/.exec(other.err)?.[1];
    expect((await berth(undefined, "token", "list")).out).toMatch(
      new RegExp(
        `${id} .*in (30|29) min.*, replaced by ${heir}\n(.*\n)*${heir} +user +alice .*in (1 h|59 min)`,
      ),
    );
    const again = await berth(undefined, "token", "rotate", id);
    expect([again.code, again.err]).toEqual([1, expect.stringContaining(`berth token rotate ${heir}`)]);
    expect((await berth(undefined, "token", "revoke", id)).code).toBe(0);
    expect((await berth(undefined, "token", "list")).out).toMatch(new RegExp(`${id} .*revoked`));
  });
});

it("is no error when whoever reads goes away", async () => {
  const child = spawn(
    "bash",
    ["-c", 'set -o pipefail; "$0" gpu status --json | true', node.programs?.berth ?? ""],
    {
      env: { ...node.env, BERTH_SOCKET: node.socket },
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  let err = "";
  child.stderr.on("data", (text) => {
    err += text;
  });
  expect((await once(child, "close"))[0]).toBe(0);
  expect(err).toBe("");
});

it("starts without what berthd needs: of packages, commander alone", async () => {
  const [bundle] = await bundleAgent({ berth: "agent/src/cli/main.ts" });
  const packages = bundle?.inputs
    .map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1])
    .filter(Boolean);
  expect([...new Set(packages)]).toEqual(["commander"]);
  expect(bundle?.content.length).toBeLessThan(130_000);
});
