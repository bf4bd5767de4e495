/**
 * @file What the cluster's tests ask of its GPUs: each node has one declared GPU, cut into two MIG instances.
 */
import { expect } from "vitest";
import type { Assignment, Grant, Inventory } from "../../../core/gpu";
import { onNode, type User } from "./cluster-clients";
import { type NODES, STACK } from "./cluster-rig";

type NodeName = keyof typeof NODES;

interface Pool {
  assignment: Assignment;
  inventory: Inventory;
  grants: Grant[];
  closed?: string;
}

export const pool = async (node: NodeName): Promise<Pool> =>
  JSON.parse(await onNode(node, "berth declared show"));

export const container = (user: string) => `berth-${STACK}-workspace-${user}`;

/** Runs a shell line in a user's workspace, as root of it. */
export const inside = (node: NodeName, user: User | "dave", line: string) =>
  onNode(node, `docker exec ${container(user)} sh -c '${line}'`);

export const DEVICES =
  'for d in /dev/nvidia* /dev/nvidia-caps/*; do if [ -c "$d" ]; then echo "$d"; fi; done';

export const sorted = (text: string) => text.split("\n").filter(Boolean).sort();

/** The device nodes that the node's specification has for these units. */
export async function devicesOf(node: NodeName, units: readonly { uuid: string }[]): Promise<string[]> {
  type Edits = { deviceNodes?: { path: string }[] };
  const spec = JSON.parse(await onNode(node, "cat /etc/cdi/berth-declared.json")) as {
    devices: { name: string; containerEdits: Edits }[];
    containerEdits: Edits;
  };
  const wanted = spec.devices.filter(({ name }) => units.some(({ uuid }) => uuid === name));
  expect(wanted.length).toBe(units.length);
  const edits = [spec.containerEdits, ...wanted.map(({ containerEdits }) => containerEdits)];
  return [...new Set(edits.flatMap(({ deviceNodes = [] }) => deviceNodes.map(({ path }) => path)))].sort();
}

/** What a user was granted on a node. */
export async function unitsOf(node: NodeName, user: string) {
  const units = (await pool(node)).assignment[`workspace/${user}`];
  if (!units?.length) throw new Error(`${user} has no grant on ${node}`);
  return units;
}

/** Tells a container that was made anew or started again from one that was left alone. */
export const started = async (node: NodeName, user: string) =>
  onNode(node, `docker inspect -f '{{.Id}} {{.State.StartedAt}}' ${container(user)}`);
