import { createHash } from "node:crypto";
import * as z from "zod";
import { issueTexts } from "../problems";
import { MOST_GPUS } from "./ask-schema";
import { migModelOf } from "./mig-profiles";
import type { Gpu, Inventory } from "./model";
import { countsOf, divisionProblem, memorySlices, placeInstances, profilesOf } from "./placements";

/** The driver version that a declared inventory shows; formats are those of this driver. */
const DRIVER = "580.159.04";

const declaredGpu = z.strictObject({
  /** As the driver would name it: `NVIDIA H100 80GB HBM3`. */
  model: z.string().trim().min(1).max(80),
  memoryMiB: z
    .int()
    .min(256)
    .max(4 * 1024 * 1024),
  /** How many of them. Default 1. */
  count: z.int().min(1).max(MOST_GPUS).default(1),
  /** MIG instances of each: a list, or how many of which. An empty list: MIG is on, and nothing is made yet. */
  mig: z.union([z.array(z.string().min(1)), z.record(z.string().min(1), z.int().min(1).max(8))]).optional(),
  /** True: the GPUs of this entry reach one another over NVLink. */
  nvlink: z.boolean().default(false),
});

/** GPUs of a node that has none: what the stack declares for it. */
export type DeclaredGpu = z.input<typeof declaredGpu>;

/** Content of `/etc/berth/agent/gpus.json`. */
export const declaredGpusSchema = z.strictObject({
  /** The node's name: part of every UUID. */
  node: z.string().min(1),
  gpus: z.array(declaredGpu).max(MOST_GPUS),
});

/**
 * The inventory of a node with declared GPUs. UUIDs follow from the node's name, the GPU's number and model, and the
 * place of an instance on its GPU: the same declaration gives the same UUIDs, and a change elsewhere leaves them alone.
 * @throws Error with every entry that cannot be, what is allowed, and where.
 */
export function declaredInventory(gpus: readonly DeclaredGpu[], nodeName: string): Inventory {
  const { problems, inventory } = build(gpus, nodeName);
  if (problems.length > 0) throw new Error(`Declared GPUs of ${nodeName}:\n- ${problems.join("\n- ")}`);
  return inventory;
}

/**
 * The inventory of a `gpus.json` that was parsed.
 * @param where the file, for messages
 * @throws Error when it says what cannot be
 */
export function parseDeclaredGpus(value: unknown, where: string): Inventory {
  const result = declaredGpusSchema.safeParse(value);
  if (!result.success) throw new Error(`${where}:\n- ${issueTexts(result.error).join("\n- ")}`);
  return declaredInventory(result.data.gpus, result.data.node);
}

function build(
  specs: readonly DeclaredGpu[],
  nodeName: string,
): { problems: string[]; inventory: Inventory } {
  const problems: string[] = [];
  const gpus: Gpu[] = [];
  for (const [i, input] of specs.entries()) {
    const parsed = declaredGpu.safeParse(input);
    if (!parsed.success) {
      problems.push(...issueTexts(parsed.error, ["gpus", i]));
      continue;
    }
    const spec = parsed.data;
    const layout = Array.isArray(spec.mig) ? spec.mig : spec.mig && profilesOf(spec.mig);
    const wrong = layout && divisionProblem(spec.model, spec.memoryMiB, countsOf(layout));
    if (wrong) {
      problems.push(`gpus[${i}].mig ${wrong.problem}; allowed: ${wrong.allowed}`);
      continue;
    }
    const made: Gpu[] = [];
    for (let n = 0; n < spec.count; n++) made.push(oneGpu(spec, layout, nodeName, gpus.length + n));
    if (spec.nvlink)
      for (const gpu of made) gpu.nvlink = made.filter((other) => other !== gpu).map(({ uuid }) => uuid);
    gpus.push(...made);
  }
  if (gpus.length > MOST_GPUS) problems.push(`gpus: ${gpus.length} GPUs; allowed are ${MOST_GPUS} on a node`);
  return { problems, inventory: { source: "declared", driver: DRIVER, gpus } };
}

function oneGpu(
  spec: { model: string; memoryMiB: number },
  layout: readonly string[] | undefined,
  nodeName: string,
  index: number,
): Gpu {
  const seed = `${nodeName}/gpu/${index}/${spec.model}`;
  const row = migModelOf(spec.model, spec.memoryMiB);
  const places = layout && row ? placeInstances(row, layout) : undefined;
  if (layout && !places) throw new Error(`${spec.model} has no place for ${layout.join(", ")}`);
  return {
    uuid: `GPU-${uuidOf(seed)}`,
    index,
    model: spec.model,
    memoryMiB: spec.memoryMiB,
    mig: layout !== undefined,
    instances: (places ?? [])
      .toSorted((a, b) => a.gi - b.gi)
      .map(({ profile, start, size, gi }) => ({
        uuid: `MIG-${uuidOf(`${seed}/${profile}/${start}:${size}`)}`,
        profile,
        memoryMiB: instanceMemory(spec.memoryMiB, size, row ? memorySlices(row) : size),
        gi,
        ci: 0,
      })),
    nvlink: [],
  };
}

/** Its part of the GPU's memory, less what the driver keeps for itself: within 1 % of what an H100 shows. */
function instanceMemory(memoryMiB: number, size: number, slices: number): number {
  return Math.max(1, Math.floor((memoryMiB * size) / slices / 32) * 32 - 192);
}

/** A UUID that a name always gives: RFC 9562 version 5 in form, in a namespace of Berth's own. */
function uuidOf(name: string): string {
  const hash = createHash("sha256").update(`berth:declared-gpu:${name}`).digest().subarray(0, 16);
  hash.writeUInt8((hash.readUInt8(6) & 0x0f) | 0x50, 6);
  hash.writeUInt8((hash.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = hash.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
