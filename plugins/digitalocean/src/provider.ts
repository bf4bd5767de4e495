/** The plugin: its configuration, and the table of its resource types and functions. */
import { ProviderError, type ProviderSpec } from "@berth/plugin-base";
import { Api, configSchema, realClock, settingsOf } from "./api";
import { dnsRecordType } from "./dns-record";
import { dropletType } from "./droplet";
import { firewallType } from "./firewall";
import { functionTypes } from "./functions";
import { projectResourcesType, projectType } from "./project";
import { reservedIpAssignmentType, reservedIpType } from "./reserved-ip";
import { Journal, type Session } from "./resource";
import { sshKeyType } from "./ssh-key";
import { tagType } from "./tag";
import { volumeAttachmentType, volumeType } from "./volume";
import { vpcType } from "./vpc";

/** Equal to the version of the `@pulumi/digitalocean` package that the program uses. */
export const version = "4.80.1";

/**
 * @param env where the official plugin's variables are looked up, see {@link settingsOf}.
 * @param clock what tests replace, as they do `settleMs`, for how long the journal waits.
 */
export function digitaloceanProvider(
  env: Readonly<Record<string, string | undefined>> = process.env,
  clock = realClock,
  settleMs?: number,
): ProviderSpec {
  let current: Session | undefined;
  const session = (): Session => {
    if (current === undefined) throw new ProviderError("the digitalocean provider was not configured");
    return current;
  };
  return {
    name: "digitalocean",
    version,
    config: configSchema,
    resources: {
      "digitalocean:index/dnsRecord:DnsRecord": dnsRecordType(session),
      "digitalocean:index/droplet:Droplet": dropletType(session),
      "digitalocean:index/firewall:Firewall": firewallType(session),
      "digitalocean:index/project:Project": projectType(session),
      "digitalocean:index/projectResources:ProjectResources": projectResourcesType(session),
      "digitalocean:index/reservedIp:ReservedIp": reservedIpType(session),
      "digitalocean:index/reservedIpAssignment:ReservedIpAssignment": reservedIpAssignmentType(session),
      "digitalocean:index/sshKey:SshKey": sshKeyType(session),
      "digitalocean:index/tag:Tag": tagType(session),
      "digitalocean:index/volume:Volume": volumeType(session),
      "digitalocean:index/volumeAttachment:VolumeAttachment": volumeAttachmentType(session),
      "digitalocean:index/vpc:Vpc": vpcType(session),
    },
    functions: functionTypes(() => session().api),
    configure(config) {
      const api = new Api(settingsOf(config, env), clock);
      current = { api, journal: new Journal(api, settleMs) };
    },
    close: async () => await current?.journal.close(),
  };
}
