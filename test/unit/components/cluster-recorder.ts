/** @file Runs the program's Cluster against an engine that records what it is asked to register. */
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { ClusterTransform } from "../../../components/cluster-transform";
import { loadConfig } from "../../../config";

export interface Seen {
  type: string;
  name: string;
  inputs: Record<string, unknown>;
  /** Left out: none. */
  ignoreChanges?: string[];
}

/** The same for each run, as it stands in what is recorded. */
const HOME = join(tmpdir(), `berth-recorder-${process.pid}`);

export const SEED = "seed-of-the-unit-tests";

export function localStack(users: object[], more: Record<string, unknown> = {}): Record<string, unknown> {
  const node = (name: string, role: string, address: string) => ({
    kind: "local",
    name,
    role,
    address,
    cpus: 2,
    memory: "8GiB",
  });
  return {
    nodes: [node("node-0", "head", "10.88.0.10"), node("node-1", "worker", "10.88.0.11")],
    users,
    ...more,
  };
}

/** What DigitalOcean adds to a resource; a droplet's by its name's last digit. */
const computed = (type: string, name: string) => {
  if (type === "digitalocean:index/reservedIp:ReservedIp") return { ipAddress: "203.0.113.9" };
  if (type !== "digitalocean:index/droplet:Droplet") return {};
  const n = Number(name.at(-1));
  return {
    ipv4Address: `192.0.2.${10 + n}`,
    ipv4AddressPrivate: `10.110.0.${10 + n}`,
    ipv6Address: `2001:db8::${10 + n}`,
    dropletUrn: `do:droplet:${1000 + n}`,
  };
};

/** What commands print, by the resource's name. */
function stdout(name: string): string {
  if (name.endsWith("-seed")) return SEED;
  if (name.includes("-image-") || name.endsWith("-registry-image"))
    return '{"ref":"berth/x:1","id":"sha256:abc"}';
  if (name.includes("-push-")) return `{"digest":"sha256:${"def0".repeat(16)}"}`;
  return 'BERTH_FACTS {"stage":"x","changed":[]}';
}

/** What a check would add, which mocks do not run: the planner's word, without a node to ask. */
async function checked(type: string, inputs: Record<string, unknown>): Promise<Record<string, unknown>> {
  if (type.endsWith(":RayToken")) {
    const { provider } = await import("../../../components/ray/token-provider.js");
    return (await provider.check({}, inputs as never)).inputs;
  }
  if (!type.endsWith(":GpuPool")) return inputs;
  const { provider } = await import("../../../components/gpu/provider.js");
  const { UNKNOWN } = await import("../../../components/gpu/inputs.js");
  const { inputs: found, failures = [] } = await provider.check({}, { ...inputs, machine: UNKNOWN });
  if (failures.length > 0) throw new Error(failures.map(({ reason }) => reason).join("\n"));
  return { ...found, machine: inputs.machine };
}

/** What the engine was asked for. @param config as in the stack file, without the `berth:` of its keys. */
export const runCluster = async (
  config: Record<string, unknown>,
  preview: boolean,
  transform?: ClusterTransform,
): Promise<Seen[]> => (await makeCluster(config, preview, transform)).seen;

/** The same with the component that asked. */
export async function makeCluster(
  config: Record<string, unknown>,
  preview: boolean,
  transform?: ClusterTransform,
) {
  // Pulumi writes down the stack of every promise, and vitest looks up each line of it: two thirds of the time.
  const limit = Error.stackTraceLimit;
  const home = process.env.BERTH_HOME;
  Error.stackTraceLimit = 1;
  // Keys and known hosts would be written to the home of whoever runs the tests.
  process.env.BERTH_HOME = HOME;
  try {
    return await recorded(config, preview, transform);
  } finally {
    Error.stackTraceLimit = limit;
    if (home === undefined) delete process.env.BERTH_HOME;
    else process.env.BERTH_HOME = home;
    rmSync(HOME, { recursive: true, force: true });
  }
}

async function recorded(config: Record<string, unknown>, preview: boolean, transform?: ClusterTransform) {
  // With a token the account would be asked what it offers; there is none here.
  for (const name of ["DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN"]) delete process.env[name];
  const seen: Seen[] = [];
  // Mocks are not told of options.
  const ignored = new Map<string, string[]>();
  const noteIgnored = ({ type, name, opts }: pulumi.ResourceTransformationArgs) => {
    const { ignoreChanges = [] } = opts as pulumi.CustomResourceOptions;
    if (ignoreChanges.length > 0) ignored.set(`${type} ${name}`, ignoreChanges);
    return undefined;
  };
  await pulumi.runtime.setMocks(
    {
      newResource: async ({ type, name, inputs: given, id }) => {
        const inputs = await checked(type, given);
        const ignoreChanges = ignored.get(`${type} ${name}`);
        seen.push({ type, name, inputs, ...(ignoreChanges && { ignoreChanges }) });
        const unknown = preview && type.startsWith("command:") && !name.endsWith("-seed");
        const more = preview ? {} : computed(type, name);
        const state = unknown ? inputs : { ...inputs, ...more, stdout: stdout(name) };
        return { id: id || (type.startsWith("digitalocean:") ? "1001" : `${name}-id`), state };
      },
      call: ({ token, inputs }) =>
        token === "cloudinit:index/getConfig:getConfig"
          ? { ...inputs, id: "1", rendered: JSON.stringify(inputs.parts) }
          : inputs,
    },
    "berth",
    "dev",
    preview,
  );
  const { Cluster } = await import("../../../components/cluster.js");
  const raw = Object.fromEntries(Object.entries(config).map(([k, v]) => [`berth:${k}`, JSON.stringify(v)]));
  const { plan, secrets } = loadConfig("dev", raw, () => [], { placeholders: preview ? "allow" : "refuse" });
  const cluster = new Cluster("berth", { plan, secrets, transform }, { transformations: [noteIgnored] });
  await pulumi.runtime.disconnect();
  return { seen, cluster };
}

export const names = (seen: Seen[]) => seen.map((r) => `${r.type} ${r.name}`).sort();
export const of = (seen: Seen[], type: string) => seen.filter((r) => r.type === type);
