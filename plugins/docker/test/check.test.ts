/** Inputs that are not known, or not of the right form, are refused with what is allowed. */
import { checkInputs, type Props } from "@berth/plugin-base";
import { checkResource, type Fields, inputSchema, previewState } from "@berth/plugin-base/bridged";
import { describe, expect, it } from "vitest";
import { containerFields } from "../src/container/schema";
import { imageFields } from "../src/image/schema";
import { networkFields } from "../src/network/schema";
import { volumeFields } from "../src/volume/schema";
import { bag, context } from "./support";

/** As the plugin's server does it: the schema first, then the resource's own check. */
function check(
  fields: Fields,
  news: Props,
  olds: Props = {},
  named = true,
): { inputs: Props; faults: string[] } {
  const { inputs, failures } = checkInputs("docker:T", inputSchema(fields), news);
  if (failures.length > 0) return { inputs, faults: failures.map((f) => `${f.property} ${f.reason}`) };
  const own = checkResource(fields, { olds: bag(olds), news: bag(inputs) }, context("thing"), named);
  return { inputs: own.inputs, faults: own.failures.map((f) => `${f.property} ${f.reason}`) };
}

const container = (news: Props) => check(containerFields, { image: "i", name: "n", ...news });

describe("check", () => {
  it.each<[Props, RegExp]>([
    [{ imagee: "x" }, /^imagee is not known .*allowed: .*image, init, ipcMode/],
    [
      { ports: [{ internal: 80, extern: 1 }] },
      /^ports\[0\]\.extern is not known .*allowed: external, internal, ip, protocol/,
    ],
    [{ pidsLimit: 5 }, /^pidsLimit is not known/],
    [{ bridge: "x" }, /^bridge is not known/],
    [{ memory: "64" }, /^memory is a string; give it as a whole number/],
    [{ memory: -1 }, /^memory is out of range/],
    [{ restart: "sometimes" }, /^restart is not one of "no", "on-failure"/],
    [{ ports: [{ external: 1 }] }, /^ports\[0\]\.internal is missing/],
    [{ healthcheck: { tests: ["x"], interval: "often" } }, /^healthcheck\.interval does not have the form/],
    [
      { uploads: [{ file: "/x", content: "x", permissions: "600" }] },
      /^uploads\[0\]\.permissions does not have the form/,
    ],
    [{ mounts: [{ type: "npipe", target: "/x" }] }, /^mounts\[0\]\.type is not one of/],
    [{ labels: { a: "b" } }, /^labels is an object; give it as a list/],
    [{ cpus: "many" }, /^cpus does not have the form/],
    [{ gpus: "all" }, /^gpus is not supported here: .*install the official plugin/],
    [{ attach: false }, /^attach is not supported here/],
    [{ volumes: [{ volumeName: "v", containerPath: "/v" }] }, /^volumes is not supported here/],
    [
      { uploads: [{ file: "/x", content: "x", source: "/y" }] },
      /^uploads\[0\]\.source is not supported here/,
    ],
    [{ uploads: [{ file: "/x" }] }, /^uploads\[0\]\.content is missing/],
    [
      { healthcheck: { tests: ["x"], startInterval: "1s" } },
      /^healthcheck\.startInterval is not supported here/,
    ],
  ])("refuses %j", (news, message) => {
    const { faults } = container(news);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(message);
  });

  it("says what is not offered, and what to do instead", () => {
    expect(check(imageFields, { name: "x", build: { context: "." } }, {}, false).faults[0]).toMatch(
      /^build is not supported here: .*digest/,
    );
    expect(check(volumeFields, { name: "x", cluster: { scope: "single" } }).faults[0]).toMatch(
      /^cluster is not supported here/,
    );
  });

  it("makes up a name and keeps it", () => {
    for (const fields of [networkFields, volumeFields]) {
      const first = check(fields, {}).inputs;
      expect(first.name).toMatch(/^thing-[0-9a-f]{7}$/);
      expect(first.__defaults).toContain("name");
      expect(check(fields, {}, first).inputs.name).toBe(first.name);
      expect(check(fields, {}, { ...first, __defaults: [] }).inputs.name).not.toBe(first.name);
      expect(check(fields, { name: "own" }, first).inputs.name).toBe("own");
    }
  });

  it("leaves what the program gave out of __defaults", () => {
    expect(check(networkFields, { name: "n", ipamDriver: "default" }).inputs.__defaults).toEqual([]);
    expect(check(networkFields, { name: "n" }).inputs.__defaults).toEqual(["ipamDriver"]);
  });
});

describe("a preview", () => {
  const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
  it("knows the inputs and nothing that the engine decides", () => {
    const state = previewState(containerFields, { image: "i", ports: [{ internal: 80 }], envs: ["A=1"] });
    expect(state).toMatchObject({ image: "i", envs: ["A=1"], hostname: unknown, networkDatas: unknown });
    expect(state.ports).toEqual([{ internal: 80, external: unknown }]);
    expect(state).not.toHaveProperty("memory");
  });
  it("of an update keeps what will not change", () => {
    const state = previewState(
      containerFields,
      { ports: [{ internal: 80 }] },
      { hostname: "h", ports: [{ internal: 80, external: 32768, ip: "0.0.0.0", protocol: "tcp" }] },
    );
    expect(state).toMatchObject({ hostname: "h", ports: [{ internal: 80, external: 32768 }] });
  });
});
