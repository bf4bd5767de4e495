/**
 * What runs containers, in the configuration.
 * Proves: the shape is strict, mistakes are said where they are written and once, a node's part replaces the stack's,
 * what passes is taken by the runtime stage, a MIG layout that no table knows included. What is told of those:
 * cautions.test.ts.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { renderRuntime } from "../../../components/host/runtime";
import { checkRuntime, layoutProblem } from "../../../config/runtime/check";
import { resolveRuntime } from "../../../config/runtime/resolve";
import { runtime } from "../../../config/runtime/schema";
import { countsProblem, fitsModel, MIG_MODELS, MIG_PROFILES, mostOf } from "../../../core/gpu";

const UUID = "GPU-11111111-2222-3333-4444-555555555555";

interface NodeIn {
  kind?: string;
  name?: string;
  runtime?: unknown;
}

/** The problems of a stack's part and its nodes', as `path: problem`. */
function problems(stack: unknown, nodes: NodeIn[] = [{}]): string[] {
  const found: string[] = [];
  checkRuntime(
    {
      runtime: stack === undefined ? undefined : runtime.parse(stack),
      nodes: nodes.map(({ kind = "baremetal", name = "n", runtime: own }) => ({
        kind,
        name,
        runtime: own === undefined ? undefined : runtime.parse(own),
      })),
    },
    (path, _value, problem, allowed) => {
      expect(allowed).not.toBe("");
      found.push(`${path}: ${problem}`);
    },
  );
  return found;
}
const paths = (stack: unknown, nodes?: NodeIn[]) => problems(stack, nodes).map((text) => text.split(": ")[0]);
const mig = (...entries: unknown[]) => ({ nvidia: { mig: entries } });

const good: unknown[] = [
  {},
  { gpu: "off" },
  { docker: { from: "docker", version: "29.3.1" } },
  { docker: { from: "distribution", allowBelowFloor: false } },
  { nvidia: { driver: { install: false }, persistenced: false } },
  { nvidia: { driver: { install: true, version: "580.105.08", key: "A".repeat(40) } } },
  { nvidia: { migParted: { url: "https://example.org/a.deb", sha256: "0".repeat(64) } } },
  mig({ gpu: "all", layout: "all-1g.10gb" }),
  // mig-parted's own layouts for an RTX PRO 6000 and a GB200, and a GPU of tomorrow.
  mig({ gpu: "all", layout: "all-2g.48gb" }),
  mig({ gpu: "all", layout: "all-1g.24gb+me" }),
  mig({ gpu: "all", layout: "all-1g.24gb+me.all" }),
  mig({ gpu: "all", layout: "all-1g.24gb-me" }),
  mig({ gpu: "all", layout: { "1g.24gb": 7 } }),
  mig({ gpu: "all", layout: { "1g.24gb": 2, "2g.47gb": 1, "3g.95gb": 1 } }),
  mig({ gpu: 0, layout: { "9g.999gb+xyz": 1 } }),
  mig({ gpu: 0, layout: { "1g.10gb": 2, "2g.20gb": 1, "3g.40gb": 1 } }, { gpu: 1, layout: "all-disabled" }),
];

describe("the runtime's configuration", () => {
  it.each(good.map((value) => [JSON.stringify(value), value]))(
    "%s is right, and the stage takes it",
    (_, value) => {
      expect(problems(value)).toEqual([]);
      expect(() => renderRuntime({ node: "n", ...runtime.parse(value) })).not.toThrow();
    },
  );

  it.each<[string, unknown, string]>([
    ["no version", { docker: { from: "docker", version: "latest" } }, "docker.version"],
    [
      "a version of the distribution",
      { docker: { from: "distribution", version: "26.1.5" } },
      "docker.version",
    ],
    ["a version of nobody", { docker: { version: "26.1.5" } }, "docker.version"],
    [
      "a driver of words",
      { nvidia: { driver: { install: true, version: "latest" } } },
      "nvidia.driver.version",
    ],
    ["a short key", { nvidia: { driver: { install: true, key: "8793F200" } } }, "nvidia.driver.key"],
    [
      "plain HTTP",
      { nvidia: { migParted: { url: "http://x/a.deb", sha256: "0".repeat(64) } } },
      "nvidia.migParted.url",
    ],
    [
      "no checksum",
      { nvidia: { migParted: { url: "https://x/a.deb", sha256: "x" } } },
      "nvidia.migParted.sha256",
    ],
    ["a GPU's name", mig({ gpu: "H100", layout: "all-disabled" }), "nvidia.mig[0].gpu"],
    [
      "a MIG device's UUID",
      mig({ gpu: UUID.replace("GPU", "MIG"), layout: "all-disabled" }),
      "nvidia.mig[0].gpu",
    ],
    [
      "one GPU twice",
      mig({ gpu: 1, layout: "all-disabled" }, { gpu: 1, layout: "all-1g.5gb" }),
      "nvidia.mig[1].gpu",
    ],
    [
      "all and one",
      mig({ gpu: "all", layout: "all-disabled" }, { gpu: 1, layout: "all-1g.5gb" }),
      "nvidia.mig[0].gpu",
    ],
    ["no profile", mig({ gpu: 0, layout: "balanced" }), "nvidia.mig[0].layout"],
    ["no name of a profile", mig({ gpu: 0, layout: "all-1g.ten" }), "nvidia.mig[0].layout"],
    ["one such name of two", mig({ gpu: 0, layout: { "1g.10gb": 1, big: 1 } }), "nvidia.mig[0].layout"],
    ["what a shell would read", mig({ gpu: 0, layout: "all-1g.10gb;reboot" }), "nvidia.mig[0].layout"],
    ["nothing in it", mig({ gpu: 0, layout: {} }), "nvidia.mig[0].layout"],
  ])("says what is wrong with %s, where it stands", (_, value, path) => {
    expect(paths(value)).toEqual([`runtime.${path}`]);
    expect(paths(undefined, [{}, { runtime: value }])).toEqual([`nodes[1].runtime.${path}`]);
  });

  it("names the profiles that there are", () => {
    const found: string[] = [];
    checkRuntime(
      { runtime: runtime.parse(mig({ gpu: 0, layout: { "1g.ten": 1 } })), nodes: [] },
      (_p, _v, problem, allowed) => found.push(problem, allowed),
    );
    expect(found[0]).toBe('has "1g.ten", which is no name of a MIG profile');
    expect(found[1]).toContain("H100 80GB: 1g.10gb 1g.10gb+me 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb");
    expect(found[1]).toContain("A30: 1g.6gb 1g.6gb+me 2g.12gb 2g.12gb+me 4g.24gb");
  });

  it.each([
    [{ podman: {} }],
    [{ docker: { from: "snap" } }],
    [{ docker: { version: 29 } }],
    [{ gpu: true }],
    [{ nvidia: { driver: { install: false, version: "580" } } }],
    [{ nvidia: { driver: {} } }],
    [mig({ gpu: -1, layout: "all-disabled" })],
    [mig({ gpu: 0, layout: { "1g.10gb": 0 } })],
    [mig({ gpu: 0 })],
  ])("refuses the shape of %j", (value) => expect(runtime.safeParse(value).success).toBe(false));

  it("of a node replaces the stack's, part by part", () => {
    const stack = runtime.parse({ docker: { from: "docker", version: "29.3.1" }, gpu: "off" });
    const node = runtime.parse({ docker: { from: "distribution" } });
    expect(resolveRuntime(stack, node)).toEqual({ docker: { from: "distribution" }, gpu: "off" });
    expect(resolveRuntime(undefined, undefined)).toEqual({});
  });

  it("says once what all nodes share, and only of nodes what concerns them", () => {
    expect(paths({ docker: { version: "1" } }, [{}, {}])).toEqual([
      "runtime.docker.version",
      "runtime.docker.version",
    ]);
    expect(paths(mig({ gpu: UUID, layout: "all-disabled" }), [{}, {}])).toEqual([
      "runtime.nvidia.mig[0].gpu",
    ]);
    expect(paths(mig({ gpu: UUID, layout: "all-disabled" }), [{}])).toEqual([]);
    expect(
      paths(undefined, [{ runtime: { ...mig({ gpu: 0, layout: "all-disabled" }), gpu: "off" } }]),
    ).toEqual(["nodes[0].runtime.nvidia"]);
    expect(paths(undefined, [{ kind: "local", runtime: { nvidia: { driver: { install: true } } } }])).toEqual(
      ["nodes[0].runtime.nvidia"],
    );
    // What the stack says for all passes over local nodes.
    expect(paths({ nvidia: { driver: { install: true } } }, [{ kind: "local" }, {}])).toEqual([]);
  });
});

describe("MIG profiles", () => {
  // `nvidia-smi mig -lgip` of an H100 80GB, as recorded, and the MIG User Guide's tables for the others.
  it.each<[string, Record<string, number>]>([
    [
      "H100 80GB",
      { "1g.10gb": 7, "1g.10gb+me": 1, "1g.20gb": 4, "2g.20gb": 3, "3g.40gb": 2, "4g.40gb": 1, "7g.80gb": 1 },
    ],
    [
      "A100 40GB",
      { "1g.5gb": 7, "1g.5gb+me": 1, "1g.10gb": 4, "2g.10gb": 3, "3g.20gb": 2, "4g.20gb": 1, "7g.40gb": 1 },
    ],
    ["A30", { "1g.6gb": 4, "1g.6gb+me": 1, "2g.12gb": 2, "2g.12gb+me": 1, "4g.24gb": 1 }],
    [
      "H200 141GB",
      {
        "1g.18gb": 7,
        "1g.18gb+me": 1,
        "1g.35gb": 4,
        "2g.35gb": 3,
        "3g.71gb": 2,
        "4g.71gb": 1,
        "7g.141gb": 1,
      },
    ],
    [
      "B200",
      {
        "1g.23gb": 7,
        "1g.23gb+me": 1,
        "1g.45gb": 4,
        "2g.45gb": 3,
        "3g.90gb": 2,
        "4g.90gb": 1,
        "7g.180gb": 1,
      },
    ],
    [
      "RTX PRO 6000 Blackwell",
      {
        ...{ "1g.24gb": 4, "1g.24gb+me": 1, "1g.24gb+gfx": 4, "1g.24gb+me.all": 1, "1g.24gb-me": 4 },
        ...{ "2g.48gb": 2, "2g.48gb+gfx": 2, "2g.48gb+me.all": 1, "2g.48gb-me": 2 },
        ...{ "4g.96gb": 1, "4g.96gb+gfx": 1 },
      },
    ],
  ])("of an %s are as many as its driver says", (name, counts) => {
    const model = MIG_MODELS.find((one) => one.name === name);
    if (!model) throw new Error(name);
    expect(
      Object.fromEntries(Object.keys(model.profiles).map((profile) => [profile, mostOf(model, profile)])),
    ).toEqual(counts);
  });

  it.each<[Record<string, number>, boolean]>([
    [{ "4g.40gb": 1, "3g.40gb": 1 }, true],
    [{ "4g.40gb": 1, "2g.20gb": 1, "1g.10gb": 1 }, true],
    [{ "4g.40gb": 1, "2g.20gb": 2 }, false],
    [{ "3g.40gb": 1, "2g.20gb": 2 }, true],
    [{ "3g.40gb": 1, "1g.10gb": 4 }, true],
    [{ "3g.40gb": 1, "1g.10gb": 5 }, false],
    [{ "2g.20gb": 3, "1g.20gb": 1 }, true],
    [{ "2g.20gb": 3, "1g.20gb": 2 }, false],
    [{ "7g.80gb": 1, "1g.10gb": 1 }, false],
  ])("%j on an H100: %s", (counts, fits) => expect(countsProblem(counts) === undefined).toBe(fits));

  it("never fill a GPU above its memory or its seven parts, and fit still when one goes", () => {
    const model = MIG_MODELS[3];
    if (!model) throw new Error("no model");
    const names = Object.keys(model.profiles);
    const counts = fc.dictionary(fc.constantFrom(...names), fc.integer({ min: 1, max: 4 }), {
      minKeys: 1,
      maxKeys: 4,
    });
    fc.assert(
      fc.property(counts, (wanted) => {
        if (!fitsModel(model, wanted)) return;
        const total = (of: (profile: string) => number) =>
          Object.entries(wanted).reduce((sum, [profile, count]) => sum + of(profile) * count, 0);
        expect(total((profile) => model.profiles[profile]?.size ?? 99)).toBeLessThanOrEqual(8);
        expect(total((profile) => Number.parseInt(profile, 10))).toBeLessThanOrEqual(7);
        for (const profile of Object.keys(wanted)) {
          const fewer = { ...wanted, [profile]: (wanted[profile] ?? 1) - 1 };
          expect(fitsModel(model, fewer)).toBe(true);
        }
      }),
    );
  });

  it("are all taken by name", () => {
    for (const profile of MIG_PROFILES) expect(layoutProblem(`all-${profile}`), profile).toBeUndefined();
  });
});
