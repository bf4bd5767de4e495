/**
 * The policy pack: its rule about secrets, what it takes from the stack's configuration, and how it is put together.
 * Proves: a secret in plain text is reported, in inputs and in stack files, and never shown; what configuration opens is
 * what the rules allow; every rule is enforced, under its own name; unknown and secret inputs are told apart.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { guardedFolders } from "../../../components/host/storage";
import { factsOf } from "../../../policy/facts";
import { read } from "../../../policy/input";
import { policies } from "../../../policy/pack";
import { type Facts, Hidden, plainSecretsInStackFile, secrets, UNKNOWN } from "../../../policy/rules";
import { dropletStack, local, metal, metalStack } from "../config/helpers";
import { check, facts, type Inputs } from "./helpers";

const KEY_TEXT = `-----BEGIN OPENSSH ${"PRIVATE"} KEY-----\nAAAA\n-----END`;
const OCEAN = `dop_v1_${"0123456789abcdef".repeat(4)}`;

describe("secrets", () => {
  it.each<[string, Inputs]>([
    ["a marked password", { password: new Hidden("hunter2hunter2") }],
    ["a marked object around it", { connection: new Hidden({ privateKey: KEY_TEXT }) }],
    ["a marked key in a list", { uploads: [{ file: "/key", content: new Hidden(KEY_TEXT) }] }],
    ["a marked variable", { envs: [new Hidden("DB_PASSWORD=hunter2")] }],
    ["one that only an update will know", { password: UNKNOWN }],
    ["an empty one", { token: "" }],
    ["numbers and switches", { maxTokens: 5, secret: true }],
    ["a placeholder", { token: "<your token>" }],
    [
      "paths to secrets",
      { tokenPath: "/run/token", envs: ["RAY_AUTH_TOKEN_PATH=/run/token", "RAY_AUTH_MODE=token"] },
    ],
    ["a variable that takes its value from elsewhere", { create: 'token="$(cat /run/token)"' }],
    ["public keys", { publicKey: "ssh-ed25519 AAAA", hostKey: "ssh-ed25519 AAAA", sshKeys: ["1"] }],
    ["the engine's own fields", { __internal: { token: "x" } }],
  ])("pass: %s", (_, props) => {
    expect(check(secrets, "any:index:Thing", props)).toEqual([]);
  });

  it.each<[string, Inputs, string]>([
    ["a password", { password: "hunter2" }, "password is a secret by its name"],
    [
      "a password in a list",
      { registryAuth: [{ address: "x", password: "hunter2" }] },
      "registryAuth[0].password",
    ],
    ["a token by a longer name", { apiToken: "hunter2" }, "apiToken"],
    ["a private key", { connection: { host: "h", privateKey: "hunter2" } }, "connection.privateKey"],
    ["credentials", { credentials: { huggingface: "hunter2" } }, "credentials.huggingface"],
    [
      "a private key by its text",
      { uploads: [{ content: KEY_TEXT }] },
      "uploads[0].content holds a private key",
    ],
    ["a token by its form", { description: `use ${OCEAN}` }, "description holds a DigitalOcean token"],
    ["a variable", { envs: ["A=1", "DB_PASSWORD=hunter2"] }, "envs[1] sets DB_PASSWORD"],
    ["an environment", { environment: { GITHUB_TOKEN: "hunter2" } }, "environment.GITHUB_TOKEN"],
  ])("are refused in plain text: %s", (_, props, expected) => {
    const found = check(secrets, "any:index:Thing", props);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(expected);
    expect(found[0]).toContain("pulumi.secret()");
    for (const secret of ["hunter2", KEY_TEXT, OCEAN]) expect(found[0]).not.toContain(secret);
  });

  it.each<[string, string, number]>([
    ["none", "config:\n  berth:nodes: []\n", 0],
    ["no configuration at all", "encryptionsalt: v1\n", 0],
    ["an encrypted one", "config:\n  digitalocean:token:\n    secure: v1:abc\n", 0],
    ["a plain token", `config:\n  digitalocean:token: ${OCEAN}\n`, 1],
    ["a plain password", "config:\n  berth:users:\n    - name: a\n      password: hunter2hunter2\n", 1],
    ["plain credentials", "config:\n  berth:users:\n    - setup: { credentials: { hf: hunter2 } }\n", 1],
    [
      "one encrypted, one plain",
      "config:\n  berth:users:\n    - password: { secure: v1 }\n    - password: hunter2\n",
      1,
    ],
    ["a file that is no YAML", "config: [\n", 1],
  ])("in a stack file: %s", (_, yaml, count) => {
    const found = plainSecretsInStackFile("prod", yaml);
    expect(found).toHaveLength(count);
    for (const one of found) {
      expect(one).toContain("Pulumi.prod.yaml");
      expect(one).not.toContain("hunter2");
    }
  });
});

describe("the stack's configuration", () => {
  const raw = (config: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(config).map(([key, value]) => [`berth:${key}`, JSON.stringify(value)]));
  const world = ["0.0.0.0/0", "::/0"];

  it.each<[string, Record<string, unknown>, Facts["open"]]>([
    ["closed", dropletStack, []],
    [
      "SSH",
      { ...dropletStack, digitalocean: { region: "fra1", allowSshFrom: world } },
      [{ protocol: "tcp", start: 22, end: 22 }],
    ],
    [
      "SSH on another port",
      { ...metalStack, firewall: { allowSsh: world }, baremetal: { port: 2222 } },
      [{ protocol: "tcp", start: 2222, end: 2222 }],
    ],
    [
      "the users' ports",
      {
        ...metalStack,
        users: [{ name: "alice", node: "metal-0", index: 0 }],
        firewall: { allowSsh: ["192.0.2.0/24"], allowUsers: world },
      },
      [{ protocol: "tcp", start: 10000, end: 19999 }],
    ],
    [
      "no users' ports in a stack without users",
      { ...metalStack, firewall: { allowSsh: ["192.0.2.0/24"], allowUsers: world } },
      [],
    ],
    [
      "rules, those for known networks apart",
      {
        ...metalStack,
        firewall: {
          allowSsh: ["192.0.2.0/24"],
          rules: [
            { port: 443, from: world },
            { port: 53, protocol: "udp", from: world },
            { port: 80, from: ["10.0.0.0/8"] },
          ],
        },
      },
      [
        { protocol: "tcp", start: 443, end: 443 },
        { protocol: "udp", start: 53, end: 53 },
      ],
    ],
  ])("decides what is open to everybody: %s", (_, config, open) => {
    expect(factsOf("prod", raw(config))).toMatchObject({ stack: "prod", open, production: false });
  });

  it("decides whether the stack is production", () => {
    expect(factsOf("prod", raw({ ...metalStack, production: true })).production).toBe(true);
  });

  it("decides who has sudo, and what people may have mounted on each node", () => {
    const users = [
      { name: "alice", node: "metal-0", index: 0 },
      { name: "bob", node: "metal-1", index: 1, sudo: false },
    ];
    const nodes = [
      metal(0, { storage: { bind: { homes: "/data/homes", shared: "/data/shared" } } }),
      metal(1),
    ];
    const found = factsOf("prod", raw({ ...metalStack, nodes, users }));
    expect(found.sudo).toEqual(["alice"]);
    expect(found.folders["metal-0"]).toEqual({
      homes: ["/mnt/storage/homes", "/data/homes"],
      workspaces: ["/mnt/storage/workspaces"],
      state: ["/mnt/storage/docker-volumes"],
      shared: ["/mnt/storage/shared", "/data/shared"],
    });
    expect(found.folders["metal-1"]?.homes).toEqual(["/mnt/storage/homes"]);
    // What the node guards is what people may have.
    const bind = { homes: "/data/homes", shared: "/data/shared" };
    expect(
      Object.values(found.folders["metal-0"] ?? {})
        .flat()
        .sort(),
    ).toEqual(guardedFolders({ bind }).sort());
  });

  it.each<[string, Record<string, unknown>]>([
    ["is missing", {}],
    [
      "does not hold",
      { nodes: [local("a", "worker", "nowhere")], firewall: { rules: [{ port: 443, from: world }] } },
    ],
  ])("gives the strictest facts where it %s", (_, config) => {
    expect(factsOf("prod", raw(config))).toEqual({
      stack: "prod",
      production: true,
      open: [],
      published: [],
      sudo: [],
      folders: {},
    });
  });
});

describe("the pack", () => {
  const all = policies(facts, "/nowhere");

  it("enforces every rule, each by its own name", () => {
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
    expect(all.map(({ name, enforcementLevel }) => `${name}: ${enforcementLevel}`)).toEqual([
      "no-port-outside-the-plan: mandatory",
      "containers-limited-and-labelled: mandatory",
      "people-stay-in-their-own: mandatory",
      "images-by-digest-in-production: mandatory",
      "volumes-protected-in-production: mandatory",
      // A remediation sees which inputs are secret; its validation counts as mandatory.
      "no-plaintext-secrets: remediate",
      "droplets-behind-a-firewall: mandatory",
    ]);
  });

  it("has a guide that names every rule", () => {
    const guide = readFileSync(join(__dirname, "../../../docs/environments.md"), "utf8");
    for (const { name } of all) expect(guide).toContain(`| \`${name}\` |`);
  });

  it("refuses a resource whose secrets it was not shown", () => {
    const policy = all.find(({ name }) => name === "no-plaintext-secrets");
    if (!policy || !("validateResource" in policy) || typeof policy.validateResource !== "function")
      throw new Error("no such policy");
    const found: string[] = [];
    const args = { type: "a:b:C", urn: "urn", props: {}, opts: { protect: false } };
    policy.validateResource(args as never, (message: string) => found.push(message));
    expect(found).toEqual([expect.stringContaining("did not show which inputs are secret")]);
  });

  it("reads inputs through the SDK's proxies, unknown and secret values marked", async () => {
    const { Secret, unknownCheckingProxy } = await import("@pulumi/policy");
    const inputs = unknownCheckingProxy({
      text: "a",
      list: [1, { deep: new Secret({ key: "k" }) }],
      later: "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
    });
    expect(() => (inputs as { later: string }).later).toThrow("can't be known during preview");
    expect(read(inputs)).toEqual({
      text: "a",
      list: [1, { deep: new Hidden({ key: "k" }) }],
      later: UNKNOWN,
    });
  });
});
