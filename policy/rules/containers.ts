import { containerPolicies, LABEL, SYSTEM } from "../../core/containers";
import { type HostPath, hostPaths, normal } from "./paths";
import {
  bare,
  CONTAINER,
  DOCKER_VOLUME,
  type Facts,
  fields,
  isEmpty,
  isUnknown,
  items,
  labelsOf,
  type Props,
  type Rule,
  text,
  texts,
  type Value,
} from "./rule";

const { node, registry, workspace } = containerPolicies;

/** Whether the owner is a person. */
export const isPersons = (owner: string | undefined): owner is string =>
  owner !== undefined && owner !== "" && owner !== SYSTEM;

/**
 * Whether it is a local node; what is a person's is none, whatever its component. A local node may do what is refused to
 * all others, as it is a whole machine: systemd inside it mounts, sets up networks and runs a Docker engine of its own.
 */
const isMachine = (component: string | undefined, owner: string | undefined): boolean =>
  component === node.component && !isPersons(owner);

/** Components that may share the node's own network, where they are no person's. */
const ON_THE_NODES_NETWORK = new Set(
  Object.values(containerPolicies)
    .filter(({ network }) => network === "host")
    .map(({ component }) => component),
);

/** Components without a limit of CPUs, and why. */
const NO_CPU_LIMIT: Readonly<Record<string, string>> = {
  [registry.component]:
    "it works in short bursts when a node pulls; a limit would slow the start of every node",
};

/** Capabilities that lead out of a container, or reach the host's network, clock or kernel. */
const CAPABILITIES = new Set(
  (
    "ALL AUDIT_CONTROL BPF DAC_READ_SEARCH LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE NET_ADMIN PERFMON SYSLOG " +
    "SYS_ADMIN SYS_BOOT SYS_MODULE SYS_PTRACE SYS_RAWIO SYS_TIME"
  ).split(" "),
);

/** Folders of the host that give it away when a container sees them. */
const HOST_FOLDERS = new Set(
  "/ /boot /dev /etc /proc /root /run /sys /usr /var /var/lib /var/lib/containerd /var/lib/docker /var/run".split(
    " ",
  ),
);
/** Folders of the host that give it away by what lies in them too: other people's files, engines' sockets and data. */
const CLOSED_FOLDERS =
  "/boot /proc /root /run/containerd /run/crio /run/docker /run/podman /run/user /var/lib/containerd /var/lib/docker".split(
    " ",
  );
const SOCKET = /(^|\/)(docker|containerd|podman|crio|cri-dockerd|buildkitd)\.sock(\.ttrpc)?$/;

const LOGS = ["json-file", "local"];

/** What takes the rights to gain rights away (docker run, "--security-opt"): later ones win, so that none may say no. */
const NO_NEW_RIGHTS = /^no-new-privileges([=:](true|1))?$/;

function limits(props: Props, component: string | undefined): string[] {
  const found: string[] = [];
  const memory = bare(props.memory);
  if (!isUnknown(props.memory)) {
    if (typeof memory !== "number" || memory <= 0)
      found.push("memory is not set: give the container a limit in MiB");
    else if (!isUnknown(props.memorySwap) && bare(props.memorySwap) !== memory)
      found.push(
        `memorySwap is ${String(bare(props.memorySwap) ?? "not set")}: set it to memory (${memory}), or the container swaps beyond its limit`,
      );
  }
  if (isEmpty(props.cpus) && NO_CPU_LIMIT[component ?? ""] === undefined)
    found.push(
      `cpus is not set: give the container a limit, or name its component with the reason in policy/rules/containers.ts`,
    );
  const driver = text(props.logDriver);
  const options = fields(props.logOpts);
  if (!isUnknown(props.logDriver) && !isUnknown(props.logOpts)) {
    if (driver === undefined || !LOGS.includes(driver))
      found.push(`logDriver is ${driver ?? "not set"}: use ${LOGS.join(" or ")}, which can be limited`);
    for (const option of ["max-size", "max-file"])
      if (isEmpty(options[option]))
        found.push(`logOpts["${option}"] is not set: its logs could fill the disk`);
  }
  return found;
}

function owner(props: Props, stack: string): string[] {
  const labels = labelsOf(props);
  const found = [LABEL.owner, LABEL.stack, LABEL.component]
    .filter((name) => isEmpty(labels[name]))
    .map((name) => `label ${name} is missing: use ownerLabels() of core/containers`);
  const said = text(labels[LABEL.stack]);
  if (said && said !== stack)
    found.push(`label ${LABEL.stack} says "${said}" in the stack "${stack}": use the stack's own name`);
  return found;
}

/** Devices of the node, which only a grant gives: by CDI, each by its name. */
function devices(props: Props): string[] {
  const found = items(props.devices).map(
    (item, i) =>
      `devices[${i}] (${text(fields(item).hostPath) ?? "not known yet"}) is a device of the host: leave it out, GPUs come by grants`,
  );
  if (items(props.deviceCgroupRules).length > 0)
    found.push("deviceCgroupRules opens devices of the host: leave it out");
  if (!isUnknown(props.gpus) && !isEmpty(props.gpus))
    found.push("gpus hands GPUs over past the grants: ask for them under berth:users[].gpu");
  for (const [i, item] of items(props.deviceRequests).entries()) {
    const { driver, count, deviceIds } = fields(item);
    const named = isUnknown(driver) || text(driver) === "cdi";
    const all = texts(deviceIds).some((id) => /=all$/.test(id)) || ![undefined, 0].includes(number(count));
    if (!named || all)
      found.push(`deviceRequests[${i}] asks for more than granted devices: name each by CDI, as kind=UUID`);
  }
  return found;
}

const number = (value: Value | undefined): number | undefined => {
  const found = bare(value);
  return typeof found === "number" ? found : undefined;
};

/** Nothing in it gains rights by a setuid program, but for who is root in their own workspace anyway. */
function rights(props: Props, component: string | undefined, owner: string | undefined, sudo: Facts["sudo"]) {
  if (component === workspace.component && owner !== undefined && sudo.includes(owner)) return [];
  if (isUnknown(props.securityOpts) || items(props.securityOpts).some(isUnknown)) return [];
  const said = texts(props.securityOpts).filter((option) => option.startsWith("no-new-privileges"));
  if (said.length > 0 && said.every((option) => NO_NEW_RIGHTS.test(option))) return [];
  return [
    'securityOpts lacks "no-new-privileges:true": a setuid program would gain rights (only the workspace of a user with sudo may leave it out)',
  ];
}

/** What is wrong with a path of the host that a container sees. */
function hostPath({ at, path }: Pick<HostPath, "at" | "path">): string[] {
  // A name: of a volume, of an NFS server.
  if (!path.startsWith("/")) return [];
  const said = normal(path);
  // Debian's /var/run is a link to it.
  const real = said.replace(/^\/var\/run(?=\/|$)/, "/run");
  if (SOCKET.test(real)) return [`${at} is the socket of a container engine, which is root on the host`];
  const closed = CLOSED_FOLDERS.some((folder) => `${real}/`.startsWith(`${folder}/`));
  if (closed || HOST_FOLDERS.has(real))
    return [`${at} is ${said} of the host: mount only the folder that it needs`];
  return [];
}

function isolation(props: Props, component: string | undefined, owner: string | undefined): string[] {
  const found: string[] = [];
  if (bare(props.privileged) === true)
    found.push("privileged: true gives it the whole host: name the capabilities that it needs");
  found.push(...hostPaths(props).flatMap(hostPath));
  if (isMachine(component, owner)) return found;
  for (const mode of ["pidMode", "ipcMode", "usernsMode", "cgroupnsMode"])
    if (text(props[mode]) === "host") found.push(`${mode}: "host" shares the host's own: leave it private`);
  if (text(props.networkMode) === "host" && (isPersons(owner) || !ON_THE_NODES_NETWORK.has(component ?? "")))
    found.push('networkMode: "host" puts it on the node\'s network: publish the ports that it needs');
  for (const name of texts(fields(props.capabilities).adds))
    if (CAPABILITIES.has(name.replace(/^CAP_/i, "").toUpperCase()))
      found.push(`capability ${name} leads out of the container: leave it out`);
  for (const option of texts(props.securityOpts))
    if (/[=:](unconfined|disable)$/.test(option) || /^writable-cgroups([=:](true|1))?$/.test(option))
      found.push(`securityOpts "${option}" turns a protection off: leave it out`);
  return [...found, ...devices(props)];
}

/**
 * Every container has limits of memory (no swap beyond it), CPUs and logs, says whose it is, gains no rights and stays
 * inside.
 *
 * Local nodes (label `berth.component` = `node`, and no person's) are whole machines and may have capabilities and
 * options that others may not; limits, labels, `privileged` and mounts are the same for them. A volume of Docker is none
 * of the host's folders by another name.
 */
export const containers: Rule = {
  name: "containers-limited-and-labelled",
  description: "Every container has limits and an owner, and does not reach the host.",
  check: ({ type, props }, { stack, sudo }) => {
    // A volume of Docker's driver "local" is what its device says.
    if (type === DOCKER_VOLUME)
      return hostPath({ at: "driverOpts.device", path: text(fields(props.driverOpts).device) ?? "" });
    if (type !== CONTAINER) return [];
    const { [LABEL.component]: of, [LABEL.owner]: by } = labelsOf(props);
    const component = text(of);
    return [
      ...limits(props, component),
      ...owner(props, stack),
      ...isolation(props, component, text(by)),
      ...(isMachine(component, text(by)) ? [] : rights(props, component, text(by), sudo)),
    ];
  },
};
