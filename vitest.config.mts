import { globSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

const MINUTE = 60_000;

/** The unit tests, by the files' names from the root. */
const UNIT = ["test/unit/**/*.test.{ts,mts}", "plugins/*/test/**/*.test.{ts,mts}"];
/** Those that put others in place of modules, which the files after them in the same process would get as well. */
const REPLACING = globSync(UNIT, { exclude: ["**/node_modules"] }).filter((file) =>
  readFileSync(file, "utf8").includes("vi.mock("),
);

const unit = {
  // They end what hangs: on a busy computer all takes several times as long.
  testTimeout: 2 * MINUTE,
  hookTimeout: 2 * MINUTE,
  // Some wait for processes that they started, so there are more of them than two processors. Each further one loads all
  // modules again, which takes eight seconds of a processor.
  maxWorkers: Math.max(4, availableParallelism()),
};

/** Pulumi, Docker and whole machines: one file at a time, each step with its own deadline inside the tests. */
const slow = {
  fileParallelism: false,
  testTimeout: 30 * MINUTE,
  hookTimeout: 45 * MINUTE,
  teardownTimeout: MINUTE,
};

export default defineConfig({
  test: {
    projects: [
      // One process runs many files and loads the modules under test once: half of the processors' time.
      { test: { name: "unit", include: UNIT, exclude: REPLACING, isolate: false, ...unit } },
      { test: { name: "unit-replacing", include: REPLACING, ...unit } },
      {
        test: {
          name: "process",
          include: ["test/process/**/*.test.{ts,mts}"],
          testTimeout: 5 * MINUTE,
          hookTimeout: 5 * MINUTE,
        },
      },
      { test: { name: "engine", include: ["test/engine/**/*.test.{ts,mts}"], ...slow } },
      { test: { name: "nodes", include: ["test/e2e/nodes/**/*.test.{ts,mts}"], ...slow } },
      { test: { name: "stacks", include: ["test/e2e/stacks/**/*.test.{ts,mts}"], ...slow } },
      { test: { name: "machines", include: ["test/machines/**/*.test.{ts,mts}"], ...slow } },
      { test: { name: "last", include: ["test/e2e/last/**/*.test.{ts,mts}"], ...slow } },
    ],
  },
});
