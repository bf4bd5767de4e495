/**
 * What Berth's table of GPUs does not know.
 * Proves: on a node with a driver it is told, once and where it is written, and nothing is refused; declared GPUs, which
 * no driver stands behind, are still held to the table; what the table knows is not told of.
 */
import { describe, expect, it } from "vitest";
import { loadConfig } from "../../../config";
import { isProfileName, migModelOf } from "../../../core/gpu";
import { H100, stack } from "./gpu-helpers";
import { metal, metalStack, paths } from "./helpers";

function cautions(config: Record<string, unknown>): string[] {
  const raw = Object.fromEntries(Object.entries(config).map(([k, v]) => [`berth:${k}`, JSON.stringify(v)]));
  return loadConfig("prod", raw, () => [], {}).cautions;
}
const layouts = (...entries: object[]) => ({ nvidia: { mig: entries } });
const at = (texts: string[]) => texts.map((text) => text.split(" ")[0]);

describe("a layout", () => {
  it.each<[string, string | object]>([
    ["a profile that is not known", "all-1g.11gb"],
    ["of another driver's GB200", { "1g.24gb": 7 }],
    ["mig-parted's own for a GB200", { "1g.24gb": 2, "2g.47gb": 1, "3g.95gb": 1 }],
    ["profiles of two models", { "1g.10gb": 1, "7g.141gb": 1 }],
    ["more than a known GPU holds", { "1g.10gb": 8 }],
    ["no places on a known GPU", { "3g.40gb": 2, "1g.10gb": 1 }],
  ])("with %s is told of, and the driver decides", (_, layout) => {
    const stackWide = { ...metalStack, runtime: layouts({ gpu: "all", layout }) };
    expect(at(cautions(stackWide))).toEqual(["berth:runtime.nvidia.mig[0].layout"]);
    const own = { ...metalStack, nodes: [metal(0), metal(1, { runtime: layouts({ gpu: 0, layout }) })] };
    const [said] = cautions(own);
    expect(said).toMatch(/^berth:nodes\[1\]\.runtime\.nvidia\.mig\[0\]\.layout (has|does) /);
    expect(said).toContain("as far as Berth knows");
    expect(said).toContain("The node's driver decides: it is asked before anything is changed there");
  });

  it.each(["all-2g.48gb", "all-1g.24gb+me", "all-1g.12gb", "all-disabled"])("%s is known", (layout) => {
    expect(cautions({ ...metalStack, runtime: layouts({ gpu: "all", layout }) })).toEqual([]);
  });

  it("of a node that leaves its GPUs alone is not told of", () => {
    const runtime = { ...layouts({ gpu: "all", layout: "all-1g.11gb" }), gpu: "off" };
    expect(cautions({ ...metalStack, runtime })).toEqual([]);
  });
});

describe("services at the node's address", () => {
  it("are told of, with what they give up and the way back; services on loopback are not", () => {
    const said = (workspaces: object) => cautions({ ...metalStack, workspaces });
    const [caution, ...more] = said({ services: "published-insecure" });
    expect(more).toEqual([]);
    expect(caution).toMatch(
      /^berth:workspaces\.services is "published-insecure": .* cookies .* Take the key out/,
    );
    expect([said({}), said({ services: "loopback" })]).toEqual([[], []]);
  });

  it.each(["published", true, "private"])("are not asked for by %j", (services) => {
    expect(paths({ ...metalStack, workspaces: { services } })).toEqual(["workspaces.services"]);
  });
});

describe("a profile", () => {
  const gpu = { kind: "mig", profile: "1g.11gb" };
  const user = { name: "alice", node: "metal-0", index: 0 };
  it("that a person, Ray or the limits name is told of where it is written", () => {
    expect(at(cautions({ ...metalStack, users: [{ ...user, gpu }] }))).toEqual([
      "berth:users[0].gpu.profile",
    ]);
    const ray = { ...metalStack, nodes: [metal(0, { ray: { gpu } }), metal(1)] };
    expect(at(cautions(ray))).toEqual(["berth:nodes[0].ray.gpu.profile"]);
    const limits = { gpu_allocation: { mig_profile: "1g.11gb" } };
    expect(at(cautions({ ...metalStack, limits }))).toEqual(["berth:limits.gpu_allocation.mig_profile"]);
    expect(cautions({ ...metalStack, users: [{ ...user, gpu, state: "removed" }] })).toEqual([]);
  });

  it("of declared GPUs, and of nodes that have none, is refused", () => {
    const gpus = [{ ...H100, mig: { "1g.10gb": 7 } }];
    expect(paths(stack({ node: { gpus }, user: { gpu } }))).toEqual(["users[0].gpu.profile"]);
    expect(paths(stack({ user: { gpu } }))).toEqual(["users[0].gpu.profile"]);
    expect(paths(stack({ node: { gpus: [{ ...H100, mig: { "1g.11gb": 1 } }] } }))).toEqual([
      "nodes[0].gpus[0].mig",
    ]);
  });

  it("that no GPU can have is refused everywhere", () => {
    const users = [{ ...user, gpu: { ...gpu, profile: "large" } }];
    expect(paths({ ...metalStack, users })).toEqual(["users[0].gpu.profile"]);
    const limits = { gpu_allocation: { mig_profile: "large" } };
    expect(paths({ ...metalStack, limits })).toEqual(["limits.gpu_allocation.mig_profile"]);
  });

  it.each<[string, boolean]>([
    ["1g.10gb", true],
    ["1g.24gb+me", true],
    ["1g.24gb+me.all", true],
    ["2g.48gb-me", true],
    ["4g.96gb+gfx", true],
    ["10g.1000gb", true],
    ["1g.10gb+", false],
    ["1g.10gb me", false],
    ["1g.10", false],
    ['1g.10gb"', false],
    ["1g.10gb\nx", false],
    ["", false],
  ])("%j may be the name of one: %s", (name, may) => expect(isProfileName(name)).toBe(may));
});

describe("the model of a GPU", () => {
  it.each<[string, number, string | undefined]>([
    ["NVIDIA H20", 97871, "H20 96GB"],
    ["NVIDIA H20-3e", 143771, "H20 141GB"],
    ["NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 97887, "RTX PRO 6000 Blackwell"],
    ["NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", 97887, "RTX PRO 6000 Blackwell"],
    ["NVIDIA RTX 6000 Ada Generation", 49140, undefined],
    ["NVIDIA RTX PRO 5000 Blackwell", 48935, undefined],
    ["Quadro RTX 6000", 24576, undefined],
  ])("%s with %i MiB is %s", (model, memoryMiB, name) =>
    expect(migModelOf(model, memoryMiB)?.name).toBe(name),
  );
});
