/**
 * The storage stage, rendered.
 * Proves: its text is what was reviewed (snapshots), valid bash that shellcheck accepts, forces no tool over old
 * data; one that only the whole of it shows to be impossible is refused. What it decides and does: test/process/host-storage-*.test.ts, test/e2e.
 */
import { describe, expect, it } from "vitest";
import {
  renderStorage,
  StageOptionError,
  type StorageOptions,
  storageLabel,
} from "../../../../components/host";
import { storageSteps } from "../../../../components/host/storage";
import { exportsFile } from "../../../../components/host/storage/nfs";
import { planStorage } from "../../../../components/host/storage/spec";
import { describeScripts } from "../../../lib/host-scripts";

const node = "node-0";
const home = (user: string, uid: number, soft = "40GiB", hard = "50GiB") => ({ user, uid, soft, hard });
const everything: StorageOptions = {
  devices: [
    { match: { serial: "S6Z1NX0T123456" }, filesystem: "xfs", mount: "/mnt/storage" },
    {
      match: { uuid: "0b7cf3d4-2f7c-4d7c-8f57-0a3cbe0f2f11" },
      mount: "/data",
      options: ["discard", "nodev"],
    },
  ],
  lvm: {
    group: "fast",
    devices: [{ serial: "nvme-A" }, { serial: "nvme-B" }],
    volumes: [
      { name: "scratch", size: "50%", filesystem: "xfs", mount: "/data2" },
      { name: "cache", size: "100GiB", mount: "/srv/cache" },
    ],
  },
  nfs: {
    server: { exports: [{ path: "/data/sets", to: ["10.0.0.0/24", "10.0.1.7"] }] },
    mounts: [{ from: "10.0.0.5:/shared", mount: "/mnt/storage/shared" }],
  },
  bind: { workspaces: "/data2/workspaces" },
  quotas: [home("alice", 21001), home("bob", 21002)],
};
const scripts = {
  "storage, empty": renderStorage({ node, devices: [] }),
  "storage, everything": renderStorage({ node, ...everything }),
};
describeScripts(scripts);

describe("the specification", () => {
  it("of a node without devices renders the directories and their guard", () => {
    expect(storageSteps({}).map(({ name }) => name)).toEqual(["directories", "guard what people write"]);
    expect(storageSteps({ devices: [] }).length).toBeGreaterThan(1);
  });

  it("forces no tool over old data, and deletes none", () => {
    const all = scripts["storage, everything"];
    expect(all).not.toMatch(/mkfs\S* [^\n]*-[fF]\b|(pv|vg|lv)\w+ [^\n]*(-y\b|--yes|-f\b|--force)/);
    expect(all).not.toMatch(/^\s*(wipefs -a|lvremove|vgremove|pvremove|lvreduce|umount -[fl]|dd )/m);
  });

  it("asks for project quotas where the homes are, and nowhere else", () => {
    const plan = planStorage(everything);
    expect(plan.devices.map(({ quota }) => quota)).toEqual([true, false]);
    const bound = planStorage({ ...everything, bind: { homes: "/data2/homes" } });
    expect(bound.devices.map(({ quota }) => quota)).toEqual([false, false]);
    expect(bound.lvm?.volumes.map(({ options }) => options.includes("prjquota"))).toEqual([true, false]);
    expect(planStorage({ ...everything, quotas: [] }).devices[0]?.options).not.toContain("prjquota");
  });

  it("labels file systems by their mount point, in XFS's 12 characters", () => {
    expect(storageLabel("/data")).toMatch(/^berth-[0-9a-f]{6}$/);
    expect(storageLabel("/data")).not.toBe(storageLabel("/data2"));
  });

  it("exports a path only while the file system below it is mounted", () => {
    expect(exportsFile(planStorage(everything).exports)).toBe(
      "/data/sets 10.0.0.0/24(rw,sync,no_subtree_check,root_squash,mp=/data) 10.0.1.7/32(rw,sync,no_subtree_check,root_squash,mp=/data)\n",
    );
  });

  const device = { match: { serial: "S123456" }, mount: "/data" };
  it.each<[string, StorageOptions, RegExp]>([
    [
      "a mount point twice",
      { devices: [device, { ...device, match: { serial: "S999999" } }] },
      /one file system for each/,
    ],
    ["a limit that is no size", { quotas: [home("alice", 1000, "many")] }, /quotas\[0\]\.soft/],
  ])("refuses %s", (_, options, message) => {
    expect(() => planStorage(options)).toThrow(StageOptionError);
    expect(() => planStorage(options)).toThrow(message);
  });
});
