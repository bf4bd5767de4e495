/** Resources and facts as the rules of the policy pack take them. */
import { peoplesFolders } from "../../../components/host/storage/guard";
import {
  type ContainerKind,
  type ContainerSpec,
  dockerArgs,
  environment,
  labelList,
  ownerLabels,
} from "../../../core/containers";
import { type Facts, type Rule, type Seen, UNKNOWN, type Value } from "../../../policy/rules";

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

export const labels = (component: string, owner = "system", stack = "prod", node = "node-0"): Value =>
  labelList(ownerLabels({ component, owner, stack, node })) as unknown as Value;

/** What a `docker.Container` is given for it. */
export const inputsOf = (spec: ContainerSpec): Inputs => JSON.parse(JSON.stringify(dockerArgs(spec)));

const GiB = 2 ** 30;

/** A container of the stack's, of alice or of nobody; `more` goes over it. */
export const specOf = (
  kind: ContainerKind,
  owner: string,
  more: Partial<ContainerSpec> = {},
): ContainerSpec => ({
  kind,
  name: `berth-prod-${kind}`,
  image: `sha256:${"0123456789abcdef".repeat(4)}`,
  owner: { stack: "prod", owner, node: "node-0" },
  cpus: 2,
  memoryBytes: 3 * GiB,
  ...more,
});

const made = inputsOf(
  specOf("workspace", "alice", {
    sudo: true,
    cgroupParent: "/berth.slice/berth-default.slice/berth-default-alice.slice",
    mounts: [{ type: "bind", source: "/mnt/storage/homes/alice", target: "/home/alice" }],
    env: environment(),
    ports: [{ container: 22, host: 10_022, address: "10.0.0.10", protocol: "tcp" }],
  }),
);

/** A workspace's container, as components/workspace makes it, with a port on an address that only an update will know. */
export const workspace: Inputs = {
  ...made,
  ports: [...(made.ports as Value[]), { internal: 8443, external: 10_002, ip: UNKNOWN, protocol: "tcp" }],
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
