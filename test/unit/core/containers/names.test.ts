/** Names of what a stack makes. Proves: they keep to the limits of engines and clouds, and two of them never fall together. */
import { expect, it } from "vitest";
import { physicalName, volumeName, workspaceName } from "../../../../core/containers";

it("are lower case and begin with the stack", () => {
  expect(physicalName("Prod")).toBe("berth-prod");
  expect(physicalName("prod", "node-0", "docker")).toBe("berth-prod-node-0-docker");
  expect(workspaceName("prod", "alice")).toBe("berth-prod-workspace-alice");
});

it("of volumes have at most 64 characters, and a long one ends in a hash of the whole", () => {
  const long = "x".repeat(60);
  expect(volumeName("prod", "data")).toBe("berth-prod-data");
  expect(volumeName("prod", "x".repeat(53))).toBe(`berth-prod-${"x".repeat(53)}`);
  expect(volumeName("prod", `${long}1`)).toMatch(/^berth-prod-x{44}-[0-9a-f]{8}$/);
  expect(volumeName("prod", `${long}1`)).not.toBe(volumeName("prod", `${long}2`));
});
