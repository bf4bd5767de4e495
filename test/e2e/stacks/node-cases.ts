/**
 * @file The cases of `npm run node`, for a stack of `cluster-rig.ts` that is up: two local nodes, people on both. They
 * leave it as they found it.
 */
import { spawn } from "node:child_process";
import { expect, it } from "vitest";
import type { Ran } from "../../lib/run";
import { MINUTE, SECOND } from "../../lib/time";
import { until } from "../../lib/until";
import { onNode, ssh, type User } from "./cluster-clients";
import { allUp, docker, env, HEAD, nothingToDo, run, STACK, status, WORKER } from "./cluster-rig";

/** What people call: `npm run -s node -- COMMAND NAME --json --yes`. */
const node = (command: string, name: string, args: string[] = [], deadline = 12 * MINUTE): Promise<Ran> =>
  run(process.execPath, ["scripts/node.mjs", command, name, "--stack", STACK, "--yes", "--json", ...args], {
    deadline,
  });

interface Result {
  state: string;
  cut: string[];
  warnings: string[];
}

/** The same, expecting success. */
async function done(command: string, name: string, args: string[] = []): Promise<Result & { text: string }> {
  const ran = await node(command, name, args);
  if (ran.code !== 0) throw new Error(`node ${command} ${name} ended with ${ran.code}:\n${ran.text}`);
  return { ...JSON.parse(ran.stdout), text: ran.text };
}

const machine = `berth-${STACK}-node-1`;
const machineId = () => docker("inspect", "--format", "{{.Id}}", machine);
const ray = `berth-${STACK}-ray`;
const rayState = () => onNode("node-1", `docker exec ${ray} berth-ray state`);

/** Somebody who lives on the worker. */
async function tenant(): Promise<User> {
  const { status: now } = await status();
  const found = now.users.find((user) => user.node === "node-1" && user.state === "running");
  if (!found) throw new Error("nobody's workspace runs on node-1");
  return found.name as User;
}

/**
 * A program of alice's: a task on the worker that takes so many seconds, what became of it, and where six more tasks
 * ran afterwards. Resolves when the task has begun; `end` gives what the program said.
 */
async function longTask(seconds: number): Promise<{ end: () => Promise<string> }> {
  const program = `
import ray, time
ray.init(logging_level="ERROR")
@ray.remote(num_cpus=0, resources={"node_node-1": 0.1}, max_retries=0)
def long():
    open("/tmp/berth-e2e-long", "w").close()
    time.sleep(${seconds})
    return "ended in order"
@ray.remote(num_cpus=1, scheduling_strategy="SPREAD")
def where():
    return ray.util.get_node_ip_address()
try:
    print(ray.get(long.remote()))
except Exception as error:
    print(type(error).__name__)
print(*sorted(set(ray.get([where.remote() for _ in range(6)]))))
`;
  const text = Buffer.from(program).toString("base64");
  await onNode("node-1", `docker exec ${ray} rm -f /tmp/berth-e2e-long`);
  const ended = ssh(
    "alice",
    `echo ${text} | base64 -d > ~/long.py && bash -lc 'python ~/long.py'`,
    8 * MINUTE,
  );
  ended.catch(() => {}); // Seen by whoever asks for the end.
  await until("the task's beginning", 2 * MINUTE, async () => {
    await onNode("node-1", `docker exec ${ray} test -e /tmp/berth-e2e-long`);
    return true;
  });
  return { end: () => ended };
}

/** The cases, in their order. */
export function nodeCases(): void {
  it("refuses to take Ray down by accident, and what is no node", async () => {
    const head = await node("drain", "node-0");
    expect([head.code, head.text]).toEqual([1, expect.stringMatching(/whole Ray cluster stops.*--head/s)]);
    expect((await node("drain", "node-7")).code).toBe(2);
    expect(await onNode("node-0", "ls /var/lib/berth/drained 2>/dev/null || echo none")).toBe("none");
  });

  it("drains a node: what runs ends, what is new goes elsewhere, and it stays out", {
    timeout: 15 * MINUTE,
  }, async () => {
    const user = await tenant();
    const terminal = "nohup script -qfc 'sleep 240' ~/terminal.log </dev/null >/dev/null 2>&1 &";
    await ssh(user, `rm -f ~/terminal.log; ${terminal}`);
    const { end } = await longTask(20);
    const result = await done("drain", "node-1", ["--deadline", "5m", "--reason", "a new disk"]);
    expect(result).toMatchObject({ state: "drained", cut: [], warnings: [] });
    expect(await end()).toBe(`ended in order\n${HEAD}`);
    expect(await ssh(user, "cat ~/terminal.log")).toContain("Node node-1 is being taken out");
    expect(await ssh(user, "cat /etc/motd.d/50-berth-node")).toContain("a new disk");
    // Ray's page lists a node that has left for some seconds more.
    await until("Ray to miss the node", 30 * SECOND, async () => (await status()).status.ray?.nodes === 1);
    const out = (await status()).status.nodes.find(({ name }) => name === "node-1");
    expect(out).toMatchObject({ state: "out", out: { reason: "a new disk", by: "drain" } });

    // Whatever starts its container again; and it is no drift.
    await onNode("node-1", `docker restart -t 20 ${ray} >/dev/null`);
    await until("Ray to wait", MINUTE, async () =>
      (await onNode("node-1", `docker logs --since 1m ${ray} 2>&1`)).includes("this node is drained"),
    );
    expect(await rayState()).toBe("drained");
    await nothingToDo();

    const two = await node("reboot", "node-0", ["--head"]);
    expect([two.code, two.text]).toEqual([1, expect.stringContaining("one node at a time")]);
    expect((await done("drain", "node-1")).text).toContain("a new disk");

    expect(await done("undrain", "node-1")).toMatchObject({ state: "in service" });
    await allUp(2 * MINUTE);
    expect(await ssh(user, "ls /etc/motd.d; rm -f ~/terminal.log")).toBe("");
    expect(await onNode("node-1", "ls /var/lib/berth/drained 2>/dev/null || echo none")).toBe("none");
  });

  it("restarts a node, cuts off what outlives the deadline, and brings all of it back", {
    timeout: 15 * MINUTE,
  }, async () => {
    const user = await tenant();
    await ssh(user, "echo kept > ~/before-restart");
    const began = () => docker("inspect", "--format", "{{.State.StartedAt}}", machine);
    const [before, id] = [await began(), await machineId()];
    const { end } = await longTask(600);
    const result = await done("reboot", "node-1", ["--deadline", "5s"]);
    expect(result).toMatchObject({ state: "in service", cut: ["long"], warnings: [] });
    expect(await end()).toBe(`NodeDiedError\n${HEAD}`);
    expect(await machineId()).toBe(id);
    expect(await began()).not.toBe(before);
    expect((await status()).code).toBe(0);
    expect(await ssh(user, "cat ~/before-restart")).toBe("kept");
    expect(await ssh(user, "ls /etc/motd.d")).toBe("");
  });

  it("makes a node's machine anew, goes on when cut off, and leaves homes alone", {
    timeout: 25 * MINUTE,
  }, async () => {
    const user = await tenant();
    const volumes = () => docker("volume", "inspect", "--format", "{{.CreatedAt}}", `${machine}-storage`);
    const [old, made] = [await machineId(), await volumes()];
    const args = ["scripts/node.mjs", "replace", "node-1", "--stack", STACK, "--yes", "--deadline", "30s"];
    const child = spawn(process.execPath, args, { env, stdio: "ignore" });
    // One that is cut off before it has started is taken away again: that is made anew, and not gone on with.
    const another = await until("another machine that runs", 8 * MINUTE, async () => {
      const now = await machineId();
      const started = Date.parse(await docker("container", "inspect", "-f", "{{.State.StartedAt}}", machine));
      return now !== old && started > 0 && Date.now() - started > 2 * SECOND && now;
    });
    child.kill("SIGINT");
    await until("the command's end", 5 * MINUTE, async () => child.exitCode !== null);
    expect(child.exitCode).toBe(130);

    const result = await done("replace", "node-1");
    expect(result).toMatchObject({ state: "in service", warnings: [] });
    expect(result.text).toContain("which did not end; going on");
    expect(await machineId()).toBe(another);
    expect(await volumes()).toBe(made);
    await allUp(2 * MINUTE);
    expect(await ssh(user, "cat ~/before-restart")).toBe("kept");
    expect(await onNode("node-1", `docker exec ${ray} sh -c 'echo $BERTH_RAY_NODE_IP'`)).toBe(WORKER);
    await nothingToDo();
  });

  it("lets one command at a time at the stack's nodes", { timeout: 5 * MINUTE }, async () => {
    const both = await Promise.all([node("undrain", "node-1"), node("undrain", "node-1")]);
    expect(both.map(({ code }) => code).sort()).toEqual([0, 1]);
    expect(both.map(({ text }) => text).join("\n")).toContain("is at work");
    await allUp(30 * SECOND);
  });
}
