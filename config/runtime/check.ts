import { countsProblem, isProfileName, profileTable } from "../../core/gpu";
import type { Report } from "../problems";
import { resolveRuntime, runtimePath } from "./resolve";
import type { DockerConfig, MigConfig, NvidiaConfig, RuntimeConfig } from "./schema";

/** What runs containers: what each part says alone, and what the parts of one node say together. Pure. */

/** As Docker numbers its engine since 2017: `28.5.2`. */
const DOCKER_VERSION = /^\d{2}\.\d{1,2}\.\d{1,2}$/;
const DRIVER_VERSION = /^\d{3}(\.\d{1,3}){0,2}$/;
const FINGERPRINT = /^[0-9A-F]{40}$/;
const SHA256 = /^[0-9a-f]{64}$/;
export const GPU_UUID = /^GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Everything that is wrong with the runtime's configuration; what nodes share is said once. */
export function checkRuntime(
  config: {
    runtime?: RuntimeConfig | undefined;
    nodes: readonly { kind: string; name: string; runtime?: RuntimeConfig | undefined }[];
  },
  report: Report,
): void {
  checkParts("runtime", config.runtime ?? {}, report);
  const said = new Set<string>();
  const once: Report = (path, value, problem, allowed) => {
    if (said.has(path)) return;
    said.add(path);
    report(path, value, problem, allowed);
  };
  for (const [i, node] of config.nodes.entries()) {
    checkParts(`nodes[${i}].runtime`, node.runtime ?? {}, report);
    const { gpu, nvidia } = resolveRuntime(config.runtime, node.runtime);
    const at = runtimePath(node, i, "nvidia");
    const own = node.runtime?.nvidia !== undefined;
    if (gpu === "off" && own && asksForGpu(nvidia))
      once(at, nvidia, 'configures GPUs where gpu is "off"', 'gpu: "auto", or no nvidia part');
    if (node.kind === "local" && own && asksForGpu(nvidia))
      once(
        at,
        nvidia,
        "asks for a driver or a MIG layout on a local node, a container without a kernel of its own",
        "both on DigitalOcean or bare-metal nodes",
      );
    if (Array.isArray(nvidia?.mig) && !own && config.nodes.length > 1)
      for (const [k, entry] of nvidia.mig.entries())
        if (typeof entry.gpu === "string" && entry.gpu !== "all")
          once(
            `runtime.nvidia.mig[${k}].gpu`,
            entry.gpu,
            "names one GPU in what all nodes share",
            '"all" or an index here; a UUID at its node, under nodes[…].runtime.nvidia.mig',
          );
  }
}

const asksForGpu = (nvidia: NvidiaConfig | undefined) =>
  nvidia?.driver?.install === true || (nvidia?.mig ?? []).length > 0;

function checkParts(path: string, { docker, nvidia }: RuntimeConfig, report: Report): void {
  if (docker) checkDocker(`${path}.docker`, docker, report);
  if (nvidia) checkNvidia(`${path}.nvidia`, nvidia, report);
}

function checkDocker(path: string, { from, version }: DockerConfig, report: Report): void {
  if (version === undefined) return;
  if (!DOCKER_VERSION.test(version))
    report(`${path}.version`, version, "is no version of Docker", 'three numbers such as "29.3.1"');
  if (from !== "docker")
    report(
      `${path}.version`,
      version,
      "cannot be chosen: the distribution has one version",
      'from: "docker" with it, or no version',
    );
}

function checkNvidia(path: string, { driver, mig, migParted }: NvidiaConfig, report: Report): void {
  if (driver?.install) {
    if (driver.version !== undefined && !DRIVER_VERSION.test(driver.version))
      report(`${path}.driver.version`, driver.version, "is no driver version", '"580" or "580.105.08"');
    if (driver.key !== undefined && !FINGERPRINT.test(driver.key))
      report(
        `${path}.driver.key`,
        driver.key,
        "is no fingerprint",
        "40 hexadecimal digits, A to F large, no blanks",
      );
  }
  if (migParted) {
    if (!/^https:\/\/[^\s'"\\]+\.deb$/.test(migParted.url))
      report(`${path}.migParted.url`, migParted.url, "is no package's address", '"https://….deb"');
    if (!SHA256.test(migParted.sha256))
      report(
        `${path}.migParted.sha256`,
        migParted.sha256,
        "is no SHA-256",
        "64 hexadecimal digits, a to f small",
      );
  }
  if (mig) checkMig(`${path}.mig`, mig, report);
}

function checkMig(path: string, mig: MigConfig, report: Report): void {
  const seen = new Map<string, number>();
  for (const [k, { gpu, layout }] of mig.entries()) {
    const at = `${path}[${k}]`;
    if (typeof gpu === "string" && gpu !== "all" && !GPU_UUID.test(gpu))
      report(
        `${at}.gpu`,
        gpu,
        "is no GPU",
        '"all", an index such as 0, or a UUID as "nvidia-smi -L" shows it',
      );
    const twin = seen.get(String(gpu));
    if (twin !== undefined)
      report(`${at}.gpu`, gpu, `is the GPU of ${path}[${twin}] too`, "one layout for every GPU");
    seen.set(String(gpu), k);
    if (gpu === "all" && mig.length > 1)
      report(`${at}.gpu`, gpu, "stands beside other entries", '"all" alone, or every GPU by itself');
    const problem = layoutProblem(layout);
    if (problem) report(`${at}.layout`, layout, problem.problem, problem.allowed);
  }
}

/** What is wrong with one GPU's layout, whichever GPU it is, or undefined. */
export function layoutProblem(
  layout: MigConfig[number]["layout"],
): { problem: string; allowed: string } | undefined {
  if (layout === "all-disabled") return undefined;
  if (typeof layout === "string") {
    if (isProfileName(/^all-(.+)$/.exec(layout)?.[1] ?? "")) return undefined;
    return {
      problem: "is no layout",
      allowed: `"all-PROFILE", "all-disabled", or instances by profile; known profiles are ${profileTable()}`,
    };
  }
  if (Object.keys(layout).length === 0)
    return {
      problem: "has no instance",
      allowed: '"all-disabled" to switch MIG off, or one instance at least',
    };
  return profileNameProblem(Object.keys(layout));
}

/** Names that no driver can have for a profile. */
export function profileNameProblem(
  names: readonly string[],
): { problem: string; allowed: string } | undefined {
  const wrong = names.find((name) => !isProfileName(name));
  if (wrong === undefined) return undefined;
  return {
    problem: `has "${wrong}", which is no name of a MIG profile`,
    allowed: `a name such as "1g.10gb" or "1g.24gb+me"; known are ${profileTable()}`,
  };
}

/** What the table of known GPUs says against a layout: the node's driver decides. */
export function layoutCaution(
  layout: MigConfig[number]["layout"],
): { problem: string; allowed: string } | undefined {
  if (layout === "all-disabled" || layoutProblem(layout)) return undefined;
  return countsProblem(typeof layout === "string" ? { [layout.slice("all-".length)]: 1 } : layout);
}
