import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Gpu, type Inventory, migModelOf, placeInstances } from "../../../core/gpu";
import { readIfThere, replaceFile } from "../files";
import * as data from "./fake-data";
import { fakeScript } from "./fake-script";

/** Where the stand-in lies, under a root that is `/` on a node. */
export interface FakePaths {
  /** The command. In front of `/usr/bin` on PATH, where a driver would put its own. */
  command: string;
  /** What it prints: replaced as a whole. */
  data: string;
  /** How it fails, for tests. */
  state: string;
  /** The "kernel log" of the declared GPUs. */
  kernelLog: string;
  /** Where device nodes are looked for. */
  dev: string;
}

export function fakePaths(root = "/"): FakePaths {
  const at = (path: string) => join(root, path);
  return {
    command: at("/usr/local/bin/nvidia-smi"),
    data: at("/usr/local/lib/berth/declared-gpus"),
    state: at("/var/lib/berth/declared-gpus/state"),
    kernelLog: at("/var/lib/berth/declared-gpus/kernel.log"),
    dev: at("/dev"),
  };
}

export interface FakeNvidiaSmi {
  /** The program: bash. */
  script: string;
  /** Content by path inside the data folder. */
  files: Record<string, string>;
}

/** A program that prints what nvidia-smi would for these GPUs. */
export function renderFakeNvidiaSmi(
  inventory: Inventory,
  paths: Omit<FakePaths, "command" | "kernelLog">,
): FakeNvidiaSmi {
  for (const path of [paths.data, paths.state, paths.dev])
    if (!/^\/[\w./-]*$/.test(path))
      throw new Error(`${path} cannot be a path of the stand-in for nvidia-smi`);
  const driver = inventory.driver ?? "N/A";
  const files: Record<string, string> = {
    driver: `${driver}\n`,
    "start.xml": data.xmlStart(inventory),
    gpus: inventory.gpus
      .map((gpu) => `${gpu.index} ${gpu.uuid} ${gpu.index} ${data.fakePci(gpu.index)} ${gpu.memoryMiB}\n`)
      .join(""),
    topo: data.topology(inventory),
    "lgi-head": data.lgiHead,
    "lgi-rule": data.lgiRule,
    "lgip-head": data.lgipHead,
    "lgip-rule": data.lgipRule,
  };
  for (const gpu of inventory.gpus) Object.assign(files, gpuFiles(gpu, driver));
  return { script: fakeScript(paths), files };
}

function gpuFiles(gpu: Gpu, driver: string): Record<string, string> {
  const model = migModelOf(gpu.model, gpu.memoryMiB);
  const places =
    (model &&
      placeInstances(
        model,
        gpu.instances.map(({ profile }) => profile),
      )) ??
    [];
  const files: Record<string, string> = {
    list: data.listLine(gpu),
    "head.xml": data.gpuHead(gpu),
    "tail.xml": data.gpuTail(gpu),
    fields: data.queryFields(gpu, driver),
    lgip: data.lgipRows(gpu, places),
    instances: gpu.instances
      .map((instance, device) => {
        const cap = data.gpuInstanceCap(gpu.index, instance.gi);
        return `${device} ${instance.uuid} ${instance.gi} ${cap} ${instance.memoryMiB}\n`;
      })
      .join(""),
  };
  for (const [device, instance] of gpu.instances.entries()) {
    const place = places.find(({ gi }) => gi === instance.gi);
    if (!place) throw new Error(`${gpu.uuid} has no place for instance ${instance.gi} (${instance.profile})`);
    files[`mig-${device}.xml`] = data.migDevice(instance, device);
    files[`mig-${device}.list`] = data.listInstance(instance, device);
    files[`mig-${device}.lgi`] = data.lgiRow(gpu, instance, place.start, place.size);
  }
  return Object.fromEntries(Object.entries(files).map(([name, text]) => [`${gpu.index}/${name}`, text]));
}

/** Says which nvidia-smi is Berth's. */
const MARK = "# Written by Berth: stands in for nvidia-smi";

/**
 * Puts the stand-in on the node, and replaces an earlier one.
 * @returns Whether anything changed.
 * @throws Error when another nvidia-smi has its place: a node with a driver has no declared GPUs.
 */
export function installFakeNvidiaSmi(inventory: Inventory, paths: FakePaths = fakePaths()): boolean {
  const fake = renderFakeNvidiaSmi(inventory, paths);
  const present = readIfThere(paths.command);
  if (present !== undefined && !present.includes(MARK))
    throw new Error(
      `${paths.command} is not Berth's. A node with an NVIDIA driver reads its own GPUs: take \`gpus\` of this node out of the stack's configuration, or remove that file.`,
    );
  const same =
    present === fake.script &&
    Object.entries(fake.files).every(([name, text]) => readIfThere(join(paths.data, name)) === text);
  if (same) return false;
  const fresh = `${paths.data}.new`;
  const old = `${paths.data}.old`;
  rmSync(fresh, { recursive: true, force: true });
  rmSync(old, { recursive: true, force: true });
  for (const [name, text] of Object.entries(fake.files)) {
    mkdirSync(dirname(join(fresh, name)), { recursive: true });
    writeFileSync(join(fresh, name), text);
  }
  mkdirSync(dirname(paths.state), { recursive: true });
  if (readIfThere(join(paths.data, "driver")) !== undefined) renameSync(paths.data, old);
  renameSync(fresh, paths.data);
  rmSync(old, { recursive: true, force: true });
  replaceFile(paths.command, fake.script, 0o755);
  return true;
}

/** Takes the stand-in away; another nvidia-smi is left alone. */
export function removeFakeNvidiaSmi(paths: FakePaths = fakePaths()): void {
  if (readIfThere(paths.command)?.includes(MARK)) rmSync(paths.command);
  for (const path of [paths.data, `${paths.data}.new`, `${paths.data}.old`, dirname(paths.state)])
    rmSync(path, { recursive: true, force: true });
}
