/**
 * berthd's component and its image.
 * Proves: one command a node, whose text holds no document; what a document says; what an edit changes and what it does
 * not; that the image's content hash knows everything that the bundles are made of, and its Node.js is the pinned one;
 * that the agent stage finds in berthd's real event log what it looks for.
 * Does not prove that the image is built and starts: that is tried on a node, in test/e2e.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Tokens } from "../../../../agent/src/http";
import { agentDocuments, nodeUsers } from "../../../../components/agent/documents";
import { GRANTED } from "../../../../components/agent/steps";
import { loadConfig, type Plan } from "../../../../config";
import { defaultPorts } from "../../../../config/network/ports";
import { agentSources, ENTRIES, lockedPackages, readLock } from "../../../../scripts/image/agent-sources.cjs";
import { makeRig } from "../../agent/service/rig";
import { localStack, runCluster } from "../cluster-recorder";

const alice = { name: "alice", node: "node-0", index: 0 };
const bob = { name: "bob", node: "node-0", index: 1 };
const carol = { name: "carol", node: "node-1", index: 2 };
const limits = { groups: { student: { max_mig_instances: 1 } } };

function planOf(users: object[], more: Record<string, unknown> = {}): Plan {
  const raw = Object.fromEntries(
    Object.entries(localStack(users, more)).map(([key, value]) => [`berth:${key}`, JSON.stringify(value)]),
  );
  return loadConfig("dev", raw, () => []).plan;
}

const documentsOf = (plan: Plan, name = "node-0") => {
  const node = plan.nodes.find((one) => one.name === name);
  if (!node) throw new Error(`no ${name}`);
  return agentDocuments(plan, node, { address: "10.88.0.10", privateAddress: "10.88.0.10" });
};

describe("what berthd is told", () => {
  it("is the node, its own people in the order of their names, and the limits", () => {
    const plan = planOf([carol, { ...bob, group: "student" }, alice], { limits });
    expect(documentsOf(plan).node).toEqual({
      stack: "dev",
      node: "node-0",
      strategy: "least-allocated",
      allocation: "exclusive",
      memoryLimitMiB: 0,
      users: [
        { name: "alice", uid: plan.users.find(({ name }) => name === "alice")?.uid, group: "default" },
        { name: "bob", uid: plan.users.find(({ name }) => name === "bob")?.uid, group: "student" },
      ],
      listen: "loopback",
      port: 9700,
      ports: { containers: { start: 20000, end: 29999 } },
    });
    expect(documentsOf(plan).limits).toEqual(plan.limits);
    expect(documentsOf(plan)).not.toHaveProperty("gpus");
  });

  it("is read by berthd's own schema", async () => {
    const { defaultContainerPorts, readNode } = await import("../../../../agent/src/config.js");
    const { parseLimits } = await import("../../../../core/limits/index.js");
    const { readDeclared } = await import("../../../../agent/src/inventory/index.js");
    const folder = mkdtempSync(join(tmpdir(), "berth-documents-"));
    try {
      const h100 = { model: "NVIDIA H100 80GB HBM3", memory: "80GiB", mig: { "1g.10gb": 7 } };
      const nodes = (localStack([]).nodes as object[]).map((node, i) =>
        i === 0 ? { ...node, gpus: [h100] } : node,
      );
      const ports = { containers: { start: 24000, end: 24999 } };
      const images = [`docker.io/library/python@sha256:${"0f".repeat(32)}`];
      const plan = planOf([alice, bob], { limits, nodes, ports, agent: { listen: "private", images } });
      const { node, gpus, limits: document } = documentsOf(plan);
      writeFileSync(join(folder, "node.json"), JSON.stringify(node));
      expect(readNode(join(folder, "node.json"))).toMatchObject({
        ...node,
        images,
        privateAddress: "10.88.0.10",
      });
      writeFileSync(join(folder, "gpus.json"), JSON.stringify(gpus));
      expect(readNode(join(folder, "node.json")).ports?.containers).toEqual(plan.ports.containers);
      // Of a stack of before, which had the plan's default.
      const { ports: _none, ...before } = node;
      writeFileSync(join(folder, "node.json"), JSON.stringify(before));
      expect(readNode(join(folder, "node.json")).ports?.containers ?? defaultContainerPorts).toEqual(
        defaultPorts.containers,
      );
      writeFileSync(
        join(folder, "node.json"),
        JSON.stringify({ ...node, ports: { containers: { start: 2, end: 1 } } }),
      );
      expect(() => readNode(join(folder, "node.json"))).toThrow("ports.containers: ends before it starts");
      expect(readDeclared(join(folder, "gpus.json"))?.gpus[0]?.instances).toHaveLength(7);
      expect(parseLimits(JSON.parse(JSON.stringify(document)))).toMatchObject({ ok: true, document });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("is the same for those who have left and those of other nodes", () => {
    const before = documentsOf(planOf([alice, carol]));
    expect(documentsOf(planOf([{ ...bob, state: "removed" }, alice, carol]))).toEqual(before);
    expect(documentsOf(planOf([alice, carol, { ...bob, node: "node-1" }]))).toEqual(before);
    expect(nodeUsers(planOf([{ ...alice, state: "stopped" }]), { name: "node-0" })).toHaveLength(1);
  });
});

describe.each([
  ["an update", false],
  ["a preview", true],
])("the agent's component in %s", (_, preview) => {
  const stage = async (users: object[], more: Record<string, unknown> = {}) => {
    const seen = await runCluster(localStack(users, more), preview);
    const found = seen.find(({ name }) => name === "berth-node-0-agent-stage");
    if (!found) throw new Error("no agent stage");
    return found.inputs as { create: string; stdin: string };
  };

  it("changes its text for a user, and only its input for limits and settings", {
    timeout: 120_000,
  }, async () => {
    const before = await stage([alice]);
    const limited = await stage([alice], { limits });
    expect(limited.create).toEqual(before.create);
    expect(limited.stdin).not.toEqual(before.stdin);
    const packed = await stage([alice], { gpu: { strategy: "pack" } });
    expect(packed.create).toEqual(before.create);
    expect(JSON.parse(packed.stdin).node.strategy).toBe("pack");
    const more = await stage([alice, bob]);
    // In a preview the image's digest is not known, nor is the text.
    if (!preview) expect(more.create).not.toEqual(before.create);
    expect(await stage([carol, alice])).toEqual(before);
  });
});

describe("the image of berthd", () => {
  const paths = () => agentSources().map(({ path }) => path);

  it("has a content hash over all that its bundles are made of", async () => {
    for (const entry of Object.values(ENTRIES)) expect(existsSync(entry), `${entry} is missing`).toBe(true);
    const { bundleAgent } = await import("../../../../scripts/image/agent-bundle.mjs");
    const locked = lockedPackages(readLock(), "agent").map((line) => line.split(" ")[0]);
    const known = new Set(paths());
    const missed = (await bundleAgent()).flatMap(({ inputs }) =>
      inputs.filter((input) => {
        // Stand-ins that the bundler's own script writes, which is in the hash.
        if (input.startsWith("unused:")) return false;
        const inside = /^((?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1];
        return inside === undefined ? !known.has(input) : !locked.includes(inside);
      }),
    );
    expect(missed).toEqual([]);
  });

  it("knows the packages of the agent, theirs, and no others", () => {
    const lock = {
      agent: { dependencies: { a: "1", b: "1" } },
      "node_modules/a": { version: "1", integrity: "x", dependencies: { c: "2" } },
      "node_modules/a/node_modules/c": { version: "2" },
      "node_modules/b": { version: "1", optionalDependencies: { gone: "1", c: "1" } },
      "node_modules/c": { version: "1" },
      "node_modules/other": { version: "1" },
    };
    expect(lockedPackages(lock, "agent").map((line) => line.trim())).toEqual([
      "node_modules/a 1 x",
      "node_modules/a/node_modules/c 2",
      "node_modules/b 1",
      "node_modules/c 1",
    ]);
    expect(() => lockedPackages({ agent: { dependencies: { lost: "1" } } }, "agent")).toThrow(
      "agent needs lost, which is not in it",
    );
  });

  it("carries the Node.js that the workspaces have, of the version that Berth brings", async () => {
    const { VERSIONS } = await import("../../../../scripts/lib/paths.mjs");
    const pinned = JSON.parse(readFileSync("images/agent/node.json", "utf8"));
    const fetch = readFileSync("images/workspace/fetch-node.sh", "utf8");
    const value = (name: string) => new RegExp(`^${name}=(.*)$`, "m").exec(fetch)?.[1];
    expect(pinned).toEqual({
      version: value("NODE"),
      integrity: { x64: `sha512-${value("NODE_X64")}`, arm64: `sha512-${value("NODE_ARM64")}` },
    });
    expect(pinned.version).toBe(VERSIONS.node);
  });
});

describe("what the agent stage reads in berthd's event log", () => {
  it("is that it began to grant, that it granted, and that a token is good no more", async () => {
    const { ledger, store, events, folder, close } = await makeRig();
    // As the stage asks, in its own words.
    const last = async () => {
      await events();
      const script = `set -euo pipefail\nlogs=${join(folder, "log")}\n${GRANTED}\nlast_grant`;
      const { stdout, stderr } = spawnSync("bash", ["-c", script], { encoding: "utf8" });
      expect(stderr).toBe("");
      return (JSON.parse(stdout) as { event: string }).event;
    };
    try {
      expect(await last()).toBe("ledger-open");
      const grant = await ledger.reserve({ user: "alice", ask: { kind: "mig", count: 1 }, purpose: "test" });
      expect(await last()).toBe("granted");
      const tokens = new Tokens(
        store.tables.tokens,
        (...args) => ledger.saveTokens(...args),
        () => true,
        () => true,
      );
      const made = await tokens.create({ role: "service" }, "root");
      if (!grant.ok || !made.ok) throw new Error(JSON.stringify([grant, made]));
      await ledger.release(grant.value.id);
      expect(await last()).toBe("granted");
      const other = await tokens.rotate(made.value.record.id, 60, "root");
      expect(await last()).toBe("token-rotated");
      await tokens.revoke(other.ok ? other.value.record.id : "", "root");
      expect(await last()).toBe("token-revoked");
    } finally {
      await close();
    }
  });
});
