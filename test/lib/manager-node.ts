/** @file The container manager of a node.json, for tests of berthd. */
import type { ManagerConfig } from "../../agent/src/config";

/** On a port that is free, over plain HTTP unless `tls` is given; what is left out is as a stack writes it. */
export const managerNode = (
  tls?: ManagerConfig["listen"]["tls"],
  more: Partial<ManagerConfig> = {},
): ManagerConfig => ({
  listen: { address: "127.0.0.1", port: 0, ...(tls && { tls }) },
  publish: { address: "127.0.0.1" },
  url: `http${tls ? "s" : ""}://127.0.0.1:8080`,
  templates: [],
  images: { default: "node:24-slim", allowed: ["node:*"] },
  repositories: { hosts: [{ host: "github.com" }] },
  callbacks: { allowed: [] },
  origins: [],
  reserveMiB: 1024,
  mainImages: { unusedHours: 168 },
  ...more,
});
