/**
 * @file What a node says about itself: its start, its mark, its workspaces, its Ray.
 */
import { CommandError } from "../lib/process.mjs";
import { onNode } from "./remote.mjs";

/** Where a node says that it is drained. */
export const MARK = "/var/lib/berth/drained";

/** A node that has not answered after so long is taken for one that does not answer. */
const ASK_MS = 30_000;

/**
 * @typedef {"running" | "starting" | "draining" | "drained" | "down" | "old" | "none"} RayState `drained`: nothing of
 *   Ray runs, nor will; `down`: its container does not run; `old`: its image does not know how to stay drained;
 *   `none`: the node has no Ray
 *
 * @typedef {object} WorkspaceFacts
 * @property {string} name of the container
 * @property {string} owner
 * @property {string} state as Docker says it
 * @property {boolean} healthy
 * @property {number} terminals open ones
 *
 * @typedef {object} Facts
 * @property {string} boot changes whenever the machine starts: the kernel's boot id, and when its first process began
 *   (a container's kernel is its host's)
 * @property {boolean} docker whether its engine answers
 * @property {import("./plan.mjs").Mark | undefined} mark
 * @property {WorkspaceFacts[]} workspaces
 * @property {RayState} ray
 * @property {string | undefined} rayContainer its name
 * @property {true} [homesOnDisk] homes of people lie on the disk that the system is on, and go with the machine
 */

/**
 * @param {string} stack a checked name
 * @param {{homes: string, system: string}} [at] absolute paths without blanks, other ones in tests
 * @returns {string} for bash
 */
export function factsScript(stack, { homes, system } = { homes: "/mnt/storage/homes", system: "/" }) {
  const label = `--filter label=berth.stack=${stack}`;
  const format =
    '{{.Label "berth.component"}}\\t{{.Names}}\\t{{.Label "berth.owner"}}\\t{{.State}}\\t{{.Status}}';
  return `
start=$(cut -d ' ' -f 22 /proc/1/stat)
printf 'B\\t%s/%s\\n' "$(cat /proc/sys/kernel/random/boot_id)" "$start"
if [ -e ${MARK} ]; then printf 'M\\t%s\\n' "$(base64 -w 0 ${MARK})"; fi
# An NFS server that is away must not hold this up; what is on one is not on the machine's disk.
if [ -n "$(timeout 5 ls -A ${homes} 2>/dev/null)" ] && [ "$(timeout 5 stat -L -c %d ${homes})" = "$(stat -c %d ${system})" ]; then
  printf 'H\\n'
fi
if list=$(timeout 15 docker ps --all ${label} --format '${format}' 2>/dev/null); then
  printf 'D\\n'
  printf '%s\\n' "$list" | while IFS="$(printf '\\t')" read -r component name owner state status; do
    case $component in
    workspace)
      open=0
      if [ "$state" = running ]; then
        open=$(timeout 15 docker exec "$name" ls /dev/pts </dev/null 2>/dev/null | grep -c '^[0-9]' || true)
      fi
      printf 'W\\t%s\\t%s\\t%s\\t%s\\t%s\\n' "$name" "$owner" "$state" "$status" "$open" ;;
    ray)
      ray=down
      if [ "$state" = running ]; then
        code=0
        # Ray's tasks have the same account, and could write into this answer.
        ray=$(set -o pipefail; timeout 15 docker exec "$name" berth-ray state </dev/null 2>/dev/null | head -c 20) || code=$?
        # 2: "usage". Anything else: it is just starting or ending.
        if [ "$code" = 2 ]; then ray=old; elif [ "$code" != 0 ]; then ray=starting; fi
        case $ray in *[!a-z]*) ray=starting ;; esac
      fi
      printf 'R\\t%s\\t%s\\n' "$name" "$ray" ;;
    esac
  done
fi
echo END`;
}

/**
 * @param {string} text what the script printed
 * @returns {Facts | undefined} undefined: it did not get to its end
 */
export function readFacts(text) {
  const lines = text.split("\n");
  if (!lines.includes("END")) return undefined;
  /** @type {Facts} */
  const facts = {
    boot: "",
    docker: false,
    mark: undefined,
    workspaces: [],
    ray: "none",
    rayContainer: undefined,
  };
  for (const line of lines) {
    const [kind, a = "", b = "", c = "", d = "", e = ""] = line.split("\t");
    if (kind === "B") facts.boot = a;
    if (kind === "D") facts.docker = true;
    if (kind === "M") facts.mark = readMark(a);
    if (kind === "H") facts.homesOnDisk = true;
    if (kind === "W")
      facts.workspaces.push({
        name: a,
        owner: b,
        state: c,
        healthy: c === "running" && /\(healthy\)/.test(d),
        terminals: Number(e) || 0,
      });
    if (kind === "R") {
      facts.rayContainer = a;
      facts.ray = /^(running|starting|draining|drained|down|old)$/.test(b)
        ? /** @type {RayState} */ (b)
        : "down";
    }
  }
  return facts;
}

/**
 * A mark that cannot be read still says that the node is out.
 * @param {string} base64
 * @returns {import("./plan.mjs").Mark}
 */
function readMark(base64) {
  /** @type {any} */
  let found;
  try {
    found = JSON.parse(Buffer.from(base64, "base64").toString("utf8"));
  } catch {
    found = {};
  }
  const text = (/** @type {unknown} */ value, /** @type {string} */ otherwise) =>
    typeof value === "string" ? value : otherwise;
  const time = (/** @type {unknown} */ value) =>
    typeof value === "string" && !Number.isNaN(Date.parse(value)) ? value : new Date(0).toISOString();
  return {
    since: time(found?.since),
    reason: text(found?.reason, "for an unknown reason"),
    by: found?.by === "reboot" || found?.by === "replace" ? found.by : "drain",
    deadline: time(found?.deadline),
    boot: text(found?.boot, ""),
    workspaces: Array.isArray(found?.workspaces) ? found.workspaces.map(String) : [],
    keep: found?.keep !== false,
  };
}

/**
 * @param {import("./remote.mjs").Way} way
 * @param {string} stack
 * @param {import("./plan.mjs").TargetNode} node
 * @param {(line: string) => void} [warn] why it does not answer
 * @returns {Promise<Facts | undefined>} undefined: it does not answer
 */
export async function askNode(way, stack, node, warn = () => {}) {
  try {
    return readFacts(await onNode(way, node, factsScript(stack), { deadlineMs: ASK_MS }));
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    warn([error.message, ...error.output].join(": "));
    return undefined;
  }
}
