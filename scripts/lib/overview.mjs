/**
 * @file The table at the end of `npm start`.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { dashboardLines } from "./dashboard.mjs";
import { shellQuote, table } from "./format.mjs";
import { tunnelText } from "./tunnels.mjs";

/**
 * @param {Record<string, any>} outputs the stack's outputs `users` and `ray`
 * @param {{stack: string, folder: string}} where `folder`: the stack's folder with the key for nodes
 * @returns {string}
 */
export function overview(outputs, { stack, folder }) {
  const option = stack === "dev" ? "" : ` --stack ${stack}`;
  const dashes = option ? ` --${option}` : "";
  const lines = [];
  const users = Array.isArray(outputs.users) ? outputs.users : [];
  if (users.length > 0) {
    const rows = users.map((user) => [
      user.name,
      user.node,
      user.ssh ? `ssh -p ${user.ssh.port} ${user.name}@${user.ssh.host}` : "",
      user.urls?.code ?? "",
      user.urls?.jupyter ?? "",
      user.urls?.tensorboard ?? "",
    ]);
    lines.push(table(["USER", "NODE", "SSH", "VS CODE", "JUPYTER", "TENSORBOARD"], rows), "");
    const tunnels = tunnelText(users);
    if (tunnels) lines.push(tunnels, "");
    lines.push(`Passwords and tokens:  npm run -s status -- --credentials ${users[0].name}${option}`);
    const own = users.filter((user) => existsSync(join(folder, `user-${user.name}`)));
    if (own.length > 0) {
      const key = own.length === 1 ? own[0].name : `{${own.map((user) => user.name).join(",")}}`;
      lines.push(`Keys made for SSH:     ${shellQuote(folder)}/user-${key}  (ssh -i KEY …)`);
    }
  }
  for (const [node, manager] of Object.entries(outputs.managers ?? {}))
    lines.push(
      `Container manager:     ${manager.DOCKER_HOST_URL}  (for back-ends: npm run -s status -- --env ${node}${option})`,
    );
  const [tunnel, then] = dashboardLines(outputs, { stack, folder });
  if (tunnel !== undefined) lines.push(`Ray dashboard:         ${tunnel}`, `                       ${then}`);
  lines.push(
    "",
    "Next:",
    `  npm run status${dashes}    what is up`,
    `  edit Pulumi.${stack}.yaml, then npm run preview${dashes} and npm run up${dashes}`,
    `  npm run destroy${dashes}   takes it all down`,
  );
  return lines.join("\n");
}
