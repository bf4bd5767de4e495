/** What it proves: the stack, berthd's API and a container's request take the same asks for GPUs. */
import { describe, expect, it } from "vitest";
import { createSchema } from "../../../agent/src/containers";
import { ask as askOfApi } from "../../../agent/src/http/schemas";
import { userGpu } from "../../../config/gpu/schema";
import { MOST_UNITS } from "../../../core/gpu";

const image = `sha256:${"0".repeat(64)}`;
const takers: [string, (ask: object) => boolean][] = [
  ["a stack", (ask) => userGpu.safeParse(ask).success],
  ["berthd's API", (ask) => askOfApi.safeParse(ask).success],
  ["a container's request", (gpus) => createSchema.safeParse({ user: "alice", image, gpus }).success],
];

describe.each(takers)("%s", (_, takes) => {
  it.each([
    ["as many units as a node can have", { kind: "mig", count: MOST_UNITS }, true],
    ["more", { kind: "mig", count: MOST_UNITS + 1 }, false],
    ["none", { kind: "gpu", count: 0 }, false],
    ["a long model", { kind: "gpu", model: "x".repeat(128) }, true],
    ["a longer one", { kind: "gpu", model: "x".repeat(129) }, false],
    ["a line break in a profile", { kind: "mig", profile: "1g.10gb\n" }, false],
    ["no pins where there is a list of them", { kind: "gpu", pins: [] }, false],
    ["another strategy", { kind: "gpu", strategy: "random" }, false],
    ["a key that nothing knows", { kind: "gpu", size: 1 }, false],
  ])("%s", (_what, ask, taken) => expect(takes(ask)).toBe(taken));
});
