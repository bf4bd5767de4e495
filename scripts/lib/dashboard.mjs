/**
 * @file How Ray's dashboard is opened from this computer: its own address is the cluster's, and answers nobody else.
 * Under a name of its own, as every server of this computer is sent the cookies of localhost. Pure.
 */
import { join } from "node:path";
import { shellQuote } from "./format.mjs";

/** Options of ssh.json that share a connection: a tunnel lives by itself. */
const SHARING = /^Control(Master|Path|Persist)=/;

/**
 * @param {import("./live.mjs").Outputs} outputs with the nodes' ways in, see `withAccess`
 * @param {{stack: string, folder: string}} where `folder`: the stack's, with the key and the known hosts
 * @returns {string[]} two lines, or none where there is no dashboard: the tunnel, and what to open then
 */
export function dashboardLines({ ray, nodes }, { stack, folder }) {
  if (!ray?.dashboard) return [];
  const { hostname, port } = new URL(ray.dashboard);
  const head = nodes?.find(({ role }) => role === "head");
  const words = ["-N", "-L", `${port}:${hostname}:${port}`, ...signIn(head, hostname, folder)];
  const option = stack === "dev" ? "" : ` --stack ${stack}`;
  return [
    `ssh ${words.map(shellQuote).join(" ")}`,
    `then http://ray.localhost:${port}, with the token from: npm run -s status -- --ray-token${option}`,
  ];
}

/**
 * @param {import("./live.mjs").OutputNode | undefined} head
 * @param {string} hostname where no head is known
 * @param {string} folder
 * @returns {string[]}
 */
function signIn(head, hostname, folder) {
  const address = head?.address ?? hostname;
  if (head?.ssh === undefined) {
    const known = `UserKnownHostsFile=${join(folder, "known_hosts")}`;
    return ["-i", join(folder, "id_ed25519"), "-o", known, `root@${address}`];
  }
  const { user, port, options } = head.ssh;
  const alone = options.filter(
    (word, i) => !SHARING.test(word) && !(word === "-o" && SHARING.test(options[i + 1] ?? "")),
  );
  return [...alone, ...(port === 22 ? [] : ["-p", String(port)]), `${user}@${address}`];
}
