/** Resources and facts as the rules of the policy pack take them. */
import { peoplesFolders } from "../../components/host/storage/guard";
import { type Facts, type Rule, type Seen, UNKNOWN, type Value } from "../../policy/rules";

export type Inputs = Record<string, Value>;

/** A production stack that opens nothing, with one node; alice has sudo, others have not. */
export const facts: Facts = {
  stack: "prod",
  production: true,
  open: [],
  published: [],
  sudo: ["alice"],
  folders: { "node-0": peoplesFolders({}) },
};

export const labels = (component: string, owner = "system", stack = "prod", node = "node-0"): Value => [
  { label: "berth.component", value: component },
  { label: "berth.node", value: node },
  { label: "berth.owner", value: owner },
  { label: "berth.stack", value: stack },
];

/** A workspace's container, as components/workspace makes it. */
export const workspace: Inputs = {
  name: "berth-prod-workspace-alice",
  image: `sha256:${"0123456789abcdef".repeat(4)}`,
  labels: labels("workspace", "alice"),
  privileged: false,
  capabilities: { adds: ["CAP_CHOWN", "CAP_SETUID", "CAP_SYS_CHROOT"], drops: ["ALL"] },
  cgroupnsMode: "private",
  cgroupParent: "/berth.slice/berth-default.slice/berth-default-alice.slice",
  ipcMode: "private",
  memory: 3072,
  memorySwap: 3072,
  cpus: "2.0",
  mounts: [{ type: "bind", source: "/mnt/storage/homes/alice", target: "/home/alice" }],
  envs: ["NVIDIA_VISIBLE_DEVICES=void"],
  ports: [
    { internal: 22, external: 10022, ip: "10.0.0.10", protocol: "tcp" },
    { internal: 8443, external: 10002, ip: UNKNOWN, protocol: "tcp" },
  ],
  logDriver: "json-file",
  logOpts: { "max-file": "2", "max-size": "10m" },
};

/** What a container of the system has to say too. */
export const NO_NEW_RIGHTS: Inputs = { securityOpts: ["no-new-privileges:true"] };

export const resource = (type: string, props: Inputs, protect = false): Seen => ({
  type,
  urn: `urn:pulumi:prod::berth::${type}::thing`,
  props,
  protect,
});

export const check = (rule: Rule, type: string, props: Inputs, known = facts, protect = false) =>
  rule.check(resource(type, props, protect), known);
