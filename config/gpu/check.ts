import {
  type Ask,
  countsProblem,
  divisionProblem,
  type EffectiveLimits,
  type Limit,
  MOST_GPUS,
} from "../../core/gpu";
import { checkAsk, defaultLimitsDocument, resolveLimits, sliceWord } from "../../core/limits";
import type { Report } from "../problems";
import { profileNameProblem } from "../runtime/check";
import type { NodeConfig, StackConfig, UserConfig } from "../schema";
import { hasWorkspace, userResources } from "../users/resolve";
import { sizeText } from "../values";
import {
  type DeclaredGpuPlan,
  declaredGpus,
  hasDriver,
  migCounts,
  nodeLimits,
  nodeRuntime,
  RAY_USER,
  userAsk,
} from "./resolve";
import type { UserGpuConfig } from "./schema";

/** GPUs, limits and who asks for what: everything that a preview can know before a node is there. Pure. */
export function checkGpu(config: StackConfig, report: Report): void {
  checkAllocation(config, report);
  for (const [i, node] of config.nodes.entries()) {
    checkNode(config, node, `nodes[${i}]`, report);
    checkRay(config, node, `nodes[${i}].ray.gpu`, report);
  }
  checkNames(config, report);
  const slices = new Map<string, string>();
  for (const [i, user] of config.users.entries()) {
    const known = user.group === undefined || Object.hasOwn(config.limits.groups ?? {}, user.group);
    if (!known)
      report(
        `users[${i}].group`,
        user.group,
        "is no group of berth:limits",
        `${Object.keys(config.limits.groups ?? {}).join(", ") || "no group: berth:limits.groups is empty"}${
          Object.hasOwn(defaultLimitsDocument.groups ?? {}, user.group ?? "")
            ? `; berth:limits.groups stands in place of the built-in groups: write "${user.group}" there too`
            : ""
        }`,
      );
    const limits = resolveLimits(config.limits, user.name, known ? user.group : undefined);
    const slice = `${user.node}/${limits.group}/${sliceWord(user.name)}`;
    const twin = slices.get(slice);
    if (twin !== undefined && twin !== user.name)
      report(
        `users[${i}].name`,
        user.name,
        `and "${twin}" of the same group would share one systemd slice: '-' and '_' count alike there`,
        "names that differ in more than '-' and '_'",
      );
    slices.set(slice, user.name);
    if (!hasWorkspace(user)) continue;
    checkWorkspace(config, user, `users[${i}]`, limits, report);
    if (user.gpu) checkUserGpu(config, user, user.gpu, `users[${i}].gpu`, limits, report);
  }
}

/** What `gpu_allocation` says of all GPUs. */
function checkAllocation(config: StackConfig, report: Report): void {
  const { limits, gpu } = config;
  const profile = limits.gpu_allocation?.mig_profile;
  // A driver may know more than the table: what it says then is a caution.
  const real = config.nodes.some((node) => hasDriver(node, nodeRuntime(config, node)));
  const problem = profile === undefined ? undefined : profileProblem(profile, real);
  if (problem) report("limits.gpu_allocation.mig_profile", profile, problem.problem, problem.allowed);
  if (gpu.allocation === "exclusive" && gpu.memoryLimit !== 0)
    report(
      "gpu.memoryLimit",
      sizeText(gpu.memoryLimit),
      "limits shares of a GPU, and allocation is exclusive: there are none",
      'allocation: "shared" with it, or 0',
    );
}

function checkNode(config: StackConfig, node: NodeConfig, path: string, report: Report): void {
  const { gpus } = node;
  const divides = config.limits.gpu_allocation?.enable_mig !== false;
  const layouts = nodeRuntime(config, node).nvidia?.mig ?? [];
  if (!divides && layouts.some(({ layout }) => layout !== "all-disabled") && node.kind !== "local")
    report(
      "limits.gpu_allocation.enable_mig",
      false,
      `divides no GPU, and runtime.nvidia.mig of node "${node.name}" divides some`,
      'enable_mig: true, or layouts "all-disabled"',
    );
  if (gpus === undefined) return;
  const total = gpus.reduce((sum, { count }) => sum + count, 0);
  if (total > MOST_GPUS)
    report(`${path}.gpus`, total, "is more GPUs than a node may declare", `at most ${MOST_GPUS} in all`);
  if ((node.runtime?.nvidia?.mig ?? []).length > 0)
    report(
      `${path}.runtime.nvidia.mig`,
      node.runtime?.nvidia?.mig,
      "divides real GPUs, and this node's are declared",
      "the layout under gpus[…].mig, or no declared GPUs",
    );
  for (const [k, gpu] of gpus.entries()) {
    const at = `${path}.gpus[${k}]`;
    if (gpu.memory < 256 * 2 ** 20)
      report(
        `${at}.memory`,
        sizeText(gpu.memory),
        "is less than any GPU has",
        '"256MiB" or more, such as "80GiB"',
      );
    if (!gpu.mig) continue;
    if (!divides)
      report(
        `${at}.mig`,
        gpu.mig,
        "divides a GPU, and limits.gpu_allocation.enable_mig is false",
        "no mig here, or enable_mig: true",
      );
    const problem = divisionProblem(gpu.model, gpu.memory / 2 ** 20, migCounts(gpu.mig));
    if (problem) report(`${at}.mig`, gpu.mig, problem.problem, problem.allowed);
  }
}

/** Users that the limits name. */
function checkNames({ limits, users }: StackConfig, report: Report): void {
  const names = users.map(({ name }) => name);
  const check = (path: string, name: string) => {
    if (!names.includes(name) && name !== RAY_USER)
      report(path, name, "is no user of this stack", names.join(", ") || "no name: the stack has no users");
  };
  for (const [group, { members }] of Object.entries(limits.groups ?? {}))
    for (const [i, member] of (members ?? []).entries())
      check(`limits.groups.${group}.members[${i}]`, member);
  for (const name of Object.keys(limits.user_overrides ?? {})) check(`limits.user_overrides.${name}`, name);
}

/** The workspace's own limits against those of its user. */
function checkWorkspace(
  config: StackConfig,
  user: UserConfig,
  path: string,
  limits: EffectiveLimits,
  report: Report,
): void {
  const own = userResources(config, user);
  const check = (
    field: string,
    value: number,
    most: Limit<number | null>,
    key: string,
    show: (n: number) => string,
  ) => {
    if (most.value === null || value <= most.value) return;
    const rule = `${most.rule}.${key}`;
    report(
      `${path}.${field}`,
      field === "cpus" ? value : show(value),
      `is ${show(value - most.value)} more than ${rule} of berth:limits allows`,
      `at most ${show(most.value)}, or a larger ${rule}`,
    );
  };
  check("cpus", own.cpus, limits.max_cpus, "max_cpus", (n) => String(Math.round(n * 1000) / 1000));
  check("memory", own.memoryBytes, limits.memory, "memory", sizeText);
  check("shm", own.shmBytes, limits.shm_size, "shm_size", sizeText);
  const { value, rule } = limits.max_containers_per_user;
  if (value !== null && value < 1)
    report(
      path,
      user.name,
      `has a workspace, and ${rule}.max_containers_per_user of berth:limits allows no container`,
      'at least 1, or state: "removed"',
    );
}

/** What Ray asks of a node. */
function checkRay(config: StackConfig, node: NodeConfig, path: string, report: Report): void {
  const gpu = node.ray?.gpu;
  if (!gpu) return;
  const limits = resolveLimits(nodeLimits(config), RAY_USER);
  if (config.ray.enabled) checkUserGpu(config, { node: node.name }, gpu, path, limits, report);
  else report(path, gpu, "asks for GPUs, and Ray is off", "berth:ray.enabled: true with it, or no gpu here");
}

function checkUserGpu(
  config: StackConfig,
  user: Pick<UserConfig, "node">,
  gpu: UserGpuConfig,
  path: string,
  limits: EffectiveLimits,
  report: Report,
): void {
  const ask = userAsk(gpu);
  const rules = {
    allowShared: config.gpu.allocation === "shared",
    shareLimitMiB: Math.floor(config.gpu.memoryLimit / 2 ** 20),
  };
  const found = checkAsk(limits, ask, rules);
  for (const { field, refusal } of found) {
    const key = field === "memoryMiB" ? "memory" : field;
    const where = refusal.rule === undefined ? "" : ` (rule ${refusal.rule})`;
    report(
      `${path}.${key}`,
      key === "memory" && gpu.memory !== undefined ? sizeText(gpu.memory) : gpu[key],
      `${refusal.message}${where}`,
      [refusal.allowed, refusal.fix].filter((text) => text !== undefined).join("; "),
    );
  }
  if (found.length > 0) return;
  const node = config.nodes.find(({ name }) => name === user.node);
  const real = node !== undefined && hasDriver(node, nodeRuntime(config, node));
  const named = ask.profile === undefined ? undefined : profileProblem(ask.profile, real);
  const problem = named ? { field: "profile" as const, ...named } : offerProblem(config, user, ask);
  if (problem) report(`${path}.${problem.field}`, gpu[problem.field], problem.problem, problem.allowed);
}

interface AskProblem {
  field: "kind" | "profile" | "count";
  problem: string;
  allowed: string;
}

/** @param real a driver decides which profiles there are, and only what is no name of one is wrong. */
function profileProblem(profile: string, real: boolean): { problem: string; allowed: string } | undefined {
  return profileNameProblem([profile]) ?? (real ? undefined : countsProblem({ [profile]: 1 }));
}

/** What the user's node has not, as far as its configuration tells. */
function offerProblem(config: StackConfig, user: Pick<UserConfig, "node">, ask: Ask): AskProblem | undefined {
  const node = config.nodes.find(({ name }) => name === user.node);
  if (!node) return undefined;
  const gpus = declaredGpus(config.limits, node.gpus);
  if (gpus === undefined) {
    const off = node.kind !== "local" && nodeRuntime(config, node).gpu === "off";
    if (node.kind !== "local" && !off) return undefined;
    return {
      field: "kind",
      problem: off
        ? `node "${node.name}" leaves its GPUs alone (runtime.gpu is "off")`
        : `local node "${node.name}" has no GPU`,
      allowed: off
        ? 'runtime.gpu: "auto", or no gpu here'
        : `GPUs declared under gpus of the node, or no gpu here`,
    };
  }
  const fitting = gpus.map((gpu) => offered(gpu, ask));
  const most = fitting.reduce((sum, count) => sum + count, 0);
  if (most >= ask.count) return undefined;
  const known = ask.profile === undefined || gpus.some(({ mig }) => (mig?.[ask.profile ?? ""] ?? 0) > 0);
  const wanted = ask.kind === "mig" ? `MIG instance${ask.profile ? ` ${ask.profile}` : ""}` : "whole GPU";
  return {
    field: most > 0 ? "count" : known ? "kind" : "profile",
    problem: `node "${node.name}" has ${most > 0 ? `${most} in all` : `no ${wanted}`} that would do`,
    allowed: `what it has: ${gpus.map(describe).join("; ") || "no GPU"}`,
  };
}

/** How many of what is asked the GPUs of one entry are, when nobody has any. */
function offered({ model, memoryMiB, count, mig }: DeclaredGpuPlan, ask: Ask): number {
  if (ask.model !== undefined && !model.toLowerCase().includes(ask.model.toLowerCase())) return 0;
  const least = ask.memoryMiB ?? 0;
  if (ask.kind !== "mig") return mig === undefined && memoryMiB >= least ? count : 0;
  // An instance has a little less than its name says: the node knows how much, and may refuse still.
  const memoryOf = (profile: string) => Number(/\.(\d+)gb/.exec(profile)?.[1] ?? 0) * 1024;
  return Object.entries(mig ?? {})
    .filter(([profile]) => ask.profile === undefined || profile === ask.profile)
    .filter(([profile]) => memoryOf(profile) >= least)
    .reduce((sum, [, instances]) => sum + instances * count, 0);
}

/** `2 × NVIDIA H100 80GB HBM3, each as 7 × 1g.10gb`. */
function describe({ model, count, memoryMiB, mig }: DeclaredGpuPlan): string {
  const instances = Object.entries(mig ?? {}).map(([profile, n]) => `${n} × ${profile}`);
  const parts =
    mig === undefined
      ? `whole, ${sizeText(memoryMiB * 2 ** 20)}`
      : `each as ${instances.join(", ") || "no instance"}`;
  return `${count} × ${model}, ${parts}`;
}
