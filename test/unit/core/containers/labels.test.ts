/**
 * The labels of containers. Proves: what is written is read back; what Berth did not write counts as nothing; a list of
 * labels has one order.
 */
import { describe, expect, it } from "vitest";
import { claim, LABEL, labelList, ownerLabels, unitLabels } from "../../../../core/containers";

const ONE = "MIG-8a4caedc-b416-5934-9ee0-b3d6fe58d733";
const TWO = "GPU-2257ab5c-32bf-584c-b790-3ca353923db1";

it("are read as they were written", () => {
  const owned = ownerLabels({ stack: "prod", owner: "alice", component: "container", node: "node-0" });
  const whole = { memoryMiB: 9856, shared: false };
  const units = [
    { ...whole, uuid: ONE },
    { ...whole, uuid: TWO },
  ];
  const grant = { [LABEL.grant]: "g1", [LABEL.token]: "7", [LABEL.creation]: "ab" };
  expect(claim({ ...owned, ...grant, ...unitLabels(units) })).toEqual({
    ...{ ours: true, user: "alice", component: "container" },
    ...{ grant: "g1", token: 7, units: [ONE, TWO], creation: "ab" },
  });
  const share = unitLabels([{ uuid: TWO, memoryMiB: 2048, shared: true }]);
  expect(claim({ ...owned, ...share })).toMatchObject({ units: [TWO], shareMiB: 2048 });
  expect(claim({ ...owned, ...unitLabels([]) })).toEqual({
    ours: true,
    user: "alice",
    component: "container",
    units: [],
  });
});

it("stand in the order of their names", () => {
  const owned = ownerLabels({ stack: "prod", owner: "system", component: "ray", node: "node-0" });
  expect(labelList({ ...unitLabels([]), ...owned })).toEqual([
    { label: "berth.component", value: "ray" },
    { label: "berth.gpu-memory", value: "" },
    { label: "berth.gpus", value: "" },
    { label: "berth.node", value: "node-0" },
    { label: "berth.owner", value: "system" },
    { label: "berth.stack", value: "prod" },
  ]);
  expect(labelList(ownerLabels({ stack: "prod", owner: "system", component: "network" }))).toHaveLength(3);
});

describe("claim", () => {
  it("tells a created, a declared and a foreign container apart", () => {
    expect(
      claim({
        "berth.owner": "alice",
        "berth.grant": "g1",
        "berth.grant-token": "7",
        "berth.gpus": `${ONE}, ${TWO},${ONE}`,
        "berth.gpu-memory": "1024",
        "berth.component": "container",
        "berth.creation": "ab",
      }),
    ).toEqual({
      ours: true,
      user: "alice",
      component: "container",
      grant: "g1",
      token: 7,
      units: [ONE, TWO],
      shareMiB: 1024,
      creation: "ab",
    });
    // An image may bring it, and no other maker of containers writes it.
    expect(
      claim({ "berth.component": "workspace", "berth.owner": "a", "berth.creation": "ab" }),
    ).not.toHaveProperty("creation");
    // As an older berthd wrote it.
    expect(
      claim({ "berth.component": "container", "berth.owner": "alice", "berth.launch": "ab" }).creation,
    ).toBe("ab");
    expect(claim({ "berth.owner": "alice", "berth.grant": "workspace/alice", "berth.gpus": ONE })).toEqual({
      ours: true,
      user: "alice",
      grant: "workspace/alice",
      units: [ONE],
    });
    expect(claim({})).toEqual({ ours: false, user: "(foreign)", units: [] });
    expect(claim(null)).toEqual(claim({}));
    // The image of a container outside Berth may bring labels along.
    expect(claim({ "berth.gpus": ONE })).toEqual(claim({}));
  });

  it.each(["0", "-1", "1e3", "1.5", "seven", " 7", "99999999999999999999"])(
    "takes %j for no token",
    (token) => {
      expect(claim({ "berth.grant-token": token }).token).toBeUndefined();
    },
  );
});
