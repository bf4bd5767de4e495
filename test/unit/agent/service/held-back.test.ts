/**
 * Containers that Docker could not start after a restart of the node, as it did not know their devices yet. Proves:
 * one with a declared grant is started, once, and its grant is bound; one whose GPU is not its own any more stays down;
 * a start that fails gives the grant back and is tried again, later each time; what keeps one down can be asked.
 * Does not prove: that dockerd says so in these words (docker-observe.test.ts has them as they were seen).
 */
import { describe, expect, it } from "vitest";
import type { SeenContainer } from "../../../../agent/src/service";
import { until } from "../../../lib/until";
import { closeRigs, container, got, one, rigs } from "./cases";
import { FakeContainers, makeRig, newFolder, type Rig } from "./rig";

closeRigs();

const declared = (...users: string[]) => users.map((user) => ({ key: `workspace/${user}`, user, ask: one }));

/** A node that ended while alice's workspace ran with its declared grant, and that Docker holds back now. */
async function restarted(more: Partial<SeenContainer> = {}, broken?: string) {
  const folder = newFolder();
  const first = await makeRig({ folder });
  got(await first.ledger.applyDeclared(declared("alice")));
  const [grant] = first.ledger.grants();
  if (!grant) throw new Error("nothing was granted");
  const runs = container(grant);
  got(await first.ledger.containerStarted(runs));
  await first.crash();
  const containers = new FakeContainers();
  containers.broken = broken;
  containers.seen = [{ ...runs, running: false, heldBack: "no device driver yet", ...more }];
  const clock = { ahead: 0 };
  const rig = await makeRig({ folder, containers, options: { now: () => Date.now() + clock.ahead } });
  rigs.push(rig);
  return { rig, containers, grant, clock };
}

/** Long enough for a look and what follows from it. */
async function looked(rig: Rig, containers: FakeContainers): Promise<void> {
  containers.emit({ kind: "unsure" });
  for (let n = 0; n < 5; n++) await rig.ledger.emit({ event: "marker", message: "time for a look" });
}

describe("a container that Docker held back", () => {
  it("is started once, and its declared grant is bound to it", async () => {
    const { rig, containers, grant } = await restarted();
    await until("the start", 30_000, () => containers.started.length > 0);
    await until("the grant", 30_000, () => rig.ledger.grant(grant.id)?.state === "bound");
    expect(rig.ledger.grant(grant.id)).toMatchObject({ container: "c1" });
    await looked(rig, containers);
    expect(containers.started).toEqual(["c1"]);
  });

  it.each<[string, Partial<SeenContainer>]>([
    ["of other GPUs than the grant's", { units: ["MIG-0-6"] }],
    ["without a grant that is known", { grant: "workspace/bob" }],
    ["that runs", { running: true }],
    ["that nobody held back", { heldBack: undefined }],
  ])("%s is left alone", async (_what, more) => {
    const { rig, containers } = await restarted(more as Partial<SeenContainer>);
    await looked(rig, containers);
    expect(containers.started).toEqual([]);
  });

  it("stays down where another container has its grant by now", async () => {
    const { rig, containers, grant, clock } = await restarted({}, "no device yet");
    await until("a try", 30_000, () => containers.started.length > 0);
    containers.broken = undefined;
    containers.run({ ...container(grant), container: "c2", name: "c2" });
    await until("the other one", 30_000, () => rig.ledger.grant(grant.id)?.container === "c2");
    clock.ahead = 60_000;
    await looked(rig, containers);
    expect(rig.ledger.grant(grant.id)).toMatchObject({ state: "bound", container: "c2" });
    expect(containers.started).toEqual(["c1"]);
  });

  it("gives its grant back when the start fails, and is tried again after a while", async () => {
    const { rig, containers, grant, clock } = await restarted({}, "no device yet");
    await until("a try", 30_000, () => containers.started.length > 0);
    await until("the grant is free", 30_000, () => rig.ledger.grant(grant.id)?.container === undefined);
    await looked(rig, containers);
    expect(containers.started).toEqual(["c1"]);
    containers.broken = undefined;
    clock.ahead = 2_500;
    containers.emit({ kind: "unsure" });
    await until("another try", 30_000, () => containers.started.length > 1);
    await until("the grant", 30_000, () => rig.ledger.grant(grant.id)?.state === "bound");
  });

  it("is named while it is down, with what keeps it down and when it is tried again", async () => {
    const { rig, containers, clock } = await restarted({}, "no device yet");
    await until("a try", 5_000, () => containers.started.length > 0);
    await until("its failure", 5_000, () => rig.ledger.heldBackNow()[0]?.next !== undefined);
    const [named, ...others] = rig.ledger.heldBackNow();
    expect(others).toEqual([]);
    expect(named).toMatchObject({ container: "c1", name: "c1", user: "alice", why: "no device yet" });
    expect(named?.next).toBeGreaterThan(Date.now());
    containers.broken = undefined;
    clock.ahead = 2_500;
    containers.emit({ kind: "unsure" });
    await until("nothing is held back", 5_000, () => rig.ledger.heldBackNow().length === 0);
  });

  it.each<[string, Partial<SeenContainer>, RegExp]>([
    ["whose GPU is another's", { units: ["MIG-0-6"] }, /its GPUs are not its own: .*MIG-0-6/],
    ["without a grant", { grant: "workspace/bob" }, /its GPUs are not its own: .*no live grant/],
  ])("%s is named with the ledger's words", async (_what, more, words) => {
    const { rig, containers } = await restarted(more);
    await looked(rig, containers);
    expect(rig.ledger.heldBackNow()).toMatchObject([{ container: "c1", why: expect.stringMatching(words) }]);
  });
});
