/**
 * A stack that commit 31dfb70 made, as this version finds it: its recorded state (test/fixtures/stack-31dfb70) under the
 * real engine, the real program and Berth's plugins. No container engine and no node answers.
 * Proves: its old key is refused with the new one, and nothing changes; with the new one a preview makes nothing anew
 * and takes nothing away; nodes, the registry and Ray are replaced for no other reason than an image that is not built
 * yet, and the preview says so; volumes, networks and the seed stay as they are, and so does who holds which GPU.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Resource, recordedResources, recordedStackFile } from "../lib/recorded-stack";
import { TestStack } from "../lib/stack";
import { MINUTE } from "../lib/time";

interface State {
  inputs?: Record<string, unknown>;
}
interface Step {
  op: string;
  urn: string;
  replaceReasons?: string[];
  oldState?: State;
  newState?: State;
}

const STACK = "takeover-e2e";
const { home, env } = new TestStack(STACK);
const programs = join(home, "programs");
const engine = `unix://${join(home, "no-engine.sock")}`;
const stack = new TestStack(STACK, { DOCKER_HOST: engine, PATH: [programs, env.PATH].join(delimiter) });

const exported = async () => JSON.parse(await stack.pulumi(["stack", "export"]));
const kept = async (): Promise<Resource[]> => (await exported()).deployment.resources;
const nameOf = ({ urn }: { urn: string }) => urn.split("::").at(-1) ?? urn;
const onNodes = (...names: string[]) =>
  ["node-0", "node-1"].flatMap((node) => names.map((name) => `berth-${node}-${name}`));
const rename = () => writeFileSync(stack.file, recordedStackFile().replace("    pool:", "    containers:"));

beforeAll(async () => {
  stack.removeHome();
  stack.makeHome();
  mkdirSync(programs);
  for (const name of ["ssh", "docker"]) {
    const text = `#!/bin/sh\necho "${name}: nobody answers" >&2\nexit 255\n`;
    writeFileSync(join(programs, name), text, { mode: 0o755 });
  }
  writeFileSync(stack.file, recordedStackFile());
  const { toolEnvironment } = await import("../../scripts/lib/pulumi-env.mjs");
  const { ensureStack } = await import("../../scripts/lib/setup.mjs");
  await ensureStack(toolEnvironment(stack.env), STACK);
  // The empty stack's own says how its secrets are kept.
  const state = await exported();
  state.deployment.resources = recordedResources({ stack: STACK, folder: stack.folder, engine });
  const file = join(home, "recorded.json");
  writeFileSync(file, JSON.stringify(state));
  await stack.pulumi(["stack", "import", "--file", file]);
}, 3 * MINUTE);
afterAll(() => stack.removeHome());

describe("a stack of an older version", { timeout: 5 * MINUTE }, () => {
  it.each([[["preview"]], [["up", "--yes"]]])(
    "is refused by its old key, with the new one, and nothing is touched: %s",
    async ([command = "", ...args]) => {
      writeFileSync(stack.file, recordedStackFile());
      const before = await kept();
      const { code, text } = await stack.berth(command, args);
      expect(code, text).not.toBe(0);
      expect(text).toContain("has a problem; nothing was touched.");
      expect(text).toContain("1. berth:ports.pool = (hidden)");
      expect(text).toContain("is called ports.containers now");
      expect(await kept()).toEqual(before);
      expect(readFileSync(stack.file, "utf8")).toBe(recordedStackFile());
    },
  );

  it("is taken over once the key is renamed: nothing is made anew, and nothing goes", async () => {
    rename();
    const ran = await stack.berth("preview", ["--json"]);
    expect(ran.code, ran.text).toBe(0);
    const { steps, changeSummary }: { steps: Step[]; changeSummary: object } = JSON.parse(ran.stdout);
    const of = (op: string) => steps.filter((step) => step.op === op);

    // The engine keeps the reasons in a map, and gives them in any order.
    const reasons = of("replace").map((step) => [nameOf(step), step.replaceReasons?.toSorted()]);
    expect(Object.fromEntries(reasons)).toEqual({
      // Replaced at all only where the image that is built comes out different.
      "berth-node-0": ["image"],
      "berth-node-1": ["image"],
      "berth-registry": ["image"],
      "berth-node-0-ray": ["image"],
      "berth-node-1-ray": ["image"],
      "berth-node-0-image-ray": ["name"],
      "berth-node-1-image-ray": ["name"],
      "berth-node-0-image-workspace": ["name"],
      "berth-node-1-image-workspace": ["name"],
      // The pages of VS Code and others are behind SSH by now.
      "berth-workspace-alice": ["image", "ports"],
      "berth-workspace-bob": ["image", "ports"],
    });
    expect(of("update").map(nameOf).sort()).toEqual(
      [
        ...["node", "registry", "agent", "ray", "workspace"].map((image) => `berth-image-${image}`),
        ...["agent", "ray", "workspace"].map((image) => `berth-registry-push-${image}`),
        ...["ready", "base", "firewall", "storage", "runtime"].flatMap((name) => onNodes(`host-${name}`)),
        ...onNodes("engine", "agent-stage", "ray-token"),
        ...["alice-prepare", "alice-power", "alice-setup", "bob-prepare", "bob-power"].map(
          (name) => `berth-workspace-${name}`,
        ),
        "berth-node-0-gpus",
      ].sort(),
    );
    // All others are the same; there is no `create`, and no `delete`.
    expect(changeSummary).toEqual({ same: 29, update: 30, replace: 11 });
    const touched = new Set([...of("replace"), ...of("update")].map(({ urn }) => urn));
    const same = (await kept()).filter(({ urn }) => !touched.has(urn));
    expect(
      same
        .filter(({ type }) => /Volume|Network$/.test(type))
        .map(nameOf)
        .sort(),
    ).toEqual(["berth-network", "berth-registry-data", ...onNodes("docker", "storage", "workspaces")].sort());
    expect(same.filter(({ type }) => /^command:/.test(type)).map(nameOf)).toEqual(["berth-seed"]);

    // What the stack granted is compared by the new structure; the lines, and who holds what, are the recorded ones.
    const pool = of("update").find((step) => nameOf(step) === "berth-node-0-gpus");
    expect(pool?.newState?.inputs?.grants).toEqual(pool?.oldState?.inputs?.grants);
    expect(pool?.newState?.inputs?.assignment).toMatchObject({
      "workspace/alice": [{ uuid: "MIG-9034d9b2-fcd8-5f18-8b07-fee06c2f8e85", name: "0:1" }],
    });
  });

  it("is told in words: what may stay in one list, the workspaces for their ports, and no grant", async () => {
    rename();
    const { code, text } = await stack.berth("preview");
    expect(code, text).toBe(0);
    const words = text.slice(text.indexOf("In words:\n")).split("\n");
    const list = words.findIndex((line) => line.includes("replaced only where the image that is built now"));
    expect(list).toBe(1);
    const end = words.findIndex((line, i) => i > list && !line.startsWith("    "));
    const told = words.slice(list + 1, end).map((line) => line.trim());
    expect(told).toEqual(
      expect.arrayContaining([
        "the container of node node-0",
        "the container of node node-1",
        "the registry",
        expect.stringMatching(/^Ray on node-[01], node-[01]$/),
        ...["ray", "workspace"].flatMap((image) => onNodes(`image-${image}`)),
      ]),
    );
    expect(told).toHaveLength(8);
    for (const who of ["alice's workspace on node-0", "bob's workspace on node-1"])
      expect(words.slice(words.indexOf(`  ${who}:`)).slice(1, 4)).toEqual([
        "    is replaced",
        expect.stringMatching(/^ {4}image: sha256:\w+… → \(not known yet\)$/),
        "    ports",
      ]);
    expect(words.filter((line) => line.includes("is replaced"))).toHaveLength(2);
    expect(words.filter((line) => /GPUs|gives back|goes;/.test(line))).toEqual([]);
  });
});
