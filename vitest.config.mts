import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

const MINUTE = 60_000;

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
      {
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.{ts,mts}", "plugins/*/test/**/*.test.{ts,mts}"],
          testTimeout: 20_000,
          // Many of them wait for processes that they started; on 2 cores this takes 40 s instead of 60 s.
          maxWorkers: Math.max(4, availableParallelism()),
        },
      },
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
      { test: { name: "last", include: ["test/e2e/last/**/*.test.{ts,mts}"], ...slow } },
    ],
  },
});
