import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { ConfigError, hasWorkspace, type Plan, type UserSecrets } from "../config";
import { knownHostsLine, type Node } from "./node";
import { forgetUserKeys, operatorKey, placeStackFiles, userCredentials, workspaceHostKey } from "./secrets";
import { workspaceHost } from "./workspace";

/** What `up` knows of each node's machine, by name. */
const ACCESS = "ssh.json";

/**
 * A node that becomes another kind of machine would lose its homes with the old one, and all in one step: it has to go
 * first. What the nodes were is known on a computer where an `up` of the stack has run; elsewhere the preview shows it.
 *
 * @param folder the stack's, `~/.local/share/berth/stacks/STACK`
 * @throws ConfigError naming every such node.
 */
export function checkKinds(plan: Plan, folder: string): void {
  const file = join(folder, ACCESS);
  if (!existsSync(file)) return;
  const before = JSON.parse(readFileSync(file, "utf8")) as Record<string, { kind?: string }>;
  const problems = plan.nodes.flatMap(({ name, kind }, i) => {
    const was = before[name]?.kind;
    if (was === undefined || was === kind) return [];
    return [
      {
        path: `berth:nodes[${i}].kind`,
        value: kind,
        problem: `is another kind of machine than "${name}" is: ${was}`,
        allowed: `"${was}"; or another name; or take the node out, run up, and put it in again`,
      },
    ];
  });
  if (problems.length > 0) throw new ConfigError(plan.stack, problems);
}

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
    const kinds = new Map(plan.nodes.map(({ name, kind }) => [name, kind]));
    const users = new Map(plan.nodes.map(({ name, sshUser }) => [name, sshUser]));
    const access = Object.fromEntries(
      hosts.map(({ name, port, options }) => [
        name,
        { kind: kinds.get(name), user: users.get(name), port, options },
      ]),
    );
    const keys = userKeys(plan, secrets, value);
    // A preview changes nothing, here either.
    if (!pulumi.runtime.isDryRun()) forgetUserKeys(plan.stack, Object.keys(keys));
    placeStackFiles(plan.stack, {
      id_ed25519: operatorKey(value).privateKey,
      known_hosts: knownHosts,
      // How the scripts sign in to each node; the paths are this computer's.
      [ACCESS]: `${JSON.stringify(access, null, 2)}\n`,
      ...Object.fromEntries(Object.entries(keys).map(([name, key]) => [`user-${name}`, key])),
    });
  });
}

/** The private keys that Berth made for users who have a workspace and no key of their own, by user. Pure. */
export function userKeys(plan: Plan, secrets: UserSecrets, seed: string): Record<string, string> {
  return Object.fromEntries(
    plan.users.flatMap((user) => {
      const { sshPrivateKey } = userCredentials(seed, user, secrets[user.name]?.password);
      return sshPrivateKey === undefined || !hasWorkspace(user) ? [] : [[user.name, sshPrivateKey]];
    }),
  );
}
