/**
 * GPUs from a stack file to the devices inside a workspace: two local nodes, each with a declared GPU cut into two MIG
 * instances. Each test goes on where the one before ended.
 *
 * Proves: the first preview says who gets what and `up` grants that; a second preview is empty; a workspace sees
 * exactly the devices of its grant, also where it asks for all, also after systemd reloads its units; somebody in
 * front of the list moves nobody; what is too much or too many is refused in the preview, with the rule's name; who
 * leaves hands a slice on, or frees it; nothing is left of it at the end.
 * Does not prove: that NVIDIA's driver lets a container with these device nodes in, and no other.
 *
 * With BERTH_E2E_KEEP=1 the stack stays for the next run.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Assignment, Grant, Inventory } from "../../../agent/src/core/model";
import { type Configuration, TestStack } from "../../lib/stack";
import { MINUTE, SECOND } from "../../lib/time";
import { until } from "../../lib/until";

const KEEP = process.env.BERTH_E2E_KEEP === "1";
const STACK = "gpus-e2e";
const stack = new TestStack(STACK);
const resumed = KEEP && stack.filesThere();
const NODES = ["node-0", "node-1"] as const;
type NodeName = (typeof NODES)[number];

const slice = { kind: "mig", profile: "1g.10gb" };
const student = (name: string, node: NodeName, index: number, gpu: object = slice) => ({
  ...{ name, node, index, group: "student", gpu },
  ...{ cpus: 0.5, memory: "1GiB" },
});

function configuration(): Configuration {
  const node = (name: NodeName, role: string, address: string) => ({
    ...{ name, kind: "local", role, address, cpus: 2, memory: "4GiB" },
    gpus: [{ model: "NVIDIA H100 80GB HBM3", memory: "80GiB", mig: { "1g.10gb": 2 } }],
  });
  return {
    "berth:nodes": [node("node-0", "head", "10.93.0.10"), node("node-1", "worker", "10.93.0.11")],
    "berth:users": [student("alice", "node-0", 0), student("bob", "node-1", 1)],
    "berth:limits": { groups: { student: { max_mig_instances: 1, max_gpus_per_container: 2 } } },
    "berth:network": { cidr: "10.93.0.0/24" },
    "berth:registryPort": 5951,
    "berth:ray": { enabled: false },
    "pulumi:disable-default-providers": ["docker", "digitalocean"],
  };
}

interface Pool {
  assignment: Assignment;
  inventory: Inventory;
  grants: Grant[];
  closed?: string;
}

/** A shell line on a node. */
const onNode = (node: NodeName, line: string) =>
  stack.docker("exec", `berth-${STACK}-${node}`, "bash", "-c", line);
const pool = async (node: NodeName): Promise<Pool> => JSON.parse(await onNode(node, "berth pool show"));
const container = (user: string) => `berth-${STACK}-workspace-${user}`;
const inside = (node: NodeName, user: string, line: string) =>
  onNode(node, `docker exec ${container(user)} sh -c '${line}'`);
const DEVICES = 'for d in /dev/nvidia* /dev/nvidia-caps/*; do if [ -c "$d" ]; then echo "$d"; fi; done';
const sorted = (text: string) => text.split("\n").filter(Boolean).sort();

/** The device nodes that the node's specification has for these units. */
async function devicesOf(node: NodeName, units: readonly { uuid: string }[]): Promise<string[]> {
  type Edits = { deviceNodes?: { path: string }[] };
  const spec = JSON.parse(await onNode(node, "cat /etc/cdi/berth-declared.json")) as {
    devices: { name: string; containerEdits: Edits }[];
    containerEdits: Edits;
  };
  const wanted = spec.devices.filter(({ name }) => units.some(({ uuid }) => uuid === name));
  expect(wanted.length).toBe(units.length);
  const edits = [spec.containerEdits, ...wanted.map(({ containerEdits }) => containerEdits)];
  return [...new Set(edits.flatMap(({ deviceNodes = [] }) => deviceNodes.map(({ path }) => path)))].sort();
}

/** Whoever has the only grant of a node's pool. */
async function unitsOf(node: NodeName, user: string) {
  const units = (await pool(node)).assignment[`workspace/${user}`];
  if (!units?.length) throw new Error(`${user} has no grant on ${node}`);
  return units;
}

const started = async (node: NodeName, user: string) =>
  onNode(node, `docker inspect -f '{{.Id}} {{.State.StartedAt}}' ${container(user)}`);

let shown = "";

beforeAll(async () => {
  if (!resumed) await stack.removeLeftovers();
  stack.makeHome();
  stack.writeConfiguration(configuration());
}, 5 * MINUTE);

afterAll(async () => {
  if (KEEP) return;
  await stack.berth("destroy", ["--yes"], 10 * MINUTE).catch(() => {});
  await stack.removeLeftovers();
}, 15 * MINUTE);

describe("the first up", () => {
  it("was shown who gets which GPU before there was a node", { timeout: 10 * MINUTE }, async () => {
    const preview = await stack.berth("preview", ["--diff"], 8 * MINUTE);
    expect(preview.code, preview.text.slice(-3000)).toBe(0);
    shown = preview.text;
    for (const user of ["alice", "bob"])
      expect(shown).toMatch(
        new RegExp(`workspace/${user}\\s*: \\[\\s*\\[0\\]: "0:0 1g\\.10gb, \\d+ MiB: MIG-`),
      );
  });

  it("grants exactly that, and a second preview is empty", { timeout: 45 * MINUTE }, async () => {
    await stack.up();
    for (const [node, user] of [
      ["node-0", "alice"],
      ["node-1", "bob"],
    ] as const) {
      const { grants, closed } = await until("the grant is bound", 60 * SECOND, async () => {
        const now = await pool(node);
        return now.grants[0]?.state === "bound" ? now : false;
      });
      expect(closed).toBeUndefined();
      expect(grants.map(({ key, user: whose }) => [key, whose])).toEqual([[`workspace/${user}`, user]]);
      for (const { uuid } of grants[0]?.units ?? []) expect(shown).toContain(uuid);
    }
    await stack.nothingToDo();
  });
});

describe("inside a workspace", () => {
  it.each([
    ["node-0", "alice"],
    ["node-1", "bob"],
  ] as const)("on %s the devices are those of %s's grant, and no others", async (node, user) => {
    const units = await unitsOf(node, user);
    expect(sorted(await inside(node, user, DEVICES))).toEqual(await devicesOf(node, units));
    expect(await inside(node, user, "echo $NVIDIA_VISIBLE_DEVICES")).toBe("void");
    const labels = await onNode(node, `docker inspect -f '{{json .Config.Labels}}' ${container(user)}`);
    expect(JSON.parse(labels)).toMatchObject({
      "berth.grant": `workspace/${user}`,
      "berth.gpus": units.map(({ uuid }) => uuid).join(","),
    });
  });

  it("asking for all of them changes nothing", { timeout: 5 * MINUTE }, async () => {
    const [unit] = await unitsOf("node-0", "alice");
    const image = await onNode("node-0", `docker inspect -f '{{.Image}}' ${container("alice")}`);
    const run = (options: string) =>
      onNode(
        "node-0",
        `docker run --rm --network none --entrypoint sh -e NVIDIA_VISIBLE_DEVICES=all ${options} ${image} -c '${DEVICES}'`,
      );
    expect(sorted(await run(""))).toEqual([]);
    expect(sorted(await run(`--device nvidia.com/gpu=${unit?.uuid}`))).toEqual(
      await devicesOf("node-0", unit ? [unit] : []),
    );
  });

  it("they stay, and can be opened, when systemd reloads its units", async () => {
    const before = sorted(await inside("node-0", "alice", DEVICES));
    await onNode("node-0", "systemctl daemon-reload");
    expect(sorted(await inside("node-0", "alice", DEVICES))).toEqual(before);
    for (const device of before) await inside("node-0", "alice", `: <${device}`);
  });
});

describe("somebody in front of the list", () => {
  it("moves nobody, and gets what is free", { timeout: 20 * MINUTE }, async () => {
    const [alices, was] = [await unitsOf("node-0", "alice"), await started("node-0", "alice")];
    const bobs = await started("node-1", "bob");
    stack.edit((config) => {
      config["berth:users"].unshift(student("carol", "node-0", 2));
    });
    const changes = (await stack.changes()).map(({ op, name }) => `${op} ${name}`);
    const others = changes.filter((line) => !line.includes("workspace-carol"));
    // The node is told who may ask, and its pool of one grant more.
    expect(others.sort()).toEqual(["update berth-node-0-agent-stage", "update berth-node-0-gpus"]);
    await stack.up();
    expect(await unitsOf("node-0", "alice")).toEqual(alices);
    expect(await started("node-0", "alice")).toBe(was);
    expect(await started("node-1", "bob")).toBe(bobs);
    const carols = await unitsOf("node-0", "carol");
    expect(carols.map(({ uuid }) => uuid)).not.toEqual(alices.map(({ uuid }) => uuid));
    expect(sorted(await inside("node-0", "carol", DEVICES))).toEqual(await devicesOf("node-0", carols));
    await stack.nothingToDo();
  });
});

describe("a preview refuses", () => {
  const refused = async (change: (config: Configuration) => void): Promise<string> => {
    stack.edit(change);
    const preview = await stack.berth("preview", [], 5 * MINUTE);
    expect(preview.code).not.toBe(0);
    return preview.text;
  };

  it("more than the limit, with the rule's name", { timeout: 6 * MINUTE }, async () => {
    const text = await refused((config) => {
      config["berth:users"][1].gpu = { ...slice, count: 2 };
    });
    expect(text).toContain("groups.student.max_mig_instances");
  });

  it("one too many for the node, and says who has them", { timeout: 6 * MINUTE }, async () => {
    const text = await refused((config) => {
      config["berth:users"][1].gpu = slice;
      config["berth:users"].unshift(student("dave", "node-0", 3));
    });
    expect(text).toContain("declared[workspace/dave]");
    expect(text).toMatch(/0:0 by workspace\/alice/);
    expect(text).not.toContain("declared[workspace/alice]");
  });
});

describe("who leaves", () => {
  const users = (change: (all: { name: string }[]) => object[]) =>
    stack.edit((config) => {
      config["berth:users"] = change(config["berth:users"]);
    });

  it("hands the slice on in the same update, and nobody has it twice", { timeout: 25 * MINUTE }, async () => {
    const carols = await unitsOf("node-0", "carol");
    const was = await started("node-0", "alice");
    users((all) => all.filter(({ name }) => name !== "carol"));
    const preview = await stack.berth("preview", ["--diff"], 5 * MINUTE);
    expect(preview.code, preview.text.slice(-3000)).toBe(0);
    expect(preview.text).toContain(carols[0]?.uuid);
    expect(preview.text).toMatch(
      /goes to workspace\/dave; the update stops the container of workspace\/carol/,
    );
    await stack.up();
    expect(await unitsOf("node-0", "dave")).toEqual(carols);
    expect(sorted(await inside("node-0", "dave", DEVICES))).toEqual(await devicesOf("node-0", carols));
    const keys = async () => (await pool("node-0")).grants.map(({ key }) => key).sort();
    await until("carol's grant is over", 60 * SECOND, async () => (await keys()).length === 2);
    expect(await keys()).toEqual(["workspace/alice", "workspace/dave"]);
    expect(await started("node-0", "alice")).toBe(was);
    await stack.nothingToDo();
  });

  it("frees it where nobody comes", { timeout: 25 * MINUTE }, async () => {
    users((all) => all.filter(({ name }) => name !== "dave"));
    await stack.up();
    await until("the slice is free", 60 * SECOND, async () => {
      const { grants } = await pool("node-0");
      return grants.length === 1 && grants[0]?.key === "workspace/alice";
    });
    await stack.nothingToDo();
  });
});

describe.skipIf(KEEP)("the end", () => {
  it("leaves nothing", { timeout: 15 * MINUTE }, async () => {
    const ran = await stack.berth("destroy", ["--yes"], 10 * MINUTE);
    expect(ran.code, ran.text.slice(-3000)).toBe(0);
    expect(await stack.footprint()).toEqual([]);
  });
});
