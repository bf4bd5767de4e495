/**
 * The official Docker plugin reads durations back as Go prints them, and shows any other spelling as a change for ever
 * after a refresh. So every one is written as Go would print it, in every container of every kind of stack.
 */
import { describe, expect, it } from "vitest";
import { goDuration, nanoseconds } from "../../../plugins/docker/src/container/duration";
import { droplet, firewall, metal } from "../config/helpers";
import { localStack, of, runCluster } from "./cluster-recorder";

const users = [{ name: "alice", node: "node-0", index: 0 }];
const stacks: [string, Record<string, unknown>][] = [
  ["local nodes", localStack(users)],
  [
    "machines",
    {
      nodes: [metal(0), droplet(1)],
      users: [{ name: "alice", node: "metal-0", index: 0 }],
      digitalocean: { region: "fra1" },
      firewall,
    },
  ],
];
const FIELDS = ["interval", "timeout", "startPeriod", "startInterval"];

describe("durations of containers", () => {
  it.each(stacks)("are spelt as Go prints them: %s", { timeout: 60_000 }, async (_, config) => {
    const found = of(await runCluster(config, false), "docker:index/container:Container").flatMap(
      ({ name, inputs }) => {
        const check = (inputs.healthcheck ?? {}) as Record<string, string>;
        return FIELDS.flatMap((field) =>
          check[field] === undefined ? [] : [`${name} ${field} ${check[field]}`],
        );
      },
    );
    expect(found.length).toBeGreaterThan(5);
    for (const line of found) {
      const text = line.split(" ")[2] as string;
      expect(line).toBe(line.replace(text, goDuration(nanoseconds(text))));
    }
  });

  it("would not pass as 60s", () => {
    expect(goDuration(nanoseconds("60s"))).toBe("1m0s");
  });
});
