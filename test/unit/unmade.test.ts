/**
 * What the configuration can say and the program cannot make yet.
 * Proves: it is refused by name, all of it at once; a stack of local nodes alone is not.
 */
import { describe, expect, it } from "vitest";
import { localNodes } from "../../components/unmade";
import type { Plan } from "../../config";
import { dropletStack, load, local, metalStack } from "./config-helpers";

const refusal = (plan: Plan): string => {
  try {
    localNodes(plan);
  } catch (error) {
    return (error as Error).message;
  }
  return "";
};

describe("a stack that asks for more than local nodes", () => {
  it("is told each part of it, and that nothing was touched", () => {
    const plan = load(metalStack);
    const [node, ...rest] = plan.nodes;
    if (!node) throw new Error("no node");
    const text = refusal({
      ...plan,
      nodes: [
        {
          ...node,
          storage: { devices: [] },
          fabric: { enabled: true, interface: "ib0", address: "10.1.0.1/24" },
        },
        ...rest,
      ],
      production: true,
    });
    for (const { name } of rest) expect(text).toContain(`the node "${name}" of kind baremetal`);
    for (const part of [`storage on "${node.name}"`, `fabric on "${node.name}"`, "production: true"])
      expect(text).toContain(part);
    expect(text).toContain("Nothing was touched");
    expect(refusal(load(dropletStack))).toContain("of kind digitalocean");
  });

  it("goes on with local nodes", () => {
    const plan = load({ nodes: [local("node-0", "head", "10.88.0.10")] });
    expect(localNodes(plan)).toEqual(plan.nodes);
  });
});
