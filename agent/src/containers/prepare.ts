/** What a creation may have, and what its container becomes: by limits, Docker and the user's others, as they are now. */
import { type Result, refuse } from "../../../core/gpu";
import type { CreateCaller } from "../service/ports";
import { imageFor } from "./images";
import type { CreatorOptions, Making } from "./options";
import { limitsOfPerson, notForPersons } from "./person";
import { grantKey } from "./recover";
import { beingUsed, noCdi, noWorkspace, tooMany, unknownUser, workspaceStopped } from "./refusals";
import { type CreateRequest, grantNamed } from "./request";
import { containerSpec, type SpecContext } from "./spec";

/** A creation that this berthd is at. */
export interface UnderWay {
  user: string;
  /** Whoever asked: keys belong to an actor. */
  actor: string;
  gpus: boolean;
  done: Promise<unknown>;
}

export interface PrepareOptions extends CreatorOptions {
  /** By creation, in the order in which they came. */
  underWay: ReadonlyMap<string, UnderWay>;
  making?: Making;
}

export interface Prepared {
  context: SpecContext;
  /** The container's. */
  name: string;
  /** The user's containers, for the ledger. */
  containers: number;
}

/**
 * Changes nothing, so it is done before GPUs are asked for, and again when they came.
 *
 * @throws DockerError
 */
export async function prepare(
  creation: string,
  request: CreateRequest,
  { user: person }: Pick<CreateCaller, "user">,
  options: PrepareOptions,
): Promise<Result<Prepared>> {
  const {
    addresses,
    cgroupParent,
    containers: registry,
    engine,
    isTaken,
    isUser,
    ledger,
    making,
    node,
    ports,
    stack,
  } = options;
  let limits = making?.limits ?? ledger.limitsOf(request.user);
  // Limits may name people who are no users of this node, or not any more.
  if (limits === undefined || (making === undefined && !isUser(request.user)))
    return refuse(unknownUser(request.user));
  const theirs = person === undefined ? undefined : notForPersons(request);
  if (theirs !== undefined) return refuse(theirs);
  const id = grantNamed(request);
  const usable = id === undefined ? undefined : ledger.usable({ id, user: request.user });
  if (usable?.ok === false) return usable;
  if (id !== undefined && isOfOther(id, creation, options)) return refuse(beingUsed(id));
  await registry.current();
  const info = await engine.info();
  if (request.gpus !== undefined && !info.cdi) return refuse(noCdi(info));
  if (person !== undefined) {
    const workspace = registry.list(person).find(({ kind }) => kind === "workspace");
    const found = workspace && (await engine.inspect(workspace.id));
    if (found === undefined) return refuse(noWorkspace(person));
    if (found.State.Status !== "running") return refuse(workspaceStopped(found.State.Status));
    limits = limitsOfPerson(limits, found);
  }
  const image = await imageFor(request, person !== undefined, options);
  if (!image.ok) return image;
  // A tenant has no slice: each container is bounded, and the manager promises no more than the node has.
  const parent =
    making === undefined ? cgroupParent?.(request.user, limits.group, info.cgroupDriver) : undefined;
  const context: SpecContext = {
    stack,
    node,
    creation,
    image: image.value,
    limits,
    addresses: making?.addresses ?? addresses ?? ["127.0.0.1"],
    ports: ports(),
    ...(making === undefined ? { isTaken } : { mounts: making.mounts, namedAfter: making.namedAfter }),
    ...(info.cpus === undefined ? {} : { cpus: info.cpus }),
    ...(parent === undefined ? {} : { cgroupParent: parent }),
  };
  const draft = containerSpec(request, context);
  if (!draft.ok) return draft;
  const { containers, withGpus } = count(creation, request.user, options);
  const most = limits.max_containers_per_user;
  if (most.value !== null && containers + withGpus >= most.value) {
    const rule = `${most.rule}.max_containers_per_user`;
    return refuse(tooMany(request.user, containers + withGpus, most.value, rule));
  }
  return { ok: true, value: { context, name: draft.value.name, containers } };
}

/** Whether a creation that is under way asked for the grant, for its own container. */
function isOfOther(grant: string, creation: string, { ledger, underWay }: PrepareOptions): boolean {
  return [...underWay].some(
    ([other, { actor, gpus }]) =>
      gpus && other !== creation && ledger.grantOf(actor, grantKey(other))?.id === grant,
  );
}

/**
 * The user's containers, whatever their state, and the creations that came before: of two at the limit, one gets
 * through. `withGpus`: creations that wait for GPUs or have them; the ledger counts these itself, by their grants.
 */
function count(
  creation: string,
  user: string,
  { containers, underWay }: PrepareOptions,
): { containers: number; withGpus: number } {
  const ids = [...underWay.keys()];
  const before = [...underWay].slice(0, ids.indexOf(creation)).map(([, one]) => one);
  const made = containers
    .list(user)
    .filter((one) => one.creation === undefined || !underWay.has(one.creation));
  const coming = before.filter((one) => one.user === user);
  const withGpus = coming.filter(({ gpus }) => gpus).length;
  return { containers: made.length + coming.length - withGpus, withGpus };
}
