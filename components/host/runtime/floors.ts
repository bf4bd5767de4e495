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
  /** Whose packages the engine is of. */
  from: "distribution" | "docker" | "other";
  /** As the tools print them: `1.1.5+ds1`, `1.4.0-rc.3`, `29.3.1`. Empty where one is not there. */
  runc: string;
  containerd: string;
  docker: string;
  /** CVEs that the changelog of the distribution's runc names as mended. */
  mended?: readonly string[];
}

export interface FloorReport {
  /**
   * `ok`: at or above the floor. `backports`: a lower number, but the distribution's changelog names every mend.
   * `below`: a lower number, and some are not named: see `open`. `unknown`: there is no runc, or no number.
   */
  runcFloor: "ok" | "backports" | "below" | "unknown";
  /** CVEs of runc that nothing says are mended. */
  open: string[];
  /** `runc 1.1.5 (1.2.8, 1.3.3, 1.4.0-rc.3)`: what is below its floor by all that is known. */
  below: string[];
}

/**
 * Judges an engine. A distribution mends old versions under their old number, so of its packages only runc is
 * judged, and by its changelog; its containerd and Docker are left to the distribution's security updates.
 */
export function checkFloors(versions: EngineVersions): FloorReport {
  const report: FloorReport = { runcFloor: "ok", open: [], below: [] };
  for (const tool of Object.keys(FLOORS) as FloorTool[]) {
    if (tool !== "runc" && versions.from === "distribution") continue;
    if (versions[tool] === "" || atFloor(FLOORS[tool], versions[tool])) continue;
    if (tool === "runc") {
      const mended = versions.from === "distribution" ? (versions.mended ?? []) : [];
      report.open = Object.entries(RUNC_CVES)
        .filter(([cve, floors]) => !atFloor(floors, versions.runc) && !mended.includes(cve))
        .map(([cve]) => cve);
      report.runcFloor = report.open.length === 0 ? "backports" : "below";
      if (report.open.length === 0) continue;
    }
    report.below.push(`${tool} ${versions[tool]} (${FLOORS[tool].join(", ")})`);
  }
  if (parse(versions.runc) === undefined) report.runcFloor = "unknown";
  return report;
}

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
