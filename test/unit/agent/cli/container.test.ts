/** `berth container`, against a berthd that stands in: what it asks, and what it prints. */
import { describe, expect, it } from "vitest";
import { berth, berthd, berthdForEachTest, NOW, unit } from "./commands-helpers";
import { refusal } from "./helpers";

berthdForEachTest();

const made = { id: "3f9a", name: "berth-dev-alice.train", grant: { id: "g1", units: [unit] } };
const container = {
  ...{ id: "3f9a", name: "berth-dev-alice.train", user: "alice", kind: "created", image: "sha256:x" },
  ...{ state: "running", createdAt: NOW - 5000, startedAt: NOW - 3000, ports: [], grant: "g1" },
};

describe("create", () => {
  const sent = async (words: string) => {
    berthd.routes["POST /api/containers"] = () => ({ status: 201, body: made });
    const { code, err } = await berth(`container create ${words}`);
    expect([code, err]).toEqual([0, ""]);
    return berthd.asked("POST", "/api/containers").at(-1)?.body;
  };

  it("asks for a container with a grant, an ask or neither, and runs the words as they are", async () => {
    expect(await sent("--grant g1 --name train -- python train.py --epochs 3")).toEqual({
      ...{ name: "train", gpus: { grant: "g1" } },
      ...{ entrypoint: ["python"], command: ["train.py", "--epochs", "3"] },
    });
    expect(await sent("--profile 1g.10gb --user bob -- nvidia-smi")).toEqual({
      ...{ user: "bob", gpus: { kind: "mig", count: 1, profile: "1g.10gb" } },
      entrypoint: ["nvidia-smi"],
    });
    expect(await sent("--image sha256:ab make")).toEqual({ image: "sha256:ab", entrypoint: ["make"] });
  });

  it("prints what runs, and how to remove it", async () => {
    berthd.routes["POST /api/containers"] = () => ({ status: 201, body: made });
    expect((await berth("container create --grant g1 -- sleep 1")).out).toBe(
      "Runs: berth-dev-alice.train (GPU 0:0)\nRemove it: berth container remove berth-dev-alice.train\n",
    );
    expect(JSON.parse((await berth("container create --grant g1 --json -- sleep 1")).out)).toEqual(made);
  });

  it("takes a grant or an ask, and says what runs", async () => {
    const both = await berth("container create --grant g1 --profile 1g.10gb --count 2 -- sleep 1");
    expect(both.code).toBe(2);
    expect(both.err).toContain(
      "--grant names what the container has, and --count, --profile would ask for more",
    );
    expect((await berth("container create --grant g1")).code).toBe(2);
    expect(berthd.seen).toEqual([]);
  });

  it("ends with berthd's refusal", async () => {
    berthd.routes["POST /api/containers"] = () =>
      refusal(404, { code: "not-found", message: "alice has no live grant g1" });
    const { code, err } = await berth("container create --grant g1 -- sleep 1");
    expect([code, err]).toEqual([1, "berth: alice has no live grant g1\n"]);
  });
});

describe("list", () => {
  it("shows containers with how they are", async () => {
    const ended = { ...container, name: "b\u001b[31m", state: "exited", exitCode: 3, finishedAt: NOW - 1000 };
    const workspace = { ...container, name: "w", kind: "workspace", health: "healthy", grant: undefined };
    berthd.routes["GET /api/containers"] = () => ({ body: { containers: [container, ended, workspace] } });
    expect((await berth("container list")).out).toBe(`\
CONTAINER              USER   KIND       STATE             GRANT  SINCE
---------------------  -----  ---------  ----------------  -----  -------
berth-dev-alice.train  alice  created    running           g1     3 s ago
b\\e[31m                alice  created    exited (3)        g1     1 s ago
w                      alice  workspace  running, healthy  -      3 s ago
`);
    await berth("container list --user bob");
    expect(berthd.seen.at(-1)?.path).toBe("/api/containers?user=bob");
  });

  it("says so where there are none", async () => {
    berthd.routes["GET /api/containers"] = () => ({ body: { containers: [] } });
    expect((await berth("container list")).out).toBe("No containers.\n");
  });
});

it("removes a container", async () => {
  berthd.routes["DELETE /api/containers/a%2Fb"] = () => ({ body: { id: "3f9a" } });
  expect(await berth("container remove a/b")).toMatchObject({
    ...{ code: 0, out: "Removed: a/b. What it had of GPUs is free.\n" },
  });
});
