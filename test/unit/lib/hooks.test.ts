/** Modules that unit tests share: they are loaded once for many files, so what they do when loaded happens once. */
import { globSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";

const SHARED = ["test/{unit,lib,fakes}/**/*.{ts,mts}", "plugins/*/test/**/*.{ts,mts}"];

it("register no hook when they are loaded: only the first file of a process would have it", () => {
  const files = globSync(SHARED, { exclude: ["**/node_modules", "**/*.test.{ts,mts}"] });
  expect(files.length).toBeGreaterThan(50);
  const hooked = files.filter((file) => /^(before|after)(Each|All)\(/m.test(readFileSync(file, "utf8")));
  expect(hooked).toEqual([]);
});
