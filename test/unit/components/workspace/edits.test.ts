/** What an edit does to a workspace that runs, as docs/operators.md says it, by the verdict of Docker's plugin. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { formatPath, type Props } from "../../../../plugins/base/src/index";
import { containerDiff } from "../../../../plugins/docker/src/container";
import { diffRequest } from "../../../../plugins/docker/test/support";
import { localStack, of, runCluster } from "../cluster-recorder";

const gpus = [{ model: "NVIDIA H100 80GB HBM3", memory: "80GiB", count: 2 }];
const alice = { name: "alice", node: "node-0", index: 0, group: "admin", gpu: { kind: "gpu" } };

async function container(user: object, more: Record<string, unknown> = {}): Promise<Props> {
  const stack = localStack([user], more);
  const nodes = (stack.nodes as object[]).map((node, i) => (i === 0 ? { ...node, gpus } : node));
  const seen = of(await runCluster({ ...stack, nodes }, false), "docker:index/container:Container");
  const found = seen.find(({ name }) => name === "berth-workspace-alice");
  if (!found) throw new Error(`no workspace among ${seen.map(({ name }) => name).join(", ")}`);
  return found.inputs as Props;
}

const rows = readFileSync(join(__dirname, "../../../../docs/operators.md"), "utf8").split("\n");
/** The row of the guide's table that names a key. */
const told = (key: string) =>
  rows.find(
    (row) =>
      row.startsWith("| `") &&
      row.split("|")[1]?.includes(`\`${key}\``) &&
      /is replaced|keeps running/.test(row),
  );

describe("an edit of a user", () => {
  let before: Props;
  beforeAll(async () => {
    before = await container(alice);
  }, 60_000);

  /** An engine would have filled in the plugin's defaults; what differs without an edit is no edit's doing. */
  const changesOf = (after: Props) => {
    const changed = (news: Props) => containerDiff(diffRequest(before, news)).changes;
    const filled = changed(before).map(({ path }) => formatPath(path));
    return changed(after).filter(({ path }) => !filled.includes(formatPath(path)));
  };

  it("state: the container stays, and nobody on the node starts it again", async () => {
    const after = await container({ ...alice, state: "stopped" });
    expect(after).toMatchObject({ mustRun: false, restart: "no" });
    const changes = changesOf(after).map(({ path, replace }) => [formatPath(path), replace]);
    expect(changes.sort()).toEqual([
      ["mustRun", false],
      ["restart", false],
    ]);
  });

  it.each<[string, object, Record<string, unknown>, "replaced" | "keeps running"]>([
    ["group", { group: "researcher" }, {}, "replaced"],
    ["gpu", { gpu: { kind: "gpu", count: 2 } }, {}, "replaced"],
    ["cpus", { cpus: 1 }, {}, "replaced"],
    ["shm", { shm: "128MiB" }, {}, "replaced"],
    ["memory", { memory: "2GiB" }, {}, "keeps running"],
    ["memoryReservation", { memoryReservation: "1GiB" }, {}, "keeps running"],
    ["pids", { pids: 512 }, {}, "keeps running"],
    ["sudo", { sudo: false }, {}, "replaced"],
    ["workspaces.services", {}, { workspaces: { services: "published-insecure" } }, "replaced"],
    ["credentialsVersion", { credentialsVersion: 2 }, {}, "keeps running"],
  ])("%s: the workspace is as the guide says", async (key, edit, more, expected) => {
    const changes = changesOf(await container({ ...alice, ...edit }, more));
    expect(changes.some(({ replace }) => replace) ? "replaced" : "keeps running").toBe(expected);
    expect(told(key), `the guide's row of ${key}`).toContain(
      expected === "replaced" ? "is replaced" : "keeps running",
    );
  });
});
