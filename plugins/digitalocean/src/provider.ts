/** The plugin: its configuration, and the table of its resource types and functions. */
import { ProviderError, type ProviderSpec } from "@berth/plugin-base";
import { Api, configSchema, realClock, settingsOf } from "./api";
import { dnsRecordType, domainType } from "./domain";
import { dropletType } from "./droplet";
import { firewallType } from "./firewall";
import { functionTypes } from "./functions";
import { projectResourcesType, projectType } from "./project";
import { reservedIpAssignmentType, reservedIpType } from "./reserved-ip";
import { sshKeyType } from "./ssh-key";
import { tagType } from "./tag";
import { volumeAttachmentType, volumeType } from "./volume";
import { vpcType } from "./vpc";

/** Equal to the version of the `@pulumi/digitalocean` package that the program uses. */
export const version = "4.80.1";

/**
 * @param env where the official plugin's variables are looked up, see {@link settingsOf}.
 * @param clock what tests replace.
 */
export function digitaloceanProvider(
  env: Readonly<Record<string, string | undefined>> = process.env,
  clock = realClock,
): ProviderSpec {
  let current: Api | undefined;
  const api = (): Api => {
    if (current === undefined) throw new ProviderError("the digitalocean provider was not configured");
    return current;
  };
  return {
    name: "digitalocean",
    version,
    config: configSchema,
    resources: {
      "digitalocean:index/dnsRecord:DnsRecord": dnsRecordType(api),
      "digitalocean:index/domain:Domain": domainType(api),
      "digitalocean:index/droplet:Droplet": dropletType(api),
      "digitalocean:index/firewall:Firewall": firewallType(api),
      "digitalocean:index/project:Project": projectType(api),
      "digitalocean:index/projectResources:ProjectResources": projectResourcesType(api),
      "digitalocean:index/reservedIp:ReservedIp": reservedIpType(api),
      "digitalocean:index/reservedIpAssignment:ReservedIpAssignment": reservedIpAssignmentType(api),
      "digitalocean:index/sshKey:SshKey": sshKeyType(api),
      "digitalocean:index/tag:Tag": tagType(api),
      "digitalocean:index/volume:Volume": volumeType(api),
      "digitalocean:index/volumeAttachment:VolumeAttachment": volumeAttachmentType(api),
      "digitalocean:index/vpc:Vpc": vpcType(api),
    },
    functions: functionTypes(api),
    configure(config) {
      current = new Api(settingsOf(config, env), clock);
    },
  };
}
