import type { Mark } from "../../../scripts/node/plan.mjs";

/** What a drain leaves on a node. */
export const mark: Mark = {
  since: "2026-11-21T08:00:00.000Z",
  reason: "new disk",
  by: "drain",
  deadline: "2026-11-21T08:10:00.000Z",
  boot: "b/1",
  workspaces: ["bob"],
  keep: true,
};
