/** The small program of the digitalocean plugin's engine test: one of everything that Berth makes there. */
import type { Api } from "../fakes/digitalocean";

/** A key in form only: its 32 bytes count from 0 to 31. */
const PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f test";

/** A zone that the account has before. */
const ZONE = "berth.example";

/** Puts into an account of the test API what the program takes for there. */
export function prepare({ state }: Api): void {
  state.domains.set(ZONE, { name: ZONE, ttl: 1800, records: new Map() });
}

export interface Setting {
  readonly url: string;
  readonly token: string;
}

export interface Edit {
  /** @default head and worker */
  readonly droplets?: readonly string[];
  readonly size?: string;
  /** Name of the first droplet at the API. */
  readonly name?: string;
  readonly volumeSize?: number;
  readonly hostname?: string;
  readonly ignoreUserData?: boolean;
  /** User data as a text, without the cloudinit plugin. */
  readonly plain?: boolean;
  /** More program text. */
  readonly more?: string;
}

export function programText({ url, token }: Setting, edit: Edit = {}): string {
  const { droplets = ["head", "worker"], size = "s-2vcpu-4gb", volumeSize = 10 } = edit;
  const options = edit.ignoreUserData === true ? ', ignoreChanges: ["userData"]' : "";
  return `
const digitalocean = require("@pulumi/digitalocean");
const provider = new digitalocean.Provider("do", { token: pulumi.secret("${token}"), apiEndpoint: "${url}" });
const region = "fra1";
const key = new digitalocean.SshKey("key", { name: "berth-test", publicKey: "${PUBLIC_KEY}" }, { provider });
const vpc = new digitalocean.Vpc("vpc", { name: "berth-test", region, ipRange: "10.110.0.0/20" }, { provider });
const tag = new digitalocean.Tag("tag", { name: "berth-test" }, { provider });
const content = "#cloud-config\\nhostname: ${edit.hostname ?? "one"}\\n";
const userData = ${edit.plain === true ? "{ rendered: content }" : document};
const droplets = ${JSON.stringify(droplets)}.map((name, i) => new digitalocean.Droplet(name, {
  name: i === 0 ? ${JSON.stringify(edit.name)} ?? name : name,
  image: "debian-13-x64", region, size: i === 0 ? "${size}" : "s-2vcpu-4gb", sshKeys: [key.fingerprint], vpcUuid: vpc.id,
  tags: [tag.id], userData: userData.rendered, monitoring: true,
}, { provider${options} }));
const head = droplets[0];
const id = head.id.apply(Number);
exports.addresses = droplets.map((droplet) => droplet.ipv4Address);
exports.ids = droplets.map((droplet) => droplet.id);
${rest(volumeSize)}
${edit.more ?? ""}
`;
}

const document = `require("@pulumi/cloudinit").getConfigOutput({
  gzip: false, base64Encode: false, parts: [{ contentType: "text/cloud-config", content }],
})`;

const rest = (volumeSize: number): string => `
const volume = new digitalocean.Volume("data", {
  name: "berth-data", region, size: ${volumeSize}, tags: [tag.id],
}, { provider });
new digitalocean.VolumeAttachment("data-attachment", { dropletId: id, volumeId: volume.id }, { provider });
new digitalocean.Firewall("firewall", {
  name: "berth-test", tags: [tag.id],
  inboundRules: [{ protocol: "tcp", portRange: "22", sourceAddresses: ["0.0.0.0/0", "::/0"] }],
  outboundRules: [{ protocol: "tcp", portRange: "1-65535", destinationAddresses: ["0.0.0.0/0", "::/0"] }],
}, { provider });
const address = new digitalocean.ReservedIp("address", { region }, { provider });
new digitalocean.ReservedIpAssignment("address-head", { ipAddress: address.ipAddress, dropletId: id }, { provider });
new digitalocean.DnsRecord("head-record", {
  domain: "${ZONE}", type: "A", name: "head", value: address.ipAddress, ttl: 300,
}, { provider });
const project = new digitalocean.Project("project", { name: "berth-test", environment: "Development" }, { provider });
new digitalocean.ProjectResources("project-resources", {
  project: project.id, resources: [...droplets.map((droplet) => droplet.dropletUrn), volume.volumeUrn],
}, { provider });
exports.address = address.ipAddress;
`;
