import * as pulumi from "@pulumi/pulumi";
import type { Plan, UserSecrets } from "../config";
import { knownHostsLine, type Node } from "./node";
import { operatorKey, placeStackFiles, userCredentials, workspaceHostKey } from "./secrets";
import { workspaceHost } from "./workspace";

/**
 * Keys, known hosts and ways of signing in of the whole stack, on this computer's disk as soon as every address is known: for people, and
 * for the scripts.
 */
export function placeFiles(
  plan: Plan,
  nodes: readonly Node[],
  secrets: UserSecrets,
  seed: pulumi.Output<string>,
): void {
  const known = nodes.map((node) =>
    pulumi.output({
      name: node.plan.name,
      port: node.plan.sshPort,
      address: node.address,
      hostKey: node.hostKey,
      workspaces: workspaceHost(plan, node),
      options: node.sshOptions,
    }),
  );
  pulumi.all([seed, pulumi.all(known)]).apply(([value, hosts]) => {
    const byName = new Map(hosts.map((host) => [host.name, host]));
    const knownHosts = [
      ...hosts.map(({ address, port, hostKey }) => knownHostsLine(address, port, hostKey)),
      ...plan.users.flatMap((user) => {
        const host = byName.get(user.node);
        if (!host) return [];
        return [
          knownHostsLine(host.workspaces, user.ports.ssh, workspaceHostKey(value, user.name).publicKey),
        ];
      }),
    ].join("");
    const users = new Map(plan.nodes.map(({ name, sshUser }) => [name, sshUser]));
    const access = Object.fromEntries(
      hosts.map(({ name, port, options }) => [name, { user: users.get(name), port, options }]),
    );
    const keys = plan.users.flatMap((user) => {
      const { sshPrivateKey } = userCredentials(value, user, secrets[user.name]?.password);
      return sshPrivateKey === undefined || user.state === "removed"
        ? []
        : [[`user-${user.name}`, sshPrivateKey]];
    });
    placeStackFiles(plan.stack, {
      id_ed25519: operatorKey(value).privateKey,
      known_hosts: knownHosts,
      // How the scripts sign in to each node; the paths are this computer's.
      "ssh.json": `${JSON.stringify(access, null, 2)}\n`,
      ...(Object.fromEntries(keys) as Record<string, string>),
    });
  });
}
