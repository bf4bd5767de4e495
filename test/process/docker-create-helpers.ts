/** What the tests of creating share: a rig for each, a creation with a GPU, and whether ledger and Docker agree. */
import { afterEach, beforeEach, expect } from "vitest";
import { type CreateRequest, createSchema } from "../../agent/src/containers";
import type { CreateCaller } from "../../agent/src/service";
import { IMAGE, Rig } from "../unit/agent/containers/rig";

/** Who asks. */
export const by = { actor: "admin" };

const mig = { kind: "mig", count: 1 } as const;
const wish = (more: object = {}) => ({ user: "alice", image: IMAGE, gpus: mig, ...more });

/** Of the test that runs; started. */
export let rig: Rig;
beforeEach(async () => {
  rig = new Rig();
  await rig.start();
});
afterEach(() => rig.close());

/** Another one in its place; answers the one before. */
export function useRig(next: Rig): Rig {
  const before = rig;
  rig = next;
  return before;
}

/** One MIG instance for alice, unless the test says more. */
export const create = (more: object = {}, signal?: AbortSignal, caller: CreateCaller = by) =>
  rig.creator.create(createSchema.parse(wish(more)) as CreateRequest, caller, signal);

/** A person who asks for herself. */
export const alice = { actor: "user:alice", user: "alice" };
/** By alice; her workspace is there. No GPU, unless the test says more. */
export const own = (more: object) => create({ gpus: undefined, ...more }, undefined, alice);

export function workspaceOf(user: string, image = IMAGE): string {
  const labels = { "berth.component": "workspace", "berth.owner": user };
  return rig.dockerd.put({ Name: `/ws-${user}`, Config: { Image: image, Labels: labels } });
}

/** What is noted of operations that are under way. */
export const journal = () => [...rig.rows.values()];

/** dockerd was only asked, and no operation begun. */
export function untouched(): void {
  for (const call of rig.dockerd.calls) expect(call).toMatch(/^GET /);
  expect(journal()).toEqual([]);
}

/** What berthd does at its start, and whenever Docker is back. */
export async function settle(): Promise<void> {
  await rig.ledger.look(rig.containers);
  await rig.creator.recover();
}

/** The ledger says what Docker says, and no unit is held twice. */
export function agrees(): void {
  const running = [...rig.dockerd.containers.values()].filter(({ State }) => State.Running);
  const live = rig.ledger.grants();
  const units = live.flatMap((grant) => grant.units.map(({ uuid }) => uuid));
  expect(new Set(units).size).toBe(units.length);
  // One that went before anybody saw it run is waited for, until the time of a reservation is over.
  const unseen = live.filter(
    ({ awaitedUntil, container = "" }) =>
      awaitedUntil !== undefined && !rig.dockerd.containers.has(container),
  );
  const bound = live.filter((grant) => grant.state === "bound" && !unseen.includes(grant));
  const withGpus = running.filter(({ Config }) => Config?.Labels?.["berth.gpus"]);
  expect(bound.map(({ container }) => container).sort()).toEqual(withGpus.map(({ Id }) => Id).sort());
  for (const grant of bound) {
    const container = rig.dockerd.containers.get(grant.container ?? "");
    expect(container?.HostConfig.DeviceRequests?.[0]?.DeviceIDs).toEqual(
      grant.units.map(({ uuid }) => `nvidia.com/gpu=${uuid}`),
    );
    expect(container?.Config?.Labels?.["berth.grant-token"]).toBe(String(grant.token));
  }
  const dangling = live.filter(({ state }) => state === "reserved");
  expect(dangling).toEqual([]);
  expect([...rig.dockerd.containers.values()].filter(({ State }) => State.Status === "created")).toEqual([]);
  expect(journal()).toEqual([]);
}
