/**
 * What a tenant is told where something cannot be done now, over a real database and the real creator, with a fake dockerd. Proves:
 * of a container that is still being made its owner hears that it is, and nobody else hears of it; what Docker refuses is told in
 * words of ours with a code that fits, and Docker's own words are in the operator's log alone.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Refusal, Result } from "../../../../core/gpu";
import { until } from "../../../lib/until";
import { ManagerRig, SOON } from "./rig";

let rig: ManagerRig;
beforeEach(async () => {
  rig = new ManagerRig();
  await rig.start();
});
afterEach(() => rig.close());

function refusal(result: Result<unknown>): Refusal {
  if (result.ok) throw new Error("it was done");
  return result.refusal;
}

describe("a container that is still being made", () => {
  it("is its owner's, who is told what to wait for, and of whom nobody else hears", async () => {
    rig.dockerd.mood("POST /containers/create", { kind: "hang" });
    void rig.create();
    const [{ id = "" } = {}] = await until("it is noted", SOON, () => {
      const all = rig.manager.list("web");
      return all.length > 0 && all;
    });
    expect(rig.manager.get("web", id)).toMatchObject({ value: { status: "creating" } });
    expect(rig.manager.find("web", id)).toMatchObject({ id, state: "making", container: "" });
    for (const answer of [await rig.manager.stop("web", id), await rig.manager.start("web", id)])
      expect(refusal(answer)).toMatchObject({
        ...{ code: "conflict", message: `container ${id} is still being made` },
        fix: expect.stringContaining(`GET /api/containers/${id} says that its status is running`),
      });
    expect(rig.manager.find("bench", id)).toBeUndefined();
    for (const answer of [await rig.manager.stop("bench", id), rig.manager.get("bench", id)])
      expect(refusal(answer)).toMatchObject({ code: "not-found", message: `There is no container ${id}.` });
  });
});

describe("what Docker refuses", () => {
  const other = "f00f".repeat(16);
  it.each([
    [500, `write /var/lib/docker/overlay2/${other}/x: no space left on device`, "full", "disk is full"],
    [500, `OCI runtime create failed: runc: cannot allocate memory for ${other}`, "full", "no memory"],
    [
      500,
      `Bind for 10.0.0.4:20000 failed: port is already allocated by ${other}`,
      "conflict",
      "port of the node",
    ],
    [409, `The container name "/x" is already in use by container "${other}".`, "conflict", "the name"],
    [404, `No such image: ${other}`, "not-found", "image is not on the node"],
    [400, `exec: "sleep": executable file not found in $PATH of ${other}`, "conflict", "lacks a program"],
    [500, `error gathering device information for ${other}: other`, "conflict", "Docker could not do it"],
  ])("is told in our words, with a code that fits: %i %s", async (status, message, code, words) => {
    rig.dockerd.mood("POST /containers/create", { kind: "status", status, message });
    const told = refusal(await rig.create());
    expect(told).toMatchObject({ code, message: expect.stringContaining(words), fix: expect.any(String) });
    expect(JSON.stringify(told)).not.toContain(other);
    expect(JSON.stringify(rig.lines)).toContain(other);
    expect([rig.manager.list("web"), rig.rows()]).toEqual([[], []]);
  });

  it.each(["stop", "start"] as const)("is told so of a %s too", async (act) => {
    const made = await rig.create();
    if (!made.ok) throw new Error(made.refusal.message);
    const { id } = made.value;
    rig.dockerd.mood(`POST /containers/ID/${act}`, {
      ...{ kind: "status", status: 500, message: `bind 10.0.0.4: address already in use ${other}` },
    });
    const told = refusal(await rig.manager[act]("web", id));
    expect(told).toMatchObject({ code: "conflict", message: expect.stringContaining("a port of the node") });
    expect(JSON.stringify(told)).not.toContain(other);
    expect(JSON.stringify(rig.lines)).toContain(other);
  });

  it("is told so of a delete, which is done later", async () => {
    const made = await rig.create();
    if (!made.ok) throw new Error(made.refusal.message);
    const { id } = made.value;
    const busy = { kind: "status", status: 500, message: `device busy ${other}` } as const;
    rig.dockerd.mood("DELETE /containers/ID", busy, 1);
    const told = refusal(await rig.manager.remove("web", id));
    expect(told.message).toBe(`container ${id} could not be removed yet`);
    expect(JSON.stringify(told)).not.toContain(other);
    expect(JSON.stringify(rig.lines)).toContain(other);
    await rig.manager.recover();
    expect(rig.manager.list("web")).toEqual([]);
  });

  it("is told so of an image that a registry does not give", async () => {
    rig.dockerd.mood("POST /images/create", {
      ...{ kind: "status", status: 404, message: `manifest for node:${other} not found at 10.0.0.9` },
    });
    const told = refusal(await rig.create({ image: "node:22" }));
    expect(told).toMatchObject({
      ...{
        code: "not-found",
        message: expect.stringMatching(/^image node:22 is not on this node.*its registry has none/),
      },
    });
    expect(JSON.stringify(told)).not.toContain("10.0.0.9");
    expect(JSON.stringify(rig.lines)).toContain("10.0.0.9");
  });
});
