/**
 * The whole life of every kind against Berth's DigitalOcean API for tests, which compares each request and answer with
 * the API's own description: nothing sent that the API does not know, and no diff after a create, a read, an update.
 */
import { checkInputs, type Props, type ResourceType } from "@berth/plugin-base";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startApi, type Api as TestApi } from "../../../test/fakes/digitalocean";
import { realClock } from "../src/api";
import { digitaloceanProvider } from "../src/provider";
import { bag, closeServers, context } from "./support";

closeServers();

const PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBbzTLZkKM3Vfx5qO9D7YVQxJm7UPO0Bh0FDj3yEwF1S me";

interface Made {
  readonly kind: string;
  readonly id: string;
  readonly outs: Props;
}

let api: TestApi;
const made: Made[] = [];
/** Work there takes milliseconds, so seconds between looks would only cost time. */
const clock: typeof realClock = {
  ...realClock,
  sleep: (ms, signal) => realClock.sleep(Math.min(ms, 10), signal),
};
const spec = digitaloceanProvider({}, clock);

beforeAll(async () => {
  api = await startApi();
  await spec.configure?.(bag({ token: api.token, apiEndpoint: api.url }), context("provider"));
});

/** Rejects if any request or answer was not as the API describes them. */
afterAll(() => api.close());

const tokenOf = (kind: string): string =>
  `digitalocean:index/${kind}:${kind.charAt(0).toUpperCase()}${kind.slice(1)}`;

function typeOf(kind: string): Required<ResourceType> {
  const type = spec.resources[tokenOf(kind)];
  if (type === undefined) throw new Error(`no resource ${kind}`);
  return type as Required<ResourceType>;
}

async function checked(kind: string, program: Props, olds: Props = {}): Promise<Props> {
  const first = checkInputs(kind, typeOf(kind).inputs, program);
  const own = await typeOf(kind).check({ olds: bag(olds), news: bag(first.inputs) }, context(kind));
  expect([...first.failures, ...(own.failures ?? [])]).toEqual([]);
  return own.inputs ?? first.inputs;
}

async function expectNoDiff(kind: string, id: string, outs: Props, inputs: Props): Promise<void> {
  const req = { id, olds: bag(outs), oldInputs: bag(inputs), news: bag(inputs), ignoreChanges: [] };
  expect([kind, (await typeOf(kind).diff(req, context(kind))).changes]).toEqual([kind, []]);
}

/** Creates, and looks that neither the next preview nor a refresh finds a change. */
async function up(kind: string, program: Props): Promise<Made> {
  const inputs = await checked(kind, program);
  const ctx = context(kind, { urn: `urn:pulumi:dev::berth::${tokenOf(kind)}::${kind}` });
  const { id, outs } = await typeOf(kind).create({ inputs: bag(inputs) }, ctx);
  await expectNoDiff(kind, id, outs, inputs);
  const read = await typeOf(kind).read({ id, props: bag(outs), inputs: bag(inputs) }, context(kind));
  await expectNoDiff(kind, id, read.outs, inputs);
  expect([kind, read.inputs]).toEqual([kind, inputs]);
  made.push({ kind, id, outs });
  return { kind, id, outs };
}

async function change({ kind, id, outs }: Made, program: Props): Promise<Props> {
  const inputs = await checked(kind, program, outs);
  const req = { id, olds: bag(outs), oldInputs: bag({}), news: bag(inputs) };
  const after = await typeOf(kind).update(req, context(kind));
  await expectNoDiff(kind, id, after.outs, inputs);
  return after.outs;
}

describe("against the described API", () => {
  it("creates, changes and reads every kind without a diff", async () => {
    const region = "fra1";
    const vpc = await up("vpc", { name: "v", region, ipRange: "10.110.0.0/20" });
    await change(vpc, { name: "v2", region, ipRange: "10.110.0.0/20" });
    const key = await up("sshKey", { name: "k", publicKey: PUBLIC_KEY });
    await change(key, { name: "k2", publicKey: PUBLIC_KEY });
    await up("tag", { name: "berth" });

    const head: Props = {
      name: "head",
      image: "debian-13-x64",
      region,
      size: "s-2vcpu-4gb",
      vpcUuid: vpc.id,
      sshKeys: [key.id],
      tags: ["berth", "a"],
      userData: "#cloud-config\n",
      monitoring: true,
      ipv6: true,
    };
    const droplet = await up("droplet", head);
    expect(droplet.outs).toMatchObject({ status: "active", vpcUuid: vpc.id, tags: ["berth", "a"] });
    const dropletId = Number(droplet.id);

    const data: Props = { name: "data", region, size: 10, tags: ["berth"] };
    const volume = await up("volume", data);
    await up("volumeAttachment", { dropletId, volumeId: volume.id });
    expect(await change(volume, { ...data, size: 20, tags: ["b"] })).toMatchObject({ size: 20, tags: ["b"] });

    const everywhere = ["0.0.0.0/0", "::/0"];
    await up("firewall", {
      name: "fw",
      tags: ["berth"],
      dropletIds: [dropletId],
      inboundRules: [
        { protocol: "tcp", portRange: "22", sourceAddresses: everywhere },
        { protocol: "icmp", sourceTags: ["berth"] },
      ],
      outboundRules: [{ protocol: "tcp", portRange: "all", destinationAddresses: everywhere }],
    });
    const address = await up("reservedIp", { region });
    await up("reservedIpAssignment", { ipAddress: address.id, dropletId });
    api.state.domains.set("example.org", { name: "example.org", ttl: 1800, records: new Map() });
    const record: Props = { domain: "example.org", type: "A", name: "www", value: "203.0.113.1", ttl: 300 };
    await change(await up("dnsRecord", record), { ...record, name: "www2", ttl: 60 });
    const project = await up("project", { name: "p", environment: "production", purpose: "GPU" });
    const resources = [`do:droplet:${droplet.id}`, `do:volume:${volume.id}`];
    await up("projectResources", { project: project.id, resources });

    const bigger = { ...head, name: "head2", size: "s-4vcpu-8gb", backups: true, tags: ["berth", "c"] };
    expect(await change(droplet, bigger)).toMatchObject({
      name: "head2",
      size: "s-4vcpu-8gb",
      backups: true,
    });
    expect(new Set(made.map(({ kind }) => tokenOf(kind)))).toEqual(new Set(Object.keys(spec.resources)));
  });

  it("leaves none of its own tags behind", async () => {
    const marks = (): string[] => [...api.state.tags].filter((tag) => tag.startsWith("berth-id"));
    expect(marks().length).toBeGreaterThan(5);
    await spec.close?.();
    expect(marks()).toEqual([]);
  });

  it.each<[string, Props]>([
    ["getRegions", {}],
    ["getSizes", {}],
    ["getImage", { slug: "debian-13-x64" }],
  ])("asks %s", async (name, args) => {
    const found = spec.functions?.[`digitalocean:index/${name}:${name}`];
    expect((await found?.invoke(bag(args), context("")))?.outs?.id).toBeTruthy();
  });

  it("deletes everything, in the order in which the engine would", async () => {
    for (const { kind, id, outs } of made.toReversed()) {
      await typeOf(kind).delete({ id, olds: bag(outs), oldInputs: bag({}) }, context(kind));
      if (kind === "projectResources") continue; // its project is still there
      const read = await typeOf(kind).read({ id, props: bag(outs), inputs: bag({}) }, context(kind));
      expect([kind, read.id]).toEqual([kind, ""]);
    }
    expect(api.takeViolations()).toEqual([]);
  });
});
