import type { GrantedUnit } from "../gpu";

/** The labels of what Berth makes with Docker: how they are called, written and read. Pure. */

export const LABEL = {
  stack: "berth.stack",
  component: "berth.component",
  node: "berth.node",
  owner: "berth.owner",
  /** A grant's id, or the key of a declared one. */
  grant: "berth.grant",
  /** The grant's fencing token; not on declared ones, whose grant outlives the container. */
  token: "berth.grant-token",
  /** UUIDs, comma-separated. */
  gpus: "berth.gpus",
  /** MiB of the one GPU, where the grant is a share of it. */
  share: "berth.gpu-memory",
  /** Which creation made it: what carries this was made by berthd, and berthd may remove it. */
  creation: "berth.creation",
} as const;

/** What an older berthd wrote in the place of `LABEL.creation`. */
const OLDER_CREATION = "berth.launch";

/** Owner of what belongs to no person. */
export const SYSTEM = "system";

/** Who holds what a container outside Berth uses. No login has such a name. */
export const FOREIGN = "(foreign)";

/** Whose a Docker object is, and what for. */
export interface Ownership {
  stack: string;
  /** A user's name, or {@link SYSTEM}. */
  owner: string;
  /** `workspace`, `ray`, `network`, … */
  component: string;
  node?: string;
}

/** The labels that every Docker object of Berth has. */
export function ownerLabels({ stack, owner, component, node }: Ownership): Record<string, string> {
  return {
    [LABEL.component]: component,
    ...(node === undefined ? {} : { [LABEL.node]: node }),
    [LABEL.owner]: owner,
    [LABEL.stack]: stack,
  };
}

/** What a container says of the units that it was made with, so that a lost ledger can be rebuilt from it. */
export function unitLabels(units: readonly Pick<GrantedUnit, "uuid" | "shared" | "memoryMiB">[]) {
  return {
    [LABEL.gpus]: units.map(({ uuid }) => uuid).join(","),
    [LABEL.share]: units.flatMap(({ shared, memoryMiB }) => (shared ? [memoryMiB] : [])).join(","),
  };
}

/** As `docker.Container`, `docker.Network` and `docker.Volume` take them, in a stable order. */
export function labelList<Text>(labels: Readonly<Record<string, Text>>): { label: string; value: Text }[] {
  return Object.entries(labels)
    .map(([label, value]) => ({ label, value }))
    .sort((a, b) => (a.label < b.label ? -1 : 1));
}

export interface Claim {
  /** True: made by Berth, by the stack or by berthd. */
  ours: boolean;
  user: string;
  /** Which part of Berth it is: `workspace`, `container`, `ray`… */
  component?: string;
  grant?: string;
  token?: number;
  units: string[];
  shareMiB?: number;
  creation?: string;
}

/**
 * What a container's labels say. An image may bring labels along: an empty one counts as none (Berth sets all of them),
 * and what the labels of a container outside Berth say of GPUs is ignored, since its devices tell.
 */
export function claim(labels: Readonly<Record<string, string>> | null | undefined): Claim {
  const of = (name: string): string | undefined => labels?.[name] || undefined;
  const token = count(of(LABEL.token));
  const units = (of(LABEL.gpus) ?? "").split(",").map((unit) => unit.trim());
  const grant = of(LABEL.grant);
  const share = count(of(LABEL.share));
  const component = of(LABEL.component);
  // berthd writes both; an image cannot, as each maker of containers writes `component`.
  const creation = component === "container" ? (of(LABEL.creation) ?? of(OLDER_CREATION)) : undefined;
  const ours = of(LABEL.owner) !== undefined || grant !== undefined;
  return {
    ours,
    user: of(LABEL.owner) ?? FOREIGN,
    ...(component === undefined ? {} : { component }),
    ...(grant === undefined ? {} : { grant }),
    ...(token === undefined ? {} : { token }),
    units: ours ? [...new Set(units.filter((unit) => unit !== ""))] : [],
    ...(share === undefined ? {} : { shareMiB: share }),
    ...(creation === undefined ? {} : { creation }),
  };
}

/** A whole number from 1 on. Berth writes no other, so any other text counts as no label. */
const count = (text: string | undefined) =>
  text !== undefined && /^[1-9]\d{0,14}$/.test(text) ? Number(text) : undefined;
