/** The labels of a container that concern its grant; beside them stand `berth.component` and its kind. Pure. */

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

/** Who holds what a container outside Berth uses. No login has such a name. */
export const FOREIGN = "(foreign)";

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
 * What the labels say. An image may bring labels along: an empty one counts as none (Berth sets all of them), and what a
 * stranger's container says of GPUs is not heard; its devices tell.
 */
export function claim(labels: Readonly<Record<string, string>> | null | undefined): Claim {
  const of = (name: string): string | undefined => labels?.[name] || undefined;
  const token = count(of(LABEL.token));
  const units = (of(LABEL.gpus) ?? "").split(",").map((unit) => unit.trim());
  const grant = of(LABEL.grant);
  const share = count(of(LABEL.share));
  const component = of(LABEL.component);
  const creation = of(LABEL.creation) ?? of(OLDER_CREATION);
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

/** A whole number from 1 on; what is none was not written by Berth. */
const count = (text: string | undefined) =>
  text !== undefined && /^[1-9]\d{0,14}$/.test(text) ? Number(text) : undefined;
