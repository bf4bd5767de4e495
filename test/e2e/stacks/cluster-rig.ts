/**
 * @file The stack of the end-to-end test: its configuration, and what it leaves.
 *
 * With BERTH_E2E_KEEP=1 it is neither taken down before nor after, for work on the test itself: what makes and what
 * removes the stack is left out where it is there.
 */
import type { ChildProcess } from "node:child_process";
import type { Ran, RunOptions } from "../../lib/run";
import { type Configuration, TestStack } from "../../lib/stack";
import { fillLocalNode, fillLocalRegistry, prepareStore } from "../../lib/stores";

export const STACK = "e2e";
export const KEEP = process.env.BERTH_E2E_KEEP === "1";
export const NODES = { "node-0": "10.91.0.10", "node-1": "10.91.0.11" } as const;
export const HEAD = NODES["node-0"];
export const WORKER = NODES["node-1"];
/** Configured as a secret, so that its way through the file, the state and the node is seen too. */
export const CREDENTIAL = "e2e-credential-9d41c7";

const own = new TestStack(STACK);
export const { env, folder, home } = own;

export const run = (program: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> =>
  own.run(program, args, options);
export const ok = (program: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> =>
  own.ok(program, args, options);
export const docker = (...args: string[]) => own.docker(...args);
export const berth = (command: string, args?: string[], deadline?: number) =>
  own.berth(command, args, deadline);
export const up = (args?: string[]) => own.up(args);
export const startUp = (): ChildProcess => own.startUp();
export const changes = () => own.changes();
export const nothingToDo = (args: string[] = []) => own.nothingToDo(args);
export const pulumi = (args: string[], options?: { input?: string; deadline?: number }) =>
  own.pulumi(args, options);
export const status = () => own.status();
export const allUp = (deadline: number) => own.allUp(deadline);

export const slice = { kind: "mig", profile: "1g.10gb" };

/** A person of the stack with one slice. */
export const student = (name: string, node: keyof typeof NODES, index: number) => ({
  ...{ name, node, index, group: "student", gpu: slice },
  ...{ cpus: 1, memory: "1536MiB" },
});

/** What the node is said to have. */
export const declared = [{ model: "NVIDIA H100 80GB HBM3", memory: "80GiB", mig: { "1g.10gb": 2 } }];

/** The configuration to begin with. */
export function configuration(): Configuration {
  const node = (name: keyof typeof NODES, role: string) => ({
    name,
    kind: "local",
    role,
    address: NODES[name],
    cpus: 2,
    memory: "6GiB",
    gpus: declared,
  });
  return {
    "berth:nodes": [node("node-0", "head"), node("node-1", "worker")],
    "berth:users": [
      {
        ...student("alice", "node-0", 0),
        setup: {
          git: { name: "Alice Example", email: "alice@example.org" },
          services: [{ name: "server", command: "exec python -m http.server --bind 127.0.0.1 9000" }],
        },
      },
      // Without root in his own workspace.
      { ...student("bob", "node-1", 1), sudo: false },
    ],
    "berth:limits": { groups: { student: { max_mig_instances: 1, max_gpus_per_container: 2 } } },
    "berth:network": { cidr: "10.91.0.0/24" },
    "berth:registryPort": 5911,
    "pulumi:disable-default-providers": ["docker", "digitalocean"],
  };
}

export const writeConfiguration = (config: Configuration) => own.writeConfiguration(config);
export const edit = (change: (config: Configuration) => void) => own.edit(change);

/** The large images, before the first `up`; berthd's is in no store, so it travels as it does to anybody's node. */
export async function fillStores(): Promise<void> {
  await prepareStore();
  await fillLocalRegistry(STACK);
  for (const node of Object.keys(NODES)) await fillLocalNode(STACK, node);
}

export const footprint = () => own.footprint();
export const removeLeftovers = () => own.removeLeftovers();
export const makeHome = () => own.makeHome();
export const stackFilesThere = () => own.filesThere();

/** Whether the stack of an earlier run is gone on with. */
export const RESUMED = KEEP && stackFilesThere();
