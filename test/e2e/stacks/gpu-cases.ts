/**
 * @file GPUs from the stack file to the devices inside a workspace, as cases of the cluster's test.
 *
 * Prove: a workspace sees exactly the devices of its grant, also where it asks for all, also after systemd reloads its
 * units; what is too much or too many is refused in the preview, with the rule's name; GPUs that the stack declares no
 * more are forgotten, and those that somebody holds are not.
 * Do not prove: that NVIDIA's driver lets a container with these device nodes in, and no other.
 */
import { expect, it } from "vitest";
import type { Configuration } from "../../lib/stack";
import { MINUTE, SECOND } from "../../lib/time";
import { until } from "../../lib/until";
import { onNode } from "./cluster-clients";
import { berth, edit, slice, student, up } from "./cluster-rig";
import { container, DEVICES, devicesOf, inside, pool, sorted, started, unitsOf } from "./gpu-clients";

const OWNERS = [
  ["node-0", "alice"],
  ["node-1", "bob"],
] as const;

/** @param shown gives the preview that was made before there was a node; undefined: an earlier run made it. */
export function grantCases(shown: () => string | undefined): void {
  it("granted exactly the GPUs that the first preview showed", async () => {
    for (const [node, user] of OWNERS) {
      const { grants, closed } = await until("the grant is bound", 60 * SECOND, async () => {
        const now = await pool(node);
        return now.grants[0]?.state === "bound" ? now : false;
      });
      expect(closed).toBeUndefined();
      expect(grants.map(({ key, user: whose }) => [key, whose])).toEqual([[`workspace/${user}`, user]]);
      const preview = shown();
      if (preview !== undefined)
        for (const { uuid } of grants[0]?.units ?? []) expect(preview).toContain(uuid);
    }
  });

  it.each(OWNERS)("on %s the devices are those of %s's grant, and no others", async (node, user) => {
    const units = await unitsOf(node, user);
    expect(sorted(await inside(node, user, DEVICES))).toEqual(await devicesOf(node, units));
    expect(await inside(node, user, "echo $NVIDIA_VISIBLE_DEVICES")).toBe("void");
    const labels = await onNode(node, `docker inspect -f '{{json .Config.Labels}}' ${container(user)}`);
    expect(JSON.parse(labels)).toMatchObject({
      "berth.grant": `workspace/${user}`,
      "berth.gpus": units.map(({ uuid }) => uuid).join(","),
    });
  });

  it("gives a container that asks for all GPUs none, and one that asks for one that one", async () => {
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

  it("keeps the devices, and they can be opened, when systemd reloads its units", async () => {
    const before = sorted(await inside("node-0", "alice", DEVICES));
    await onNode("node-0", "systemctl daemon-reload");
    expect(sorted(await inside("node-0", "alice", DEVICES))).toEqual(before);
    for (const device of before) await inside("node-0", "alice", `: <${device}`);
  });
}

/** With two people on node-1, which is then full. */
export function refusalCases(): void {
  const refused = async (change: (users: Configuration[]) => void): Promise<string> => {
    let before: Configuration[] = [];
    edit((config) => {
      before = structuredClone(config["berth:users"]);
      change(config["berth:users"]);
    });
    try {
      const preview = await berth("preview", [], 5 * MINUTE);
      expect(preview.code).not.toBe(0);
      return preview.text;
    } finally {
      // Later edits begin from what was there.
      edit((config) => {
        config["berth:users"] = before;
      });
    }
  };
  const alice = (users: Configuration[]) => users.find(({ name }) => name === "alice") ?? {};

  it("refuses in the preview more than the limit, with the rule's name", {
    timeout: 6 * MINUTE,
  }, async () => {
    const text = await refused((users) => {
      alice(users).gpu = { ...slice, count: 2 };
    });
    expect(text).toContain("groups.student.max_mig_instances");
  });

  it("refuses in the preview one too many for the node, and says who has them", {
    timeout: 6 * MINUTE,
  }, async () => {
    const text = await refused((users) => {
      users.unshift(student("dave", "node-1", 3));
    });
    expect(text).toMatch(/error: .*workspace\/dave on node-1: .*: 0 of 2 are free now/);
    expect(text).toMatch(/0:0 by workspace\/bob/);
    expect(text).not.toContain("workspace/bob on node-1:");
  });
}

/** With alice alone on node-0, and two GPUs on node-1, of which the second is nobody's. They end with one on each. */
export function takenOutCases(): void {
  const alices = ({ "berth:users": users }: Configuration): Configuration =>
    users.find(({ name }: Configuration) => name === "alice");

  it("keeps GPUs that somebody holds, and says who, when they are taken out of the stack", {
    timeout: 8 * MINUTE,
  }, async () => {
    const [before, units] = [await started("node-0", "alice"), await unitsOf("node-0", "alice")];
    let gpus: unknown;
    edit((config) => {
      gpus = config["berth:nodes"][0].gpus;
      delete config["berth:nodes"][0].gpus;
      delete alices(config).gpu;
    });
    const ran = await berth("up", ["--yes", "--skip-preview"], 6 * MINUTE).finally(() =>
      edit((config) => {
        config["berth:nodes"][0].gpus = gpus;
        alices(config).gpu = slice;
      }),
    );
    expect(ran.code).not.toBe(0);
    expect(ran.text).toMatch(
      /GPU 0 \(GPU-\S+\) is no longer declared, and alice \(workspace\/alice\) holds 0:\d/,
    );
    expect(ran.text).toContain("take those grants out of the stack");
    expect(await unitsOf("node-0", "alice")).toEqual(units);
    expect(await started("node-0", "alice")).toBe(before);
    expect(sorted(await inside("node-0", "alice", DEVICES))).toEqual(await devicesOf("node-0", units));
    expect(await onNode("node-0", "ls /etc/berth/agent")).toContain("gpus.json");
    expect((await pool("node-0")).closed).toBeUndefined();
  });

  it("forgets a GPU that nobody has when it is taken out of the stack", {
    timeout: 10 * MINUTE,
  }, async () => {
    const uuids = async () => (await pool("node-1")).inventory.gpus.map(({ uuid }) => uuid);
    const [first, second] = await uuids();
    expect(second).toBeDefined();
    const [before, units] = [await started("node-1", "carol"), await unitsOf("node-1", "carol")];
    expect(units.map(({ gpu }) => gpu)).not.toContain(second);
    edit((config) => {
      config["berth:nodes"][1].gpus.pop();
      config["berth:users"] = config["berth:users"].filter(({ name }: Configuration) => name !== "dave");
    });
    await up();
    expect(await uuids()).toEqual([first]);
    expect((await pool("node-1")).closed).toBeUndefined();
    expect(await onNode("node-1", "berth health >/dev/null; nvidia-smi -L | grep -c '^GPU '")).toBe("1");
    expect(await unitsOf("node-1", "carol")).toEqual(units);
    expect(await started("node-1", "carol")).toBe(before);
    expect(sorted(await inside("node-1", "carol", DEVICES))).toEqual(await devicesOf("node-1", units));
  });
}
