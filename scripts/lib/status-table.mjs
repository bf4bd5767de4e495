/**
 * @file What `npm run status` prints for people. Pure.
 */
import { dashboardLines } from "./dashboard.mjs";
import { table } from "./format.mjs";
import { tunnelText } from "./tunnels.mjs";

/**
 * @param {import("./live.mjs").Status} status
 * @param {import("./live.mjs").Outputs} outputs with the nodes' ways in
 * @param {{stack: string, folder: string}} where `folder`: the stack's
 */
export function statusTable({ nodes, users, ray }, outputs, where) {
  const parts = [
    table(
      ["NODE", "KIND", "ROLE", "ADDRESS", "STATE"],
      nodes.map(({ name, kind, role, address, state }) => [name, kind, role, address, state]),
    ),
  ];
  if (users.length > 0) {
    const head = ["USER", "NODE", "STATE", "SSH", "VS CODE", "JUPYTER", "TENSORBOARD"];
    const rows = users.map(({ name, node, state, ssh, urls }) => [
      name,
      node,
      state,
      `ssh -p ${ssh.port} ${name}@${ssh.host}`,
      urls.code,
      urls.jupyter,
      urls.tensorboard,
    ]);
    parts.push(table(head, rows));
    const tunnels = tunnelText(users);
    if (tunnels) parts.push(tunnels);
  }
  const managers = Object.entries(outputs.managers ?? {});
  if (managers.length > 0)
    parts.push(
      table(
        ["CONTAINER MANAGER", "URL", "CONTAINERS AT"],
        managers.map(([name, { DOCKER_HOST, DOCKER_HOST_URL }]) => [name, DOCKER_HOST_URL, DOCKER_HOST]),
      ),
    );
  if (ray) {
    const [tunnel, then] = dashboardLines(outputs, where);
    const dashboard = tunnel === undefined ? "" : `\nIts dashboard: ${tunnel}\n               ${then}`;
    parts.push(`Ray: ${ray.nodes ?? "?"} of ${nodes.length} nodes alive${dashboard}`);
  }
  return parts.join("\n\n");
}
