import { scriptsOf } from "../script";
import { quote, quoteAll } from "../shell";
import type { DockerOptions } from "./options";

const script = scriptsOf(__dirname);

/**
 * The oldest versions without a known way out of a container. Pure.
 *
 * A branch is mended from its own floor on; branches above the last one are, those below the first one are not.
 *  - runc: CVE-2024-21626 ("Leaky Vessels", 1.1.12), then CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881
 *    (runc's release notes of 1.2.8, 1.3.3 and 1.4.0-rc.3);
 *  - containerd: CVE-2024-25621 and CVE-2025-64329 (release notes of 1.7.29, 2.0.7, 2.1.5, 2.2.0);
 *  - Docker: CVE-2024-23651 to -23653, of the BuildKit in it (release notes of 25.0.2).
 */
export const FLOORS = {
  runc: ["1.2.8", "1.3.3", "1.4.0-rc.3"],
  containerd: ["1.7.29", "2.0.7", "2.1.5", "2.2.0"],
  docker: ["25.0.2"],
} as const;

export type FloorTool = keyof typeof FLOORS;

/** The ways out of a runc, each with the versions that have it no more. A distribution's changelog names it where mended. */
export const RUNC_CVES: Readonly<Record<string, readonly string[]>> = {
  "CVE-2024-21626": ["1.1.12"],
  "CVE-2025-31133": FLOORS.runc,
  "CVE-2025-52565": FLOORS.runc,
  "CVE-2025-52881": FLOORS.runc,
};

export interface EngineVersions {
  /** The packages are the distribution's, which mends under old numbers. */
  distribution: boolean;
  /** Empty: not there. */
  runc: string;
  containerd: string;
  docker: string;
  /** CVEs that the changelog of the distribution's runc names. @default [] */
  mended?: readonly string[];
}

/** What is below its floor, `TOOL VERSION (FLOORS)` each. */
export const belowFloors = ({ distribution, mended = [], ...versions }: EngineVersions): string[] =>
  (Object.keys(FLOORS) as FloorTool[]).flatMap((tool) => {
    const version = versions[tool];
    if (version === "" || atFloor(FLOORS[tool], version) || (distribution && tool !== "runc")) return [];
    const closed = ([cve, floors]: [string, readonly string[]]) =>
      atFloor(floors, version) || (distribution && mended.includes(cve));
    if (tool === "runc" && Object.entries(RUNC_CVES).every(closed)) return [];
    return [`${tool} ${version} (${FLOORS[tool].join(", ")})`];
  });

/** True for a version at or above its branch's floor; what is no version is not. */
export function atFloor(versions: readonly string[], version: string): boolean {
  const have = parse(version);
  if (!have) return false;
  const floors = versions.map((floor) => parse(floor) ?? []);
  const own = floors.find((floor) => compare(floor.slice(0, 2), have.slice(0, 2)) === 0);
  if (own) return compare(have, own) >= 0;
  return floors.every((floor) => compare(have.slice(0, 2), floor.slice(0, 2)) > 0);
}

/** `1.4.0-rc.3+ds1` is [1, 4, 0, 3], a release ends with Infinity: it comes after its candidates. */
function parse(version: string): number[] | undefined {
  const match = /^v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-~]?(rc|beta|alpha)\.?(\d+))?/.exec(version.trim());
  if (!match) return undefined;
  const [, major, minor, patch = "0", kind, candidate] = match;
  // Betas come before every candidate.
  const pre = kind === undefined ? Number.POSITIVE_INFINITY : kind === "rc" ? Number(candidate) : -1;
  return [Number(major), Number(minor), Number(patch), pre];
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [i, value] of a.entries()) {
    const other = b[i] ?? 0;
    if (value !== other) return value < other ? -1 : 1;
  }
  return 0;
}

export const AT_FLOOR = script("at-floor.sh");

/** Floors as bash words. */
export const words = (floors: readonly string[]) =>
  floors.map((floor) => floor.replace("-rc", "~rc")).join(" ");

/** Tells the versions as facts, and refuses those below their floor unless they are allowed. */
export function floorsStep(
  { version = "", allowBelowFloor }: DockerOptions,
  when: "before" | "after",
): string {
  const allow = allowBelowFloor === undefined ? "" : allowBelowFloor ? "yes" : "no";
  const floors = Object.entries(FLOORS).map(
    ([tool, list]) => `${tool}_floors=(${words(list)}) ${tool}_text=${quote(list.join(", "))}`,
  );
  const cves = Object.entries(RUNC_CVES).map(([cve, list]) => `${cve} ${words(list)}`);
  return [
    `when=${when} version=${quote(version)} allow=${quote(allow)}`,
    ...floors,
    `runc_cves=(${quoteAll(cves)})`,
    AT_FLOOR,
    script("floors.sh"),
  ].join("\n");
}
