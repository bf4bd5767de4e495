/** What the engine says becomes the outputs that the official plugin would have written. */
import { checkInputs, type Props, type Value } from "@berth/plugin-base";
import {
  diffFields,
  driftedInputs,
  type Field,
  importInputsOf,
  inputSchema,
  plainProps,
  sameValue,
} from "@berth/plugin-base/bridged";
import { describe, expect, it } from "vitest";
import { importState } from "../src/container/import";
import type { Inspect } from "../src/container/inspect";
import { containerFields } from "../src/container/schema";
import { containerState, decimal } from "../src/container/state";
import { type Recorded, recorded } from "./support";

const full = recorded.full as Recorded;
const small = recorded.small as Recorded;
/** The inputs of these two that Berth's plugin does not set. */
const REFUSED: Record<string, string[]> = {
  small: [],
  full: [
    ...["cpuShares", "dns", "groupAdds", "hosts", "mounts[1].tmpfsOptions", "networksAdvanced[0].aliases"],
    ...["sysctls", "ulimits"],
  ],
};
const change = (inspect: Inspect, edit: (copy: Inspect) => unknown): Inspect => {
  const copy = structuredClone(inspect);
  edit(copy);
  return copy;
};

describe.each(Object.entries(recorded))("the %s container", (name, { inspect, checked, outputs }) => {
  it("has the official outputs, whether read after a create or over an official state", () => {
    for (const known of [checked, outputs]) {
      const state = containerState(inspect, known);
      for (const [key, value] of Object.entries(plainProps(outputs))) {
        const field = containerFields[key] as Field | undefined;
        const mine = (state[key] ?? null) as Value;
        if (field === undefined || field.output === true) expect(mine, key).toEqual(value);
        else expect(sameValue(field, mine, value), `${key}: ${JSON.stringify(mine)}`).toBe(true);
      }
      expect(state.__meta).toBe(outputs.__meta);
    }
  });

  it("has nothing that the official outputs lack", () => {
    const state = plainProps(containerState(inspect, checked));
    expect(Object.keys(state).filter((key) => !(key in outputs) && !isEmpty(state[key] as Value))).toEqual(
      [],
    );
  });

  it("reads back what the program said, so that nothing is left to do", () => {
    const state = containerState(inspect, checked);
    expect(diffFields(containerFields, state, checked)).toEqual([]);
    expect(driftedInputs(containerFields, checked, state)).toEqual(checked);
    expect(containerState(inspect, state)).toEqual(state);
  });

  it("can be imported: the inputs that come of it differ in nothing from the program", () => {
    const state = importState(inspect, { env: ["PATH=/bin"], labels: {} }, "host");
    // Uploads cannot be read back, and these two are the plugin's own affair.
    const skip = ["uploads", "destroyGraceSeconds", "waitTimeout"];
    expect(diffFields(containerFields, state, checked, skip)).toEqual([]);
    const inputs = importInputsOf(containerFields, state);
    expect(diffFields(containerFields, state, inputs)).toEqual([]);
    // What is left of those that cannot be given was given by somebody, and is refused by name.
    const refused = checkInputs("docker:T", inputSchema(containerFields), inputs).failures;
    expect(refused.map(({ property }) => property).sort()).toEqual(REFUSED[name]);
  });
});

const isEmpty = (value: Value): boolean =>
  value === "" ||
  value === 0 ||
  value === false ||
  (typeof value === "object" && Object.keys(value as Props).length === 0);

describe("drift", () => {
  it("a stopped container that must run reads mustRun: false, and its exit code", () => {
    const stopped = change(full.inspect, (copy) => {
      copy.State = { Status: "exited", Running: false, ExitCode: 3 };
    });
    const state = containerState(stopped, full.outputs);
    expect([state.mustRun, state.exitCode]).toEqual([false, 3]);
    expect(driftedInputs(containerFields, full.checked, state).mustRun).toBe(false);
  });

  it("a stopped container keeps its ports: a start is enough, and nothing at all if it may stop", () => {
    const stopped = change(full.inspect, (copy) => {
      copy.State = { Status: "exited", Running: false, ExitCode: 0 };
      copy.NetworkSettings = { Ports: {}, Networks: {} };
    });
    for (const mustRun of [true, false]) {
      const known = { ...full.checked, mustRun };
      const changes = diffFields(containerFields, containerState(stopped, known), known);
      expect(changes).toEqual(mustRun ? [{ path: ["mustRun"], kind: "add", replace: false }] : []);
    }
  });

  it.each<[string, (copy: Inspect) => unknown, string]>([
    ["docker update -m", (c) => Object.assign(c.HostConfig, { Memory: 32 * 1024 * 1024 }), "memory"],
    [
      "docker update --restart",
      (c) => Object.assign(c.HostConfig, { RestartPolicy: { Name: "no", MaximumRetryCount: 0 } }),
      "restart",
    ],
    ["docker rename", (c) => Object.assign(c, { Name: "/other" }), "name"],
    ["docker update --cpu-shares", (c) => Object.assign(c.HostConfig, { CpuShares: 7 }), "cpuShares"],
  ])("%s shows as a change", (_, edit, key) => {
    const state = containerState(change(full.inspect, edit), full.outputs);
    expect(diffFields(containerFields, state, full.checked).map(({ path }) => path[0])).toEqual([key]);
  });
});

describe("details", () => {
  it("a container made by image id is compared by that id", () => {
    const state = containerState(small.inspect, { ...small.checked, image: small.inspect.Image });
    expect(state.image).toBe(small.inspect.Image);
    expect(state.image).toMatch(/^sha256:/);
  });

  it("systempaths=unconfined, which the engine keeps as two empty lists, stays in the state", () => {
    const options = ["systempaths=unconfined", "apparmor=unconfined", "seccomp=unconfined"];
    const open = change(full.inspect, (copy) => Object.assign(copy.HostConfig, { MaskedPaths: [] }));
    expect(containerState(open, { ...full.checked, securityOpts: options }).securityOpts).toEqual(options);
    expect(
      containerState(full.inspect, { ...full.checked, securityOpts: options }).securityOpts,
    ).not.toContain(options[0]);
  });

  it("a port that the engine chose is in the outputs and no change", () => {
    const known = {
      ...full.checked,
      ports: (full.checked.ports as Props[]).map(({ external: _, ...port }) => port),
    };
    const state = containerState(full.inspect, known);
    expect((state.ports as Props[]).map((port) => port.external).sort()).toEqual([18053, 18080]);
    expect(diffFields(containerFields, state, known)).toEqual([]);
  });

  it.each([
    [5e8, "0.5"],
    [2e9, "2.0"],
    [1e10, "10.0"],
    [5e7, "0.05"],
    [1.5e9, "1.5"],
  ])("%d nano-CPUs are %s", (nanos, text) => {
    expect(decimal(nanos)).toBe(text);
  });
});
