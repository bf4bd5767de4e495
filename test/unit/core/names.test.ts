/** Proves: what is the id of a tenant's container, and so may stand in a path. */
import { expect, it } from "vitest";
import { isManagedCreation } from "../../../core/names";

it.each(["00000000", "0a1b2c3d", "ffffffff"])("%s is the id of a tenant's container", (id) => {
  expect(isManagedCreation(id)).toBe(true);
});

it.each([
  ["", "nothing"],
  ["0a1b2c3", "too short"],
  ["0a1b2c3d4", "too long"],
  ["0A1B2C3D", "in capitals"],
  ["0a1b2c3g", "no hexadecimal number"],
  ["../../../", "a path"],
  ["0a1b2c3d\n", "with a line behind it"],
  ["0a1b2c3d0a1b2c3d", "a creation of somebody else's"],
])("%j is none: %s", (id) => {
  expect(isManagedCreation(id)).toBe(false);
});
