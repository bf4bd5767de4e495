/**
 * @file Tells the people in workspaces: in every terminal that is open, and at each login as long as it holds.
 */
import { onNode } from "./remote.mjs";

/** Read by pam_motd at each login over SSH. */
const NOTICE = "/etc/motd.d/50-berth-node";

/**
 * What becomes of the text that is shown at each login: this one is placed there, or what is there is removed or left.
 * @typedef {"place" | "remove" | "leave"} Login
 */

/**
 * Runs in a workspace as root: the text comes on standard input. A terminal that takes nothing (stopped with Ctrl-S)
 * is left after 2 s. Prints to how many it went.
 * @param {Login} login
 */
const inWorkspace = (login) => `
text=$(cat)
case ${login} in
place)
  mkdir -p /etc/motd.d
  printf "\\n%s\\n\\n" "$text" >${NOTICE}.new && chmod 0644 ${NOTICE}.new && mv -f ${NOTICE}.new ${NOTICE} ;;
remove) rm -f ${NOTICE} ;;
esac
told=0
for terminal in /dev/pts/[0-9]*; do
  if [ -c "$terminal" ] && { printf "\\r\\n\\a"; printf "%s\\n" "$text" | sed "s/\\$/\\r/"; printf "\\r\\n"; } \\
    | timeout 2 tee "$terminal" >/dev/null 2>&1; then told=$((told + 1)); fi
done
echo "$told"`;

/**
 * For bash on a node: every running workspace of the stack is told; one that cannot be is named.
 * @param {string} stack a checked name
 * @param {string[]} lines
 * @param {Login} login
 */
export function tellScript(stack, lines, login) {
  const text = Buffer.from(lines.join("\n")).toString("base64");
  const program = Buffer.from(inWorkspace(login)).toString("base64");
  return `
text=$(printf %s ${text} | base64 -d)
program=$(printf %s ${program} | base64 -d)
docker ps --filter label=berth.stack=${stack} --filter label=berth.component=workspace --format '{{.Names}}\\t{{.Label "berth.owner"}}' |
  while IFS="$(printf '\\t')" read -r name owner; do
    # Its owner is root in it, and says there what they like.
    if told=$(set -o pipefail; printf '%s\\n' "$text" | timeout 30 docker exec -i "$name" sh -c "$program" 2>/dev/null | head -c 10); then
      case $told in *[!0-9]*) told=0 ;; esac
      printf 'T\\t%s\\t%s\\n' "$owner" "$told"
    else
      printf 'F\\t%s\\n' "$owner"
    fi
  done
echo END`;
}

/**
 * @param {string} text what the script printed
 * @returns {{told: {owner: string, terminals: number}[], failed: string[]}}
 */
export function readTold(text) {
  const words = text.split("\n").map((line) => line.split("\t"));
  return {
    told: words
      .filter(([kind]) => kind === "T")
      .map(([, owner = "", count]) => ({ owner, terminals: Number(count) || 0 })),
    failed: words.filter(([kind]) => kind === "F").map(([, owner = ""]) => owner),
  };
}

/**
 * Tells the workspaces of one node.
 * @param {import("./job.mjs").Job} job
 * @param {import("./plan.mjs").TargetNode} node
 * @param {string[]} lines
 * @param {Login} login
 * @returns {Promise<string>} in a few words
 */
export async function tell(job, node, lines, login) {
  const answer = await onNode(job.way, node, tellScript(job.stack, lines, login), { deadlineMs: 120_000 });
  const { told, failed } = readTold(answer);
  for (const owner of failed) job.warnings.push(`the workspace of ${owner} could not be told`);
  if (told.length === 0) return failed.length > 0 ? "none could be told" : "no workspace runs";
  return told
    .map(({ owner, terminals }) => `${owner} (${terminals} terminal${terminals === 1 ? "" : "s"})`)
    .join(", ");
}
