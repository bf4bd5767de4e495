import { z } from "zod";
import { agent } from "./agent/schema";
import { digitalocean, digitaloceanNode } from "./digitalocean/schema";
import { gpu, limitsDocument } from "./gpu/schema";
import { baremetalDefaults, baremetalNode, localNode } from "./machines/schema";
import { manager } from "./manager/schema";
import { firewall, network, ports } from "./network/schema";
import { ray } from "./ray/schema";
import { runtime } from "./runtime/schema";
import { storage } from "./storage/schema";
import { user, workspaces } from "./users/schema";
import { port } from "./values";

/**
 * The shape of a stack's configuration, as it stands in `Pulumi.<stack>.yaml` under `berth:`.
 * Strict everywhere: an unknown key is an error, never ignored. What one value means for another
 * (names, ranges, addresses) is checked in check.ts.
 */

export const nodeKinds = ["local", "digitalocean", "baremetal"] as const;

export const stackSchema = z.strictObject({
  nodes: z.array(z.discriminatedUnion("kind", [localNode, digitaloceanNode, baremetalNode])).min(1),
  users: z.array(user).default([]),
  network,
  firewall,
  ports,
  workspaces,
  ray,
  registryPort: port.default(5001),
  dockerFirst: z.boolean().default(true),
  digitalocean: digitalocean.optional(),
  /** What bare-metal nodes have in common; each may say otherwise. */
  baremetal: baremetalDefaults.default({}),
  storage: storage.default({}),
  /** What runs containers; a node's own part of the same name replaces it whole. */
  runtime: runtime.default({}),
  /** How GPUs are granted. */
  gpu: gpu.default(gpu.parse({})),
  /** What users and groups may have. */
  limits: limitsDocument,
  /** The daemon of each node. */
  agent: agent.default(agent.parse({})),
  /** Containers that back-ends ask for; none when left out. */
  manager: manager.optional(),
  /** True: what holds data is protected, images go by digest. */
  production: z.boolean().default(false),
});

export type StackConfig = z.output<typeof stackSchema>;
export type NodeConfig = StackConfig["nodes"][number];
export type LocalNodeConfig = Extract<NodeConfig, { kind: "local" }>;
export type DigitaloceanNodeConfig = Extract<NodeConfig, { kind: "digitalocean" }>;
export type BaremetalNodeConfig = Extract<NodeConfig, { kind: "baremetal" }>;
export type UserConfig = StackConfig["users"][number];

/** The top-level keys, each `berth:<key>` in the stack file. */
export const stackKeys = Object.keys(stackSchema.shape);
