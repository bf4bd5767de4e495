/**
 * Docstrings that others build on. Proves: every component says what it creates, what it needs and what it leaves behind; the
 * arguments of each have examples, and every example in the sources compiles with the types of today.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  argsInterfaces,
  compileExamples,
  components,
  type Example,
  examples,
  sourcesOf,
} from "../lib/docstrings";

/** What an example may use without a word, beside what its own source exports. */
const PRELUDE = `
import * as command from "@pulumi/command";
import * as digitalocean from "@pulumi/digitalocean";
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import type { BaremetalNodePlan, DigitaloceanNodePlan, LocalNodePlan, LocatedPlan, Plan } from "./config";
import type { UserPlan, UserSecrets } from "./config";
import type { Agent } from "./components/agent";
import type { Account } from "./components/digitalocean";
import { workspaceKey } from "./components/gpu";
import type { Stages } from "./components/host";
import type { Image } from "./components/images";
import type { Node } from "./components/node";
import type { Registry } from "./components/registry";
import { rayGeneration } from "./components/ray";
import { registryPassword } from "./components/secrets";
import { firewallOptions, preflightOptions } from "./components/stage-options";
import { validateSetup } from "./components/workspace/setup";
declare const plan: Plan, secrets: UserSecrets, located: pulumi.Output<LocatedPlan>, user: UserPlan, node: Node, seed: pulumi.Output<string>;
declare const localNode: LocalNodePlan, droplet: DigitaloceanNodePlan, server: BaremetalNodePlan;
declare const engine: docker.Provider, network: docker.Network, machine: digitalocean.Droplet;
declare const account: Account, agent: Agent, image: Image, registry: Registry, stages: Stages;
`;

describe("a component", () => {
  const found = components(sourcesOf(["components"]));

  it("is found wherever it stands", () => {
    expect(found.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["Cluster", "DropletNode", "GpuPool", "Registry", "Stages", "Workspace"]),
    );
  });

  it.each(found)("$name says what it creates, what it needs and what it leaves behind", ({ at, text }) => {
    const said = ["Creates", "Needs", "Footprint"].filter((word) =>
      new RegExp(`^${word}: \\S`, "m").test(text),
    );
    expect(said, `${at}: its docstring wants lines that begin with these words`).toEqual([
      "Creates",
      "Needs",
      "Footprint",
    ]);
  });
});

/** The programs that a guide shows, as they would stand in index.ts. */
const programs = (guide: string): Example[] =>
  [...readFileSync(join(__dirname, "../..", guide), "utf8").matchAll(/^```ts\n(.*?)^```$/gms)].map(
    ([, code = ""]) => ({
      ...{ at: guide, source: "components/cluster.ts", code },
    }),
  );

describe("examples", () => {
  const sources = sourcesOf(["components", "config"]);

  it("are found in sources and guides", () => {
    expect(examples(sources).length).toBeGreaterThan(50);
    expect(programs("docs/operators.md")).toHaveLength(1);
  });

  it.each(argsInterfaces(sourcesOf(["components"])))("are there for $name", ({ at, examples: count }) => {
    expect(count, `${at}: neither it nor a member has an @example`).toBeGreaterThan(0);
  });

  it("compile, and wrong ones do not", () => {
    const wrong = (source: string, code: string, type?: string): Example => ({
      ...{ at: "wrong", source, code },
      ...(type === undefined ? {} : { type }),
    });
    const said = compileExamples(
      [
        ...examples(sources),
        ...programs("docs/operators.md"),
        wrong(
          "components/registry/index.ts",
          `{ on: "operator", address: "10.88.0.2" }`,
          `RegistryArgs["place"]`,
        ),
        wrong(
          "components/cluster-transform.ts",
          `{ workspace: { contianer: () => ({}) } }`,
          "ClusterTransform",
        ),
        wrong("components/secrets/seed.ts", `new Seed("berth-seed",\n  { protect: "yes" });`),
        wrong("components/secrets/seed.ts", "new Seed("),
      ],
      PRELUDE,
    );
    expect(said).toEqual([
      expect.stringMatching(/^wrong: .* missing .* network, pushPort/),
      expect.stringMatching(/^wrong, line 1: .*'contianer' does not exist/),
      expect.stringMatching(/^wrong, line 2: Type 'string' is not assignable to type 'boolean/),
      expect.stringMatching(/^wrong, line 2: .* expected/),
    ]);
  });
});
