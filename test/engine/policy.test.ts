/**
 * The policy pack under the real engine.
 * Proves what the unit tests cannot: that the pinned engine starts the pack and hands it the stack's configuration, the
 * marks of secrets, unknown values and the option `protect`; that a breach of each rule fails a preview and an update,
 * by name; that a program which keeps to the rules passes, also where values are not known yet.
 */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Sandbox } from "./sandbox";

const MINUTE = 60_000;
const root = join(__dirname, "../..");
const POLICY = join(root, "policy");
let sandbox: Sandbox;

/** The stack's configuration: a head behind a firewall that opens port 443 to everybody, in production; bob without sudo. */
const stackFile = `config:
  berth:nodes:
    - { name: node-0, kind: local, role: head, address: 10.88.0.10, cpus: 2, memory: 8GiB }
  berth:users:
    - { name: bob, node: node-0, index: 0, sudo: false }
  berth:firewall:
    allowSsh: [192.0.2.0/24]
    rules: [{ port: 443, from: [0.0.0.0/0, "::/0"] }]
  berth:production: true
`;

beforeAll(async () => {
  sandbox = await Sandbox.make(["command", "docker", "digitalocean"], { typescript: false });
  const project = `name: sandbox
runtime: { name: nodejs, options: { typescript: false } }
plugins:
  analyzers:
    - name: policy-berth
      path: ${join(POLICY, "bin")}
`;
  writeFileSync(join(sandbox.folder, "Pulumi.yaml"), project);
  writeFileSync(join(sandbox.folder, "Pulumi.test.yaml"), stackFile);
}, 2 * MINUTE);

afterAll(() => sandbox?.remove(), MINUTE);

const ID = `sha256:${"a".repeat(64)}`;

/** A container with all that the rules ask for; `more` goes over it. */
const container = (name: string, more: string): string => `
new docker.Container("${name}", {
  name: "berth-policy-${name}", image: "${ID}", memory: 64, memorySwap: 64, cpus: "0.5",
  logDriver: "json-file", logOpts: { "max-size": "1m", "max-file": "2" },
  labels: ["owner", "component", "stack"].map((of) => ({ label: "berth." + of, value: of === "stack" ? "test" : "system" })),
  ports: [{ internal: 80, external: 8080, ip: "127.0.0.1" }],
  securityOpts: ["no-new-privileges:true"],
  ${more}
}, { provider: engine });`;

/** The same as bob's workspace, whose folder only an update may know. */
const workspace = (name: string, more: string): string =>
  container(
    name,
    `labels: Object.entries({ owner: "bob", component: "workspace", stack: "test", node: "node-0" })
    .map(([of, value]) => ({ label: "berth." + of, value })),
  capabilities: { drops: ["ALL"], adds: ["CAP_CHOWN"] }, cgroupnsMode: "private",
  cgroupParent: "berth-default-bob.slice",
  mounts: [{ type: "bind", source: "/mnt/storage/homes/bob", target: "/home/bob" }],
  ${more}`,
  );

const firewall = (port: string): string => `
new digitalocean.Firewall("firewall", { tags: [tag.name], inboundRules: [
  { protocol: "tcp", portRange: "${port}", sourceAddresses: ["0.0.0.0/0", "::/0"] },
  { protocol: "tcp", portRange: "22", sourceAddresses: ["192.0.2.0/24"] },
] }, { provider: cloud });`;

function program(text: string): void {
  sandbox.program(`
const docker = require("@pulumi/docker");
const digitalocean = require("@pulumi/digitalocean");
const engine = new docker.Provider("engine", { host: "unix:///var/run/docker.sock" });
const cloud = new digitalocean.Provider("cloud", { token: pulumi.secret("not-a-token") });
const tag = new digitalocean.Tag("tag", { name: "berth-test" }, { provider: cloud });
const droplet = () => new digitalocean.Droplet("droplet",
  { image: "debian-13-x64", region: "fra1", size: "s-1vcpu-1gb", tags: [tag.name] }, { provider: cloud });
${text}`);
}

const preview = () => sandbox.run(["preview", "--policy-pack", POLICY]);

describe("the policy pack", () => {
  it(
    "lets a program pass that keeps to the rules, with values that are not known yet",
    async () => {
      program(`
const seed = new command.local.Command("seed", { create: "echo ${ID}", stdin: pulumi.secret("TOPSECRET") });
${container("good", `image: seed.stdout, envs: [pulumi.secret("DB_PASSWORD=TOPSECRET")],`)}
${workspace("own", "")}
const later = { type: "bind", source: seed.stdout, target: "/x" };
${workspace("later", "mounts: [later], securityOpts: [seed.stdout],")}
${firewall("443")}
droplet();
new docker.Volume("data", { name: "berth-policy-data" }, { provider: engine, protect: true });`);
      const { code, text } = await preview();
      expect(text).toContain("✅ berth@v");
      expect(text).not.toMatch(/violation|mandatory|advisory|TOPSECRET/i);
      expect(code).toBe(0);
    },
    MINUTE,
  );

  it.each<[string, string, string]>([
    [
      "a port on every address",
      container("bad", "ports: [{ internal: 80, external: 8080 }],"),
      "no-port-outside-the-plan",
    ],
    ["a firewall wider than the plan", `${firewall("8080")} droplet();`, "opens port 8080 (tcp)"],
    ["a droplet without a firewall", "droplet();", "droplets-behind-a-firewall"],
    ["no limit of memory", container("bad", "memory: undefined,"), "memory is not set"],
    ["an owner that is missing", container("bad", "labels: [],"), "label berth.owner is missing"],
    [
      "a workspace without sudo that may gain rights",
      workspace("bad", "securityOpts: [],"),
      'securityOpts lacks "no-new-privileges:true"',
    ],
    [
      "a device of the host",
      workspace("bad", 'devices: [{ hostPath: "/dev/fuse" }],'),
      "devices[0] (/dev/fuse)",
    ],
    [
      "a workspace with another one's home",
      workspace("bad", 'mounts: [{ type: "bind", source: "/mnt/storage/homes/alice", target: "/x" }],'),
      "people-stay-in-their-own",
    ],
    [
      "a workspace with more capabilities",
      workspace("bad", 'capabilities: { drops: ["ALL"], adds: ["CAP_MKNOD"] },'),
      "capability CAP_MKNOD is more than a workspace needs",
    ],
    ["an image by tag", container("bad", 'image: "debian:13",'), "images-by-digest-in-production"],
    [
      "a plain password",
      'new command.local.Command("bad", { create: "true", environment: { DB_PASSWORD: "TOPSECRET" } });',
      "environment.DB_PASSWORD is a secret by its name",
    ],
    [
      "a volume without protection",
      'new docker.Volume("bad", { name: "berth-policy-bad" }, { provider: engine });',
      "volumes-protected-in-production",
    ],
  ])(
    "fails a preview with %s, by name, and shows no secret",
    async (_, text, expected) => {
      program(text);
      const ran = await preview();
      expect(ran.text).toContain("❌ berth@v");
      expect(ran.text).toContain("[mandatory]");
      expect(ran.text).toContain(expected);
      // The engine's own diff shows the plain password; the pack's report must not.
      expect(ran.text.slice(ran.text.indexOf("Policies:"))).not.toContain("TOPSECRET");
      expect(ran.code).not.toBe(0);
    },
    MINUTE,
  );

  it(
    "stops an update before the resource is made",
    async () => {
      const file = join(sandbox.folder, "made");
      program(
        `new command.local.Command("bad", { create: "touch ${file}", environment: { DB_PASSWORD: "TOPSECRET" } });`,
      );
      const ran = await sandbox.run(["up", "--yes", "--skip-preview", "--policy-pack", POLICY]);
      expect(ran.code).not.toBe(0);
      expect(ran.text).toContain("no-plaintext-secrets");
      expect(existsSync(file)).toBe(false);
      expect((await sandbox.resources()).map(({ type }) => type)).not.toContain("command:local:Command");
    },
    MINUTE,
  );
});
