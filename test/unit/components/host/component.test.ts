/**
 * The component that runs the host stages, under Pulumi's mocks, in both kinds of run.
 * Proves: exactly five commands, one after the other, in place, silent, without a secret in their text; that an
 * edit of one option changes one command; that facts are plain and whitelisted. The mocks check no provider rule.
 */
import * as pulumi from "@pulumi/pulumi";
import { MockMonitor } from "@pulumi/pulumi/runtime/mocks";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type FirewallOptions, readNodeFacts, Stages, type StagesArgs } from "../../../../components/host";

interface Request {
  getType(): string;
  getName(): string;
  getDependenciesList(): string[];
  getAdditionalsecretoutputsList(): string[];
  getDeletedwith(): string;
  getParent(): string;
}

const PRIVATE_KEY = "-----BEGIN OPENSSH PRIVATE KEY----- hush";
const READY = {
  userData: "0123",
  unexpected: "never shown",
};

const requests: Request[] = [];
let inputs: Record<string, Record<string, unknown>> = {};

beforeEach(() => {
  const original = MockMonitor.prototype.registerResource;
  vi.spyOn(MockMonitor.prototype, "registerResource").mockImplementation(function (
    this: MockMonitor,
    req: Request,
    callback: unknown,
  ) {
    requests.push(req);
    return original.call(this, req, callback as never);
  } as typeof original);
});
afterEach(() => {
  vi.restoreAllMocks();
  requests.length = 0;
});

const firewall: FirewallOptions = {
  allowSsh: ["10.88.0.0/24"],
  allowUsers: ["10.88.0.0/24"],
  userPorts: [{ start: 10000, end: 19999 }],
  clusterAddresses: ["10.88.0.10"],
  clusterPorts: [],
};

const args = (change: Partial<StagesArgs> = {}): StagesArgs => ({
  node: {
    name: "node-0",
    connection: {
      host: "10.88.0.10",
      port: 22,
      user: "root",
      privateKey: pulumi.secret(PRIVATE_KEY),
      hostKey: "ssh-ed25519 AAAA",
      dialErrorLimit: 10,
      perDialTimeout: 15,
    },
  },
  firewall,
  ...change,
});

async function run(preview: boolean, change: Partial<StagesArgs> = {}, withMachine = false): Promise<Stages> {
  inputs = {};
  requests.length = 0;
  await pulumi.runtime.setMocks(
    {
      newResource: ({ name, inputs: given }) => {
        inputs[name] = given;
        const facts = name.endsWith("-ready") ? READY : { docker: "26.1.5", cdi: true, gpu: "none" };
        const stdout = `BERTH_FACTS ${JSON.stringify(facts)}\n`;
        return {
          id: `${name}-id`,
          state: preview ? given : { ...given, stdout: pulumi.secret(stdout), stderr: pulumi.secret("") },
        };
      },
      call: ({ inputs: given }) => given,
    },
    "berth",
    "test",
    preview,
  );
  const given = args(change);
  if (withMachine) given.node.machine = new Machine("test:index:Machine", "machine", {});
  const made = new Stages("n0", given);
  await pulumi.runtime.disconnect();
  return made;
}

class Machine extends pulumi.CustomResource {}

const value = <T>(output: pulumi.Output<T>) =>
  new Promise<T>((resolve) => {
    output.apply(resolve);
  });

const ORDER = ["ready", "base", "firewall", "storage", "runtime"];

describe.each([
  ["an update", false],
  ["a preview", true],
])("the stages in %s", (_, preview) => {
  it("are exactly these, in a chain, silent, with secret output", async () => {
    await run(preview);
    const seen = requests.map((request) => [request.getType(), request.getName()]);
    expect(seen).toEqual([
      ["berth:host:Stages", "n0"],
      ...ORDER.map((role) => ["command:remote:Command", `n0-${role}`]),
    ]);
    for (const [i, request] of requests.slice(1).entries()) {
      expect(request.getParent()).toMatch(/::berth:host:Stages::n0$/);
      expect(request.getAdditionalsecretoutputsList()).toEqual(expect.arrayContaining(["stdout", "stderr"]));
      const before = request.getDependenciesList().map((urn) => urn.split("::").at(-1));
      expect(before).toEqual(i === 0 ? [] : [`n0-${ORDER[i - 1]}`]);
    }
  });

  it("run one text each, without triggers, deletes, environment or secrets in it", async () => {
    await run(preview);
    for (const role of ORDER) {
      const given = inputs[`n0-${role}`] ?? {};
      expect(Object.keys(given).sort()).toEqual([
        "addPreviousOutputInEnv",
        "connection",
        "create",
        "logging",
      ]);
      expect(given).toMatchObject({ addPreviousOutputInEnv: false, logging: "none" });
      expect(given.create).toContain(`host stage "${role}" of node-0`);
      expect(given.create).not.toContain(PRIVATE_KEY);
      expect(given.create).not.toContain("PRIVATE KEY");
    }
  });

  it("let only the first one wait long for a connection, and less than 2 minutes", async () => {
    await run(preview);
    const dial = (role: string) => {
      const connection = inputs[`n0-${role}`]?.connection as { value: Record<string, number> } | undefined;
      return connection?.value ?? {};
    };
    const { dialErrorLimit = 0, perDialTimeout = 0 } = dial("ready");
    let wait = 0.1;
    let total = perDialTimeout;
    for (let i = 0; i < dialErrorLimit; i++) {
      total += wait + perDialTimeout;
      wait = Math.min(wait * 1.5, 5);
    }
    expect(total).toBeLessThan(120);
    for (const role of ORDER.slice(1)) expect(dial(role)).toMatchObject({ dialErrorLimit: 10 });
  });

  it("change in one place when one option changes", async () => {
    await run(preview);
    const before = inputs;
    const edits: [string, Partial<StagesArgs>][] = [
      ["base", { base: { securityUpdates: true } }],
      ["firewall", { firewall: { ...firewall, allowUsers: [] } }],
      ["storage", { storage: { root: "/srv/berth" } }],
      ["runtime", { runtime: { insecureRegistries: ["10.88.0.2:5000"] } }],
    ];
    for (const [role, change] of edits) {
      await run(preview, change);
      const differ = ORDER.filter(
        (other) => JSON.stringify(inputs[`n0-${other}`]) !== JSON.stringify(before[`n0-${other}`]),
      );
      expect(differ).toEqual([role]);
    }
  });

  it("go with the machine, and carry its id, so that another machine gets them all again", async () => {
    await run(preview, {}, true);
    const commands = requests.filter((request) => request.getType().startsWith("command:"));
    expect(commands).toHaveLength(5);
    for (const request of commands) expect(request.getDeletedwith()).toMatch(/::machine$/);
    if (!preview) {
      for (const role of ORDER) expect(inputs[`n0-${role}`]?.create).toMatch(/\n# machine machine-id$/);
    }
  });
});

describe("facts", () => {
  it("are plain, and nothing but the known ones", async () => {
    const stages = await run(false);
    expect(await pulumi.isSecret(stages.facts)).toBe(false);
    expect(await pulumi.isSecret(stages.last.stdout)).toBe(true);
    const facts = await value(stages.facts);
    expect(facts).toEqual({ userData: "0123" });
    expect(await value(stages.runtimeFacts)).toEqual({ belowFloor: [], rebootRequired: "" });
  });

  it("that are missing or of another kind become empty, never a wrong type", () => {
    expect(readNodeFacts('BERTH_FACTS {"userData":["x"]}')).toEqual({ userData: "" });
  });
});
