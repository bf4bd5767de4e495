import type { DockerOptions } from "./options";

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

/** `at_floor VERSION FLOOR...` in bash, the same rule with dpkg's comparison. Floors are X.Y.Z or X.Y.Z~rc.N. */
export const AT_FLOOR = `
at_floor() {
  local have branch floor
  if [[ ! \${1#v} =~ ^([0-9]+\\.[0-9]+)(\\.([0-9]+))?([-~]?(rc|beta|alpha)\\.?([0-9]+))? ]]; then return 1; fi
  branch=\${BASH_REMATCH[1]} have=\${BASH_REMATCH[1]}.\${BASH_REMATCH[3]:-0}
  # To dpkg "-" starts a revision, and "~" sorts before everything: a candidate before its release.
  if [ -n "\${BASH_REMATCH[5]:-}" ]; then have+="~\${BASH_REMATCH[5]}.\${BASH_REMATCH[6]}"; fi
  shift
  for floor in "$@"; do
    if [[ $floor == "$branch".* ]]; then
      if dpkg --compare-versions "$have" ge "$floor"; then return 0; else return 1; fi
    fi
  done
  for floor in "$@"; do
    floor=$(sed -E 's/^([0-9]+\\.[0-9]+).*/\\1/' <<<"$floor")
    if ! dpkg --compare-versions "$branch" gt "$floor"; then return 1; fi
  done
}
`.trim();

/** Floors as bash words. */
export const words = (floors: readonly string[]) =>
  floors.map((floor) => floor.replace("-rc", "~rc")).join(" ");

/**
 * Tells the versions as facts, and refuses those below their floor unless they are allowed: before anything of an
 * engine that stays is touched, otherwise once the packages are there and before dockerd is started anew.
 */
export function floorsStep(docker: DockerOptions, when: "before" | "after"): string {
  const change =
    docker.version === undefined
      ? ""
      : `
# Another version is about to be installed, and is judged then.
if [[ $(dpkg-query -W -f '\${Version}' docker-ce 2>/dev/null || true) != *:${docker.version}-* ]]; then return 0; fi`;
  const guard =
    when === "before"
      ? `if ! command -v dockerd >/dev/null; then return 0; fi${change}\n: >"$work/judged"`
      : 'if [ -e "$work/judged" ]; then return 0; fi';
  return `
${guard}
${AT_FLOOR}
source=$(cat "$work/docker-from")
docker=$(dockerd --version | sed -n 's/^Docker version \\([^, ]*\\).*/\\1/p')
containerd=$(containerd --version 2>/dev/null | awk '{ print $3 }' || true)
runc=$(runc --version 2>/dev/null | sed -n 's/^runc version //p' || true)
fact dockerFrom "$source"
fact containerd "$containerd"
fact runc "$runc"
mended=
package=$(dpkg -S "$(readlink -f "$(command -v runc || echo /nonexistent)")" 2>/dev/null | cut -d : -f 1 || true)
if [ "$source" = distribution ] && [ -n "$package" ]; then
  # What a distribution mended under an old number stands in its changelog; a rebuild for one machine has a second one.
  for log in "/usr/share/doc/$package"/changelog.Debian*.gz; do
    if [ -r "$log" ]; then mended+=$(zcat "$log" | grep -o -E 'CVE-[0-9]{4}-[0-9]{4,}' || true)$'\\n'; fi
  done
fi
below=() named=() open=()
mends() {
  local cve=$1
  shift
  if grep -q -x "$cve" <<<"$mended"; then named+=("$cve"); elif ! at_floor "$runc" "$@"; then open+=("$cve"); fi
}
if [ -n "$runc" ]; then
${Object.entries(RUNC_CVES)
  .map(([cve, floors]) => `  mends ${cve} ${words(floors)}`)
  .join("\n")}
fi
if [ "\${#named[@]}" -gt 0 ]; then fact_json runcMended "$(printf '%s\\n' "\${named[@]}" | json_lines)"; fi
if [ "\${#open[@]}" -gt 0 ] && ! at_floor "$runc" ${words(FLOORS.runc)}; then
  below+=("runc $runc (${FLOORS.runc.join(", ")})")
fi
if [ "$source" != distribution ]; then
  if [ -n "$containerd" ] && ! at_floor "$containerd" ${words(FLOORS.containerd)}; then
    below+=("containerd $containerd (${FLOORS.containerd.join(", ")})")
  fi
  if ! at_floor "$docker" ${words(FLOORS.docker)}; then below+=("Docker $docker (${FLOORS.docker.join(", ")})"); fi
fi
if [ "\${#below[@]}" -eq 0 ]; then return 0; fi
list=$(printf '%s; ' "\${below[@]}")
list="\${list%; }"
${refusal(docker.allowBelowFloor)}
`;
}

function refusal(allow: boolean | undefined): string {
  const text =
    "below the oldest version without a known way out of a container (in brackets): $list. " +
    "Upgrade (apt-get update && apt-get install --only-upgrade PACKAGE), take Docker's own packages " +
    "(runtime.docker.from: docker), or take the risk by name (runtime.docker.allowBelowFloor: true)";
  const told = `printf 'BELOW THE FLOOR, and taken as configured: %s. A container could get out of its bounds\\n' "$list"`;
  if (allow === true) return told;
  if (allow === false) return `fail "${text}"`;
  return `if [ "$source" != distribution ]; then fail "${text}"; fi\n${told}`;
}
