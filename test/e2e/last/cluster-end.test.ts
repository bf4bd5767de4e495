/**
 * The end of the cluster's stack: what concerns everything on this computer, or holds a bound on time, so nothing runs
 * beside it. It goes on with the stack that the cluster's test left, and makes one where there is none.
 *
 * The operator's engine is restarted only where this run started it: others may stand on one that was there before.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MINUTE } from "../../lib/time";
import { found, secrets, ssh } from "../stacks/cluster-clients";
import {
  allUp,
  berth,
  configuration,
  docker,
  edit,
  fillStores,
  footprint,
  HEAD,
  home,
  KEEP,
  makeHome,
  nothingToDo,
  ok,
  pulumi,
  removeLeftovers,
  STACK,
  stackFilesThere,
  up,
  WORKER,
  writeConfiguration,
} from "../stacks/cluster-rig";

/** BERTH_HOME of the run that started the operator's engine; empty when it was there before. */
const ENGINE = process.env.BERTH_TEST_ENGINE ?? "";

beforeAll(async () => {
  // One that an older run left may be of an older program, and half made.
  const left = stackFilesThere() && (KEEP || process.env.BERTH_TEST_LAST !== undefined);
  if (!left) {
    await removeLeftovers();
    makeHome();
    writeConfiguration(configuration());
    await fillStores();
    await up(["--skip-preview"]);
  }
}, 30 * MINUTE);

afterAll(async () => {
  if (KEEP) return;
  // Whatever the tests did, nothing of the stack may stay; its own way first, as that is what leaves no trace.
  if (stackFilesThere()) await berth("destroy", ["--yes"], 10 * MINUTE).catch(() => {});
  await removeLeftovers();
}, 15 * MINUTE);

describe("the operator's engine", () => {
  it.skipIf(!ENGINE)(
    "comes back after a restart of the operator's engine",
    { timeout: 10 * MINUTE },
    async () => {
      await ssh("alice", "mkdir -p ~/notebooks && echo kept > ~/notebooks/note");
      const env = { BERTH_HOME: ENGINE };
      await ok(process.execPath, ["test/e2e/last/restart-engine.mjs"], { deadline: 5 * MINUTE, env });
      await allUp(2 * MINUTE);
      expect(await ssh("alice", "cat ~/notebooks/note")).toBe("kept");
      await nothingToDo(["--refresh"]);
    },
  );
});

describe("nodes out of reach", () => {
  // By itself, as a bound on time is held. The tries of the stages' connections take about 70 s of it; before them the
  // GPU pool of the silent node asks, in the preview and in the update, and gives up when ssh does, after 8 s.
  it("are named with address, user and what went wrong, within two minutes", {
    timeout: 15 * MINUTE,
  }, async () => {
    await allUp(2 * MINUTE);
    // Some of them are asked of the node that is about to fall silent.
    const values = await secrets();
    const silent = `berth-${STACK}-node-1`;
    edit((config) => {
      const rules = config["berth:firewall"]?.rules ?? [];
      config["berth:firewall"] = { rules: [...rules, { port: 9101, from: ["10.91.0.0/24"] }] };
    });
    // As the node's own SSH is what goes, by the engine.
    await docker("exec", `berth-${STACK}-node-0`, "systemctl", "stop", "ssh.socket", "ssh.service");
    // The kernel still takes connections. `up` would go on with a node whose container is paused.
    await docker("exec", silent, "pkill", "-STOP", "-x", "sshd");
    const began = Date.now();
    const ran = await berth("up", ["--yes"], 10 * MINUTE).finally(async () => {
      await docker("exec", silent, "pkill", "-CONT", "-x", "sshd");
      await docker("exec", `berth-${STACK}-node-0`, "systemctl", "start", "ssh.service");
    });
    const took = Date.now() - began;
    // What follows begins from a stack that is whole, whatever came out.
    await up();
    expect(ran.code).not.toBe(0);
    expect(took).toBeLessThan(2 * MINUTE);
    const told = (host: string, what: string) =>
      new RegExp(`error: cannot connect to root@${host}:22 .*${what}`);
    expect(ran.text).toMatch(told(HEAD, "ECONNREFUSED"));
    expect(ran.text).toMatch(told(WORKER, "no SSH session within 5 s"));
    expect(found(ran.text, values)).toEqual([]);
    await nothingToDo();
  });
});

describe.skipIf(KEEP)("destroy", () => {
  it("leaves nothing of the stack but what the README says", { timeout: 12 * MINUTE }, async () => {
    expect((await footprint()).length).toBeGreaterThan(5);
    const ran = await berth("destroy", ["--yes"], 10 * MINUTE);
    expect(ran.code, ran.text.slice(-4000)).toBe(0);
    expect(await footprint()).toEqual([]);
    expect(stackFilesThere()).toBe(false);
    const { deployment } = JSON.parse(await pulumi(["stack", "export"]));
    expect(deployment.resources ?? []).toEqual([]);
    const kept = readdirSync(home).filter(
      (name) => !["state", "passphrase", "stacks", "logs"].includes(name),
    );
    expect(kept).toEqual([]);
    expect(readdirSync(join(home, "stacks"))).toEqual([]);
  });
});
