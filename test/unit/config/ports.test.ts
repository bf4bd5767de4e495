/** The ports of nodes: the registry's are reserved where the head serves it, and the guide's table has every one. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { nodeOpenings } from "../../../config";
import { namedRanges, REGISTRY_PORTS } from "../../../config/network/ports";
import { dropletStack, load, local, metalStack, problems } from "./helpers";

const localStack = { nodes: [local("node-0", "head", "10.88.0.10")] };
const colliding = [
  [{ ray: { dashboard: 5000 } }, "ports.ray.dashboard"],
  [{ ray: { gcs: 5001 } }, "ports.ray.gcs"],
  [{ containers: { start: 4900, end: 5100 } }, "ports.containers"],
] as const;

describe("the image registry's ports", () => {
  it.each(colliding)("are not given away by %j where the head serves it", (ports, path) => {
    for (const stack of [metalStack, dropletStack]) {
      const [problem, ...more] = problems({ ...stack, ports });
      expect(more).toEqual([]);
      expect(problem?.path).toBe(`berth:${path}`);
      expect(problem?.problem).toMatch(/the image registry \(5000-5001\).* overlap/);
    }
  });

  it.each(colliding)("are free for %j where the operator's computer serves all nodes", (ports) => {
    expect(problems({ ...localStack, ports })).toEqual([]);
  });

  it("collide with berthd's", () => {
    expect(problems({ ...metalStack, agent: { port: REGISTRY_PORTS.end } })[0]?.path).toBe(
      "berth:agent.port",
    );
  });
});

it("the guide's table has every port that a node listens on", () => {
  const guide = readFileSync("docs/operators.md", "utf8");
  const section = guide.split("\n## Ports of a node\n")[1]?.split("\n## ")[0] ?? "";
  const ranges = [...section.matchAll(/^\| ([\d, -]+)/gm)].flatMap(([, cell = ""]) =>
    cell.split(",").map((range) => range.trim().split("-").map(Number)),
  );
  const told = (start: number, end: number) =>
    Array.from({ length: end - start + 1 }, (_, i) => start + i).every((port) =>
      ranges.some(([first = 0, last = first]) => first <= port && port <= last),
    );
  const nfs = { server: { exports: [{ path: "/data", to: ["10.0.0.0/24"] }] } };
  const users = [{ name: "alice", node: "metal-1", index: 0 }];
  const manager = { tenants: [{ name: "web-ide" }] };
  const plan = load({ ...metalStack, users, manager, storage: { nfs } });
  for (const { what, start, end } of namedRanges(plan.ports)) expect(told(start, end), what).toBe(true);
  for (const { what, ports } of plan.nodes.flatMap((node) => nodeOpenings(plan, node)))
    for (const { start, end } of ports) expect(told(start, end), what).toBe(true);
});
