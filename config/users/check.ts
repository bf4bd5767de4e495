import { WEB_SERVICES, WORKSPACE_INNER_PORTS } from "../../core/containers";
import { USER_NAME } from "../../core/names";
import { checkPublicKey } from "../machines/ssh-keys";
import { PORTS_PER_USER, type PortPlan, userPorts } from "../network/ports";
import { type Report, reportTwin } from "../problems";
import type { StackConfig } from "../schema";
import { sizeText } from "../values";
import { hasWorkspace, mustRun, userResources } from "./resolve";

/** The people of the stack: their names, ports and what their workspaces use. Pure. */

/** System accounts of Debian and Ubuntu base installs, and ours: a workspace user may not be one. */
export const reservedNames = new Set(
  (
    "root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc _apt nobody nogroup " +
    "systemd-network systemd-resolve systemd-timesync messagebus sshd polkitd syslog uuidd tcpdump landscape " +
    "admin sudo docker adm tty disk kmem staff users shadow utmp video audio plugdev berth ray system shared datasets"
  ).split(" "),
);

export function checkUsers(config: StackConfig, ports: PortPlan, report: Report): void {
  const nodeNames = config.nodes.map((n) => n.name);
  for (const [i, user] of config.users.entries()) {
    const path = `users[${i}]`;
    if (!USER_NAME.test(user.name) || reservedNames.has(user.name))
      report(
        `${path}.name`,
        user.name,
        reservedNames.has(user.name) ? "is a system account" : "is no Linux user name",
        "a lower-case letter, then lower-case letters, digits, '_' or '-', at most 32, and no system account",
      );
    reportTwin(config.users, i, { list: "users", what: "user", report });
    if (!nodeNames.includes(user.node))
      report(`${path}.node`, user.node, "is no node of this stack", `one of ${nodeNames.join(", ")}`);
    if (user.index >= ports.users.blocks)
      report(
        `${path}.index`,
        user.index,
        "is past the last block of ports",
        `0 to ${ports.users.blocks - 1} (${PORTS_PER_USER} ports each, from ${ports.users.start})`,
      );
    const same = config.users.findIndex((u) => u.index === user.index);
    if (same < i)
      report(
        `${path}.index`,
        user.index,
        `is the index of users[${same}] ("${config.users[same]?.name}") too`,
        "an index of its own for every user: it decides the ports and the uid",
      );
    for (const service of WEB_SERVICES) {
      const port = userPorts(ports, user.index)[service];
      if (WORKSPACE_INNER_PORTS.includes(port))
        report(
          "ports.users.start",
          ports.users.start,
          `gives ${user.name} the port ${port}, on which another program inside every workspace listens`,
          `a start that gives nobody one of ${WORKSPACE_INNER_PORTS.join(", ")} for a service`,
        );
    }
    for (const [k, key] of user.keys.entries()) checkPublicKey(`${path}.keys[${k}]`, key, report);
    if (user.purge && hasWorkspace(user))
      report(
        `${path}.purge`,
        user.purge,
        `deletes the home of a workspace that is ${user.state}`,
        'purge: true only with state: "removed"',
      );
    checkResources(config, path, i, report);
  }
  for (const [i, node] of config.nodes.entries()) {
    const here = config.users.filter((u) => u.node === node.name && mustRun(u));
    const reserved = here.reduce((sum, u) => sum + userResources(config, u).memoryReservationBytes, 0);
    if (reserved > node.memory)
      report(
        `nodes[${i}].memory`,
        sizeText(node.memory),
        `is less than the reservations of its workspaces (${sizeText(reserved)} for ${here.map((u) => u.name).join(", ")})`,
        "more memory, smaller reservations, or users on another node",
      );
  }
}

function checkResources(config: StackConfig, path: string, i: number, report: Report): void {
  const user = config.users[i];
  const node = config.nodes.find((n) => n.name === user?.node);
  if (!user || !node) return;
  const resources = userResources(config, user);
  // Where the value is written: what all workspaces share is said once, not once for each user.
  const at = (key: "memory" | "cpus") =>
    user[key] === undefined && config.workspaces[key] !== undefined ? `workspaces.${key}` : `${path}.${key}`;
  if (resources.memoryBytes > node.memory)
    report(
      at("memory"),
      sizeText(resources.memoryBytes),
      `is more than node "${node.name}" has`,
      `at most ${sizeText(node.memory)}`,
    );
  if (resources.cpus > node.cpus)
    report(at("cpus"), resources.cpus, `is more than node "${node.name}" has`, `at most ${node.cpus}`);
  for (const key of ["memoryReservation", "shm"] as const)
    if ((user[key] ?? 0) > resources.memoryBytes)
      report(
        `${path}.${key}`,
        sizeText(user[key] ?? 0),
        "is more than the workspace's memory",
        `at most ${sizeText(resources.memoryBytes)}`,
      );
}
