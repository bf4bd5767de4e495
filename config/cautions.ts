import { countsProblem } from "../core/gpu";
import { defaultProfile, hasDriver, nodeRuntime } from "./gpu/resolve";
import { layoutCaution } from "./runtime/check";
import { runtimePath } from "./runtime/resolve";
import type { StackConfig } from "./schema";
import { hasWorkspace } from "./users/resolve";

/** What a configuration that is not refused should not be followed without knowing. Told in each preview and update. Pure. */
export function cautionsOf(config: StackConfig): string[] {
  return [...serviceCautions(config), ...managerCautions(config), ...gpuCautions(config)];
}

/** The option that gives up what keeps two people of one node apart in a browser. */
function serviceCautions({ workspaces: { services } }: StackConfig): string[] {
  if (services !== "published-insecure") return [];
  return [
    'berth:workspaces.services is "published-insecure": VS Code, Jupyter and TensorBoard of everybody on a node share its ' +
      "address, and a browser sends the cookies of an address to each of its ports. Whoever is signed in and opens a " +
      "neighbour's link hands over the sign-in, and the neighbour can act as them. Take the key out, and people reach " +
      "their services through SSH, at a name of their own",
  ];
}

const goes = (what: string) =>
  `ALL THAT ${what} IS DELETED FOR GOOD, and no update brings it back: containers with their files, volumes, main images, kept ` +
  "packages and logs";
const AFTER = "Take the name out of the list again when the update is done";

/** What back-ends of a stack give up: encryption, and ports that only few reach. */
function managerCautions({ manager, ports, users }: StackConfig): string[] {
  if (!manager) return [];
  const { listen, plainHttp, publish, allow, repositories, purge } = manager;
  const whom = allow?.join(", ") ?? "everybody";
  return [
    ...(listen === "public" && plainHttp
      ? [
          `berth:manager.plainHttp is true: port ${manager.port} is open to ${whom} without encryption. Whoever is on the way reads ` +
            "the tenants' tokens, and with them has all of their containers. Give the manager a certificate (berth:manager.tls), or " +
            "let it listen on loopback behind a proxy with TLS",
        ]
      : []),
    ...purge.tenants.map(
      (name) => `berth:manager.purge.tenants has ${name}: ${goes("IT HAD")}, on every node. ${AFTER}`,
    ),
    ...purge.nodes.map(
      (name) => `berth:manager.purge.nodes has ${name}: ${goes("TENANTS HAD THERE")}. ${AFTER}`,
    ),
    ...(publish === "public"
      ? [
          `berth:manager.publish is "public": what containers publish is open to ${whom}, as their programs serve it, with no sign-in ` +
            "of Berth's before it",
        ]
      : []),
    ...repositories.hosts.flatMap(({ host, insecure }, i) =>
      insecure
        ? [
            `berth:manager.repositories.hosts[${i}].insecure is true: tokens of repositories go to ${host} without encryption`,
          ]
        : [],
    ),
    ...(users.length === 0 && ports.containers === undefined
      ? [
          "berth:ports.containers is left out: containers of back-ends have the ports 10000-20000 as long as the stack has no users, " +
            "and 20000-29999 with the first one. Write the key, so that no container's port changes then",
        ]
      : []),
  ];
}

/**
 * What Berth's own tables say against a configuration that a real node may still be right about: which GPUs there are,
 * and how they can be divided, is the driver's to say. Once for each place.
 */
function gpuCautions(config: StackConfig): string[] {
  const found = new Map<string, string>();
  const caution = (path: string, problem: { problem: string; allowed: string } | undefined) => {
    if (!problem || found.has(path)) return;
    found.set(
      path,
      `berth:${path} ${problem.problem}, as far as Berth knows (${problem.allowed}). The node's driver decides: it is asked ` +
        "before anything is changed there, and what it does not offer is refused",
    );
  };
  for (const [i, node] of config.nodes.entries()) {
    const runtime = nodeRuntime(config, node);
    if (!hasDriver(node, runtime)) continue;
    for (const [k, entry] of (runtime.nvidia?.mig ?? []).entries())
      if (!("optional" in entry))
        caution(`${runtimePath(node, i, "nvidia")}.mig[${k}].layout`, layoutCaution(entry.layout));
    const profile = defaultProfile(config.limits);
    if (profile !== undefined) caution("limits.gpu_allocation.mig_profile", known(profile));
    if (node.ray?.gpu?.profile !== undefined)
      caution(`nodes[${i}].ray.gpu.profile`, known(node.ray.gpu.profile));
    for (const [u, user] of config.users.entries())
      if (user.node === node.name && hasWorkspace(user) && user.gpu?.profile !== undefined)
        caution(`users[${u}].gpu.profile`, known(user.gpu.profile));
  }
  return [...found.values()];
}

const known = (profile: string) => countsProblem({ [profile]: 1 });
