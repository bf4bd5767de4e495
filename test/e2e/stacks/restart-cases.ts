/**
 * @file Restarts, and containers that somebody stopped or removed: cases of the cluster's test, with alice on node-0 and
 * carol on node-1, each with a GPU.
 */
import { expect, it } from "vitest";
import { MINUTE } from "../../lib/time";
import { until } from "../../lib/until";
import { credentials, forwarded, notebook, onNode, ssh, WHERE } from "./cluster-clients";
import {
  allUp,
  berth,
  docker,
  edit,
  type NODES,
  nothingToDo,
  pulumi,
  STACK,
  status,
  up,
  WORKER,
} from "./cluster-rig";
import { container, DEVICES, devicesOf, inside, sorted, unitsOf } from "./gpu-clients";

const OWNERS = [
  ["node-0", "alice"],
  ["node-1", "carol"],
] as const;

/** Ids of the stack's containers and networks, on the nodes' engines and on the operator's. */
async function ids(): Promise<string[]> {
  const label = `--filter label=berth.stack=${STACK}`;
  const ask = (node: keyof typeof NODES) =>
    onNode(node, `docker ps -aq --no-trunc ${label} | sort; docker network ls -q --no-trunc ${label} | sort`);
  const own = ["ps", "-aq", "--no-trunc", ...label.split(" ")];
  return Promise.all([
    ask("node-0"),
    ask("node-1"),
    docker(...own).then((text) => text.split("\n").sort().join()),
  ]);
}

async function expectGpus(): Promise<void> {
  for (const [node, user] of OWNERS) {
    const devices = await devicesOf(node, await unitsOf(node, user));
    expect(sorted(await inside(node, user, DEVICES)), user).toEqual(devices);
    expect(devices.length).toBeGreaterThan(0);
  }
}

export function restartCases(): void {
  it("comes back after a restart of a node and of another's Docker, and a refresh finds no change", {
    timeout: 20 * MINUTE,
  }, async () => {
    const before = await ids();
    await Promise.all([
      docker("restart", `berth-${STACK}-node-1`),
      onNode("node-0", "systemctl restart docker.service"),
    ]);
    await allUp(2 * MINUTE);
    expect(await ssh("carol", "id -un")).toBe("carol");
    await expectGpus();
    await pulumi(["refresh", "--yes", "--skip-preview", "--suppress-outputs"], { deadline: 6 * MINUTE });
    const again = await up(["--refresh", "--skip-preview"]);
    expect(again.text).not.toMatch(/\d+ (created|updated|replaced|deleted)/);
    expect(await ids()).toEqual(before);
  });

  it("comes back after a restart of everything", { timeout: 10 * MINUTE }, async () => {
    const all = ["registry", "node-0", "node-1"].map((name) => `berth-${STACK}-${name}`);
    await docker("restart", ...all);
    await allUp(2 * MINUTE);
    await expectGpus();
    const token = (await credentials()).alice?.jupyterToken ?? "";
    const cells = [WHERE, `on("${WORKER}")`];
    expect((await forwarded("alice", () => notebook("alice", token, cells)))[1]).toBe(`'${WORKER}'`);
    const service = "curl -s -m 10 -o /dev/null -w '%{http_code}' http://127.0.0.1:9000/";
    await until("alice's service", MINUTE, async () => (await ssh("alice", service)) === "200");
    await nothingToDo();
  });

  it("leaves down what the stack stopped, through a restart of its node's Docker, and starts it again", {
    timeout: 15 * MINUTE,
  }, async () => {
    const want = (state: "running" | "stopped") =>
      edit((config) => {
        config["berth:users"].find(({ name }: { name: string }) => name === "carol").state = state;
      });
    const look = () =>
      onNode("node-1", `docker inspect -f '{{.Id}} {{.State.Running}}' ${container("carol")}`);
    const [id, running] = (await look()).split(" ");
    expect(running).toBe("true");
    want("stopped");
    await up(["--skip-preview"]);
    expect(await look()).toBe(`${id} false`);
    await onNode("node-1", "systemctl restart docker.service");
    await allUp(2 * MINUTE);
    expect(await look()).toBe(`${id} false`);
    want("running");
    await up(["--skip-preview"]);
    expect(await look()).toBe(`${id} true`);
    expect(await ssh("carol", "id -un")).toBe("carol");
    await expectGpus();
  });

  it("says which containers somebody stopped or removed, and brings them back with the next up", {
    timeout: 20 * MINUTE,
  }, async () => {
    const id = async (name: string) => onNode("node-1", `docker inspect -f '{{.Id}}' ${name}`);
    const registry = () => docker("inspect", "--format", "{{.Id}}", `berth-${STACK}-registry`);
    const [carols, rays, registrys] = [
      await id(container("carol")),
      await id(`berth-${STACK}-ray`),
      await registry(),
    ];
    const units = await unitsOf("node-1", "carol");
    await ssh("carol", "echo kept > ~/notebooks/note");
    await Promise.all([
      onNode("node-1", `docker rm -f ${container("carol")}; docker stop -t 20 berth-${STACK}-ray`),
      docker("stop", `berth-${STACK}-registry`),
    ]);

    const { code, status: now } = await status();
    expect(code).toBe(3);
    expect(now.down.map(({ container: name, node, state }) => [name, node, state]).sort()).toEqual([
      [`berth-${STACK}-ray`, "node-1", "exited"],
      [`berth-${STACK}-registry`, null, "exited"],
      [container("carol"), "node-1", "missing"],
    ]);
    const preview = await berth("preview", [], 5 * MINUTE);
    expect(preview.code, preview.text.slice(-3000)).toBe(0);
    for (const line of [
      /carol's workspace is no longer there; the update brings it back/,
      /Ray on node-1 ended with status \d+ at \S+; the update brings it back/,
      /the registry ended with status \d+ at \S+; the update brings it back/,
    ])
      expect(preview.text).toMatch(line);
    // Its plan is the one of the update.
    expect(preview.text).toMatch(/\+.*berth-workspace-carol/);

    await up();
    await allUp(2 * MINUTE);
    expect([await id(`berth-${STACK}-ray`), await registry()]).toEqual([rays, registrys]);
    expect(await id(container("carol"))).not.toBe(carols);
    expect(await ssh("carol", "cat ~/notebooks/note")).toBe("kept");
    expect(await unitsOf("node-1", "carol")).toEqual(units);
    await expectGpus();
    await nothingToDo();
  });
}
