/**
 * The committed stack files.
 * Proves: each gives a plan in a preview as it stands; an update refuses every placeholder in it, by its path; none
 * holds a secret or what belongs to one computer; the machines are those that the guide promises.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse, parseDocument, visit } from "yaml";
import { validateSetup } from "../../components/workspace/setup";
import { ConfigError, loadConfig, type Plan } from "../../config";
import { findPlaceholders } from "../../config/placeholders";
import { plainSecretsInStackFile } from "../../policy/rules";

const root = join(__dirname, "../..");
const names = ["dev", "cloud", "metal", "manager", "manager-dev"];
const fileOf = (stack: string) => readFileSync(join(root, `Pulumi.${stack}.yaml`), "utf8");

/** The values as Pulumi hands them to the program: by full key, structured ones as JSON. */
function rawConfig(stack: string): Record<string, string> {
  const { config } = parse(fileOf(stack)) as { config: Record<string, unknown> };
  return Object.fromEntries(
    Object.entries(config).map(([key, value]) => [
      key,
      typeof value === "string" ? value : JSON.stringify(value),
    ]),
  );
}

const planOf = (stack: string, placeholders: "allow" | "refuse"): Plan =>
  loadConfig(stack, rawConfig(stack), validateSetup, { placeholders }).plan;

/** What the loader refuses; none when it does not. */
function refused(stack: string): ConfigError["problems"] {
  try {
    planOf(stack, "refuse");
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

/** Every text between angle brackets in the file, comments apart, in its order. */
function marked(stack: string): string[] {
  const found: string[] = [];
  visit(parseDocument(fileOf(stack)), {
    Scalar: (_, { value }) => {
      if (typeof value === "string" && /[<>]|\bTODO\b/.test(value)) found.push(value);
    },
  });
  return found;
}

it("are no others than the guide speaks of", () => {
  // Stacks that an operator or a test made beside them are not committed, and not judged here.
  const there = readdirSync(root).filter((name) => /^Pulumi\..+\.yaml$/.test(name));
  expect(there).toEqual(expect.arrayContaining(names.map((name) => `Pulumi.${name}.yaml`)));
});

describe.each(names)("Pulumi.%s.yaml", (stack) => {
  it("gives a plan in a preview as it stands", () => {
    const plan = planOf(stack, "allow");
    expect(plan.stack).toBe(stack);
    expect(plan.nodes.filter(({ role }) => role === "head")).toHaveLength(1);
    for (const { node } of plan.users) expect(plan.nodes.map(({ name }) => name)).toContain(node);
  });

  it("is refused at an update for each placeholder in it, and for nothing else", () => {
    const problems = refused(stack);
    const { config } = parse(fileOf(stack)) as { config: Record<string, unknown> };
    expect(problems.map(({ path }) => path)).toEqual(findPlaceholders(config).map(({ path }) => path));
    expect(problems.map(({ value }) => value)).toEqual(marked(stack));
    for (const { problem, allowed } of problems) {
      expect(problem).toContain("is still a placeholder");
      expect(allowed).toBe("the real value in its place");
    }
  });

  it("holds no secret, and nothing that belongs to one computer", () => {
    expect(plainSecretsInStackFile(stack, fileOf(stack))).toEqual([]);
    expect(fileOf(stack)).not.toMatch(/^encryptionsalt|^secretsprovider|^\s*secure:/m);
  });

  it("lets no resource fall back to the operator's own engine or account", () => {
    expect(JSON.parse(rawConfig(stack)["pulumi:disable-default-providers"] ?? "[]")).toEqual([
      "docker",
      "digitalocean",
    ]);
  });
});

describe("the stacks with the container manager alone", () => {
  it.each(["manager", "manager-dev"])("%s: has one node, and neither users nor Ray", (stack) => {
    const plan = planOf(stack, "allow");
    expect([plan.nodes.length, plan.users, plan.ray.enabled]).toEqual([1, [], false]);
    expect(plan.ports).toMatchObject({ containers: { start: 10000, end: 20000 }, manager: 8080 });
    const [template] = plan.manager?.templates ?? [];
    expect(template).toMatchObject({ targetSize: 3, minSize: 1, maxCreating: 2, containerPorts: [3000] });
    expect(plan.manager?.images.default).toBe("node:24-slim");
  });

  it("manager: is a droplet in Sydney that everybody reaches, and each preview says without what", () => {
    const plan = planOf("manager", "allow");
    expect(plan.nodes[0]).toMatchObject({
      ...{ kind: "digitalocean", size: "s-8vcpu-16gb", region: "syd1", image: "ubuntu-24-04-x64" },
    });
    expect(plan.manager).toMatchObject({
      listen: "public",
      publish: "public",
      tenants: [{ name: "web-ide" }],
    });
    const { cautions } = loadConfig("manager", rawConfig("manager"), validateSetup, {
      placeholders: "allow",
    });
    expect(cautions.map((text) => text.split(" ")[0])).toEqual([
      "berth:manager.plainHttp",
      "berth:manager.publish",
    ]);
  });

  it("manager-dev: needs no registry of images; manager has one", () => {
    const standIns = ["manager-dev", "manager"].map(
      (stack) => planOf(stack, "allow").manager?.images.standIn,
    );
    expect(standIns).toEqual([["node:24-slim"], []]);
  });

  it("manager-dev: stands beside the stack dev", () => {
    const [dev, own] = [planOf("dev", "refuse"), planOf("manager-dev", "refuse")];
    expect(own.network.cidr).not.toBe(dev.network.cidr);
    expect(own.registryPort).not.toBe(dev.registryPort);
  });
});

describe("the stacks of real machines", () => {
  it.each(["cloud", "metal", "manager"])("%s: are production, and have placeholders to fill in", (stack) => {
    expect(planOf(stack, "allow").production).toBe(true);
    expect(refused(stack).length).toBeGreaterThan(0);
  });

  it("cloud: three droplets in one region, one with a GPU, each with a volume for its homes", () => {
    const { nodes, digitalocean } = planOf("cloud", "allow");
    expect(nodes.map(({ kind, role }) => [kind, role])).toEqual([
      ["digitalocean", "head"],
      ["digitalocean", "worker"],
      ["digitalocean", "worker"],
    ]);
    const droplets = nodes.flatMap((node) => (node.kind === "digitalocean" ? [node] : []));
    expect(droplets.filter(({ size }) => size.startsWith("gpu-"))).toHaveLength(1);
    for (const { region, volumes } of droplets) {
      expect(region).toBe(digitalocean?.region);
      expect(volumes.map(({ mount }) => mount)).toEqual(["/mnt/storage"]);
    }
  });

  it("metal: two servers behind a jump host, data disks by serial, quotas, a fast network", () => {
    const { nodes, users } = planOf("metal", "allow");
    expect(nodes.map(({ kind, role }) => [kind, role])).toEqual([
      ["baremetal", "head"],
      ["baremetal", "worker"],
    ]);
    for (const node of nodes) {
      expect(node).toMatchObject({ key: { from: "agent" }, jump: { port: 22 }, fabric: { enabled: true } });
      const [device] = node.storage.devices ?? [];
      expect(device).toMatchObject({ mount: "/mnt/storage", match: { serial: expect.any(String) } });
    }
    expect(users.map(({ quota }) => quota?.hard)).toEqual(["200GiB", "1TiB"]);
  });
});
