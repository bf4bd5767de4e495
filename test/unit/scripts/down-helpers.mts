/** What the tests of containers that are down share: a stack of two local nodes, and what engines say of them. */
import type { Container } from "../../../scripts/lib/containers.mjs";

/** A container that ended. */
export const one = (more: Partial<Container> = {}): Container => ({
  id: "a".repeat(64),
  name: "berth-dev-ray",
  owner: "system",
  component: "ray",
  state: "exited",
  health: "",
  exitCode: 0,
  oom: false,
  since: "2026-11-29T10:00:00.123456789Z",
  error: "",
  ...more,
});

const STACK = "urn:pulumi:dev::berth::berth:index:Cluster$docker:index/container:Container::";
const labels = (of: Record<string, string>) =>
  Object.entries(of).map(([label, value]) => ({ label: `berth.${label}`, value }));
const provider = (name: string, host: string) => ({
  type: "pulumi:providers:docker",
  urn: `urn:pulumi:dev::berth::pulumi:providers:docker::${name}`,
  id: `${name}-id`,
  inputs: { host },
});
const container = (name: string, on: string, of: Record<string, string>, more: object = {}) => ({
  type: "docker:index/container:Container",
  urn: `${STACK}${name}`,
  id: `${name}-id`,
  provider: `urn:pulumi:dev::berth::pulumi:providers:docker::${on}::${on}-id`,
  inputs: { name: `berth-dev-${name}`, labels: labels({ stack: "dev", ...of }), mustRun: true, ...more },
});
const node = (name: string, address: string) => ({
  ...{ name, kind: "local", role: name === "node-0" ? "head" : "worker" },
  ...{ address, privateAddress: address },
});

export const nodes = [node("node-0", "10.88.0.10"), node("node-1", "10.88.0.11")];
/** A stack of two local nodes. */
export const deployment = {
  resources: [
    {
      type: "pulumi:pulumi:Stack",
      urn: "urn:pulumi:dev::berth::pulumi:pulumi:Stack::berth-dev",
      outputs: {
        nodes,
        users: [
          { name: "alice", node: "node-0", desiredState: "running" },
          { name: "bob", node: "node-1", desiredState: "stopped" },
        ],
      },
    },
    provider("engine", "unix:///var/run/docker.sock"),
    provider("node-0-engine", "ssh://root@10.88.0.10:22"),
    provider("node-1-engine", "ssh://root@10.88.0.11:22"),
    container("registry", "engine", { owner: "system", component: "registry" }),
    container("node-1", "engine", { owner: "system", component: "node", node: "node-1" }),
    container("ray-0", "node-0-engine", { owner: "system", component: "ray", node: "node-0" }),
    container("ray-1", "node-1-engine", { owner: "system", component: "ray", node: "node-1" }),
    container("alice", "node-0-engine", { owner: "alice", component: "workspace", node: "node-0" }),
    // May be down, is on its way out, is nobody of ours.
    container(
      "bob",
      "node-1-engine",
      { owner: "bob", component: "workspace", node: "node-1" },
      { mustRun: false },
    ),
    {
      ...container("old", "node-0-engine", { owner: "carol", component: "workspace", node: "node-0" }),
      delete: true,
    },
    container("other", "node-0-engine", {}),
  ],
};

/** As a node prints it. */
export const line = (
  name: string,
  of: string,
  state: string,
  more = `\t0\tfalse\t2026-11-29T10:00:00Z\t""`,
) => `C\t${name}-id\t/berth-dev-${name}\t${of}\t${state}\t${more}`;
