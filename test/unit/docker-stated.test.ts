/**
 * The program says of its Docker objects what the engine will answer, in the engine's own words. What it left to the
 * engine, or said otherwise, would be a change after a restart or a refresh, and a change of a network takes every
 * container on it along; the official plugin compares word by word.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { WORKSPACE_GATEWAY, WORKSPACE_NETWORK } from "../../config";
import { isFirstHost } from "../../core/net";
import { goDuration, nanoseconds } from "../../plugins/docker/src/container/duration";
import { localStack, of, runCluster, type Seen } from "./components/cluster-recorder";

const gpu = { kind: "mig", profile: "1g.10gb" };
const DECLARED = [{ model: "NVIDIA H100 80GB HBM3", memory: "80GiB", count: 1, mig: { "1g.10gb": 7 } }];

function local(): Record<string, unknown> {
  const stack = localStack([
    { name: "alice", node: "node-0", index: 0, gpu },
    { name: "bob", node: "node-1", index: 1, state: "stopped" },
  ]) as { nodes: Record<string, unknown>[] };
  return { ...stack, nodes: stack.nodes.map((node) => ({ ...node, gpus: DECLARED })) };
}

const metal = {
  nodes: [
    {
      kind: "baremetal",
      name: "metal-0",
      role: "head",
      address: "192.0.2.100:10.20.0.100",
      hostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3sVLBFoRzHQYyDZrHPwXfjMVBL2zHkUSo5nZ6QbQ3p",
      cpus: 8,
      memory: "32GiB",
    },
  ],
  users: [{ name: "alice", node: "metal-0", index: 0 }],
  firewall: { allowSsh: ["198.51.100.0/24"] },
};

describe.each([
  ["local nodes", local()],
  ["servers", metal],
])("a stack of %s", (_, config) => {
  let seen: Seen[];
  beforeAll(async () => {
    seen = await runCluster(config, false);
  });

  it("states the gateway of each of its networks' subnets", () => {
    const networks = of(seen, "docker:index/network:Network");
    expect(networks.length).toBeGreaterThan(0);
    for (const { name, inputs } of networks) {
      const configs = inputs.ipamConfigs as { subnet: string; gateway?: string }[];
      expect(configs?.length, name).toBeGreaterThan(0);
      for (const { subnet, gateway = "" } of configs)
        expect(isFirstHost(subnet, gateway), `${name}: ${subnet}, ${gateway}`).toBe(true);
    }
  });

  it("writes durations, capabilities, CPUs and swap as they are read back", () => {
    const containers = of(seen, "docker:index/container:Container");
    expect(containers.length).toBeGreaterThan(2);
    for (const { name, inputs } of containers) {
      const health = (inputs.healthcheck ?? {}) as Record<string, unknown>;
      for (const key of ["interval", "timeout", "startPeriod", "startInterval"]) {
        const text = health[key];
        if (typeof text === "string") expect(text, `${name}: ${key}`).toBe(goDuration(nanoseconds(text)));
      }
      const { adds = [], drops = [] } = (inputs.capabilities ?? {}) as Record<string, string[]>;
      for (const capability of [...adds, ...drops]) expect(capability, name).toMatch(/^(ALL|CAP_[A-Z_]+)$/);
      if (inputs.cpus !== undefined) expect(inputs.cpus, name).toMatch(/^\d+\.\d*[1-9]$|^\d+\.0$/);
      if (inputs.memory !== undefined) expect(inputs.memorySwap, name).toBeGreaterThan(0);
      for (const [key, value] of Object.entries(inputs))
        if (Array.isArray(value)) expect(value, `${name}: ${key}`).not.toEqual([]);
    }
  });

  it("leaves no driver, restart policy or address to the engine", () => {
    for (const { name, inputs } of of(seen, "docker:index/container:Container")) {
      expect(inputs.logDriver, name).toBeTypeOf("string");
      // The stack wants bob's workspace down.
      expect(inputs.restart, name).toBe(name === "berth-workspace-bob" ? "no" : "unless-stopped");
      for (const port of (inputs.ports ?? []) as Record<string, unknown>[]) {
        expect(port, name).toMatchObject({ ip: expect.any(String), external: expect.any(Number) });
        expect(port.protocol, name).toBeTypeOf("string");
      }
    }
  });
});

it("the workspaces' gateway is the one that Docker gave networks made before it was stated", () => {
  expect(isFirstHost(WORKSPACE_NETWORK, WORKSPACE_GATEWAY)).toBe(true);
});
