/** What a container of each kind may do, whoever makes it. Pure. */

/**
 * `workspace`: a person's. `created`: made by berthd for a person. `ray` and `registry`: the stack's own on a node.
 * `node`: a local node, a whole machine on the operator's engine.
 */
export type ContainerKind = "workspace" | "created" | "ray" | "registry" | "node";

export interface ContainerPolicy {
  /** Its label `berth.component`. */
  component: string;
  /** All that it keeps, without `CAP_`; every other one is dropped. */
  capabilities: readonly string[];
  /** Beside `no-new-privileges`, which only a local node and the workspace of a user with sudo go without. */
  securityOptions?: readonly string[];
  /** Programs in it may gain rights by a setuid program. @default false */
  mayGainRights?: true;
  /** Stated where an engine's own default may be another one. */
  privileged?: false;
  cgroupns?: "private";
  ipc?: "private";
  /** Docker's init, which reaps what a program leaves behind; the images of the stack bring their own. @default false */
  init?: true;
  /** @default the network that its spec names, else the engine's default one */
  network?: "host";
  restart: "unless-stopped" | "no";
  logs: { driver: "json-file" | "local"; maxSize: string; maxFiles: number };
  /** Processes, where its spec gives no number. @default no limit */
  pids?: number;
}

/** What common images need to start as root and become somebody else; none reaches outside the container. */
const COMMON = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"];

/** A container in which a person's programs run. */
const PERSONS = { privileged: false, cgroupns: "private", ipc: "private" } as const;

/** The network of the containers that berthd makes, on each node: none of them reaches another one, nor a workspace. */
export const CREATED_NETWORK = { name: "berth-containers", bridge: "berth-ct0" } as const;

export const containerPolicies: Readonly<Record<ContainerKind, ContainerPolicy>> = {
  workspace: {
    ...PERSONS,
    component: "workspace",
    // The least with which sshd, sudo, apt and the supervisor work (each was tried without). None of them reaches
    // outside: no SYS_ADMIN, no NET_ADMIN, no raw sockets, no devices.
    capabilities: [...COMMON, "AUDIT_WRITE", "SYS_CHROOT"].sort(),
    restart: "unless-stopped",
    logs: { driver: "json-file", maxSize: "10m", maxFiles: 2 },
  },
  created: {
    ...PERSONS,
    component: "container",
    capabilities: COMMON,
    init: true,
    // berthd says what runs: a container that Docker started again by itself would run without a grant.
    restart: "no",
    logs: { driver: "local", maxSize: "10m", maxFiles: 3 },
    pids: 4096,
  },
  ray: {
    component: "ray",
    capabilities: [],
    // Every port of Ray's is pinned by the plan, behind the node's firewall.
    network: "host",
    restart: "unless-stopped",
    logs: { driver: "json-file", maxSize: "10m", maxFiles: 2 },
  },
  registry: {
    component: "registry",
    capabilities: [],
    restart: "unless-stopped",
    logs: { driver: "json-file", maxSize: "5m", maxFiles: 2 },
  },
  node: {
    component: "node",
    // What systemd, sshd, Docker and ufw need inside a node, and no more: Docker's default set, and what mounting,
    // networking and tracing take. Not `privileged`, as hosts that bar one capability refuse that altogether.
    capabilities: (
      "AUDIT_WRITE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK KILL MKNOD NET_ADMIN " +
      "NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_CHROOT SYS_NICE SYS_PTRACE"
    ).split(" "),
    securityOptions: ["seccomp=unconfined", "apparmor=unconfined"],
    mayGainRights: true,
    cgroupns: "private",
    restart: "unless-stopped",
    logs: { driver: "json-file", maxSize: "5m", maxFiles: 2 },
  },
};

/**
 * An image may ask NVIDIA's runtime for all GPUs by this variable; `void` outranks that, and the container has the devices
 * that are requested for it and no others.
 */
export const NO_GPUS = { NVIDIA_VISIBLE_DEVICES: "void" } as const;

/** As engines take them: `NAME=value`. */
export const variables = (all: Readonly<Record<string, string>>): string[] =>
  Object.entries(all).map(([name, value]) => `${name}=${value}`);

/** The environment of a container in which GPUs come as devices alone: {@link NO_GPUS}, then `own`. */
export const environment = (own: Readonly<Record<string, string>> = {}): string[] => [
  ...variables(NO_GPUS),
  ...variables(own),
];

/** NVIDIA's kind of device in the Container Device Interface (CDI). */
export const CDI_KIND = "nvidia.com/gpu";

/**
 * Docker's and CDI's name of a granted unit, by the driver's UUID as `nvidia-ctk cdi generate --device-name-strategy=uuid`
 * has it. An engine refuses a name that it does not know, and a reload of systemd takes no such device away.
 */
export const cdiDevice = ({ uuid }: { uuid: string }): string => `${CDI_KIND}=${uuid}`;
