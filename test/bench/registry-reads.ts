/** Reads of the registry of containers in memory, beside the reading of dockerd's own answer from its JSON. */
import { recordOf } from "../../agent/src/containers/record";
import { ContainerRegistry } from "../../agent/src/containers/registry";
import type { Inspect } from "../../agent/src/docker/shapes";

const CONTAINERS = 1000;
const USERS = 50;
const ROUNDS = 2000;

function inspect(index: number): Inspect {
  return {
    Id: index.toString(16).padStart(64, "0"),
    Name: `/berth-bench-u${index % USERS}-c${index}`,
    Created: "2026-01-01T00:00:00Z",
    Config: {
      Image: "alpine",
      Labels: {
        "berth.owner": `u${index % USERS}`,
        "berth.component": "container",
        "berth.creation": `${index}`,
        "berth.grant": `g${index}`,
      },
    },
    HostConfig: {},
    NetworkSettings: { Ports: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: `${20_000 + index}` }] } },
    State: { Status: "running", Running: true, Pid: 1, ExitCode: 0, StartedAt: "2026-01-01T00:00:01Z" },
  };
}

/** Milliseconds of one call; the 99th percentile of many. */
function slowest(call: (round: number) => unknown): number {
  const times = Array.from({ length: ROUNDS }, (_, round) => {
    const began = performance.now();
    if (call(round) === undefined) throw new Error("nothing was read");
    return performance.now() - began;
  });
  return times.sort((a, b) => a - b)[Math.floor(ROUNDS * 0.99)] ?? 0;
}

export function reads() {
  const registry = new ContainerRegistry();
  const all = Array.from({ length: CONTAINERS }, (_, index) => inspect(index));
  for (const one of all) registry.put(recordOf(one, { source: "none", gpus: [] }));
  const answer = JSON.stringify(all);
  return {
    containers: CONTAINERS,
    list: slowest(() => (registry.list().length === CONTAINERS ? true : undefined)),
    owner: slowest((round) => registry.list(`u${round % USERS}`)[0]),
    id: slowest((round) => registry.get((round % CONTAINERS).toString(16).padStart(64, "0"))),
    name: slowest((round) => registry.get(`berth-bench-u${round % USERS}-c${round % CONTAINERS}`)),
    json: slowest(() => JSON.parse(answer)),
  };
}
