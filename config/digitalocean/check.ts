import {
  behindPrefix,
  isAddress,
  isHost,
  isPrivateAddress,
  networksOverlap,
  PRIVATE_IPV4,
  readIpv4Network,
} from "../../core/net";
import { checkPublicKey } from "../machines/ssh-keys";
import { checkNetworks, hasLocal } from "../network/check";
import { WORKSPACE_NETWORK } from "../plan";
import type { Report } from "../problems";
import type { StackConfig } from "../schema";
import { sizeText } from "../values";

/** Droplets, and what they share. Pure. */

/** DigitalOcean takes 64 KiB of user data; a quarter is kept for what Berth writes there. */
const MOST_KEY_BYTES = 48 * 1024;

function checkShared(
  config: StackConfig,
  shared: NonNullable<StackConfig["digitalocean"]>,
  report: Report,
): void {
  const path = "digitalocean";
  slug(`${path}.region`, shared.region, REGION, "region", "fra1", report);
  const cidr = readIpv4Network(shared.vpcCidr);
  const behind = behindPrefix(shared.vpcCidr);
  // No private range is smaller than /16: a network whose first address is in one lies in it whole.
  if (!cidr || !isPrivateAddress(cidr.first.toString()) || cidr.prefix < 16 || cidr.prefix > 28)
    report(
      `${path}.vpcCidr`,
      shared.vpcCidr,
      behind?.problem ?? "is no private network that DigitalOcean takes",
      behind?.allowed ?? `a network from /16 to /28 in ${PRIVATE_IPV4.join(", ")}, such as "10.110.0.0/20"`,
    );
  else
    for (const other of [WORKSPACE_NETWORK, ...(hasLocal(config) ? [config.network.cidr] : [])]) {
      const taken = readIpv4Network(other);
      if (taken && networksOverlap(cidr, taken))
        report(
          `${path}.vpcCidr`,
          shared.vpcCidr,
          `overlaps ${other}`,
          "a network that Berth does not use elsewhere",
        );
    }
  for (const [k, tag] of shared.tags.entries())
    if (!/^[A-Za-z0-9:_-]{1,255}$/.test(tag))
      report(`${path}.tags[${k}]`, tag, "is no tag", "letters, digits, ':', '-' and '_', at most 255");
  if (
    shared.domain !== undefined &&
    (!isHost(shared.domain) || !shared.domain.includes(".") || isAddress(shared.domain))
  )
    report(`${path}.domain`, shared.domain, "is no domain", 'a domain such as "cluster.example.com"');
  for (const [k, key] of shared.sshKeys.entries()) checkPublicKey(`${path}.sshKeys[${k}]`, key, report);
  const bytes = shared.sshKeys.reduce((sum, key) => sum + Buffer.byteLength(key), 0);
  if (bytes > MOST_KEY_BYTES)
    report(
      `${path}.sshKeys`,
      `${shared.sshKeys.length} keys, ${bytes} bytes`,
      "are more than a droplet's user data can hold",
      `at most ${MOST_KEY_BYTES} bytes in all, such as ${Math.floor(MOST_KEY_BYTES / 100)} Ed25519 keys`,
    );
  checkNetworks(`${path}.allowSshFrom`, shared.allowSshFrom, report);
}

function slug(
  path: string,
  value: string,
  rule: RegExp,
  what: string,
  example: string,
  report: Report,
): void {
  if (!rule.test(value))
    report(
      path,
      value,
      `is no slug of a ${what}`,
      `a slug as "doctl compute ${what} list" shows it, such as "${example}"`,
    );
}

/**
 * Slugs as DigitalOcean's API lists them, such as `so1_5-2vcpu-16gb`; an image may be the number of a snapshot. Which
 * there are the catalogue knows, and is asked: this keeps out what can be none.
 */
const REGION = /^[a-z]{3}\d$/;

const SLUG = /^[a-z0-9]+([-._][a-z0-9]+)*$/;

export function checkDigitalocean(config: StackConfig, report: Report): void {
  const { digitalocean } = config;
  const droplets = config.nodes.some((node) => node.kind === "digitalocean");
  if (droplets && !digitalocean)
    report("digitalocean", undefined, "is missing", "{ region, … }: what the droplets of the stack share");
  if (digitalocean) checkShared(config, digitalocean, report);
  const names = new Map<string, string>();
  for (const [i, node] of config.nodes.entries()) {
    if (node.kind !== "digitalocean") continue;
    const path = `nodes[${i}]`;
    slug(`${path}.size`, node.size, SLUG, "size", "s-2vcpu-4gb", report);
    slug(`${path}.image`, node.image, SLUG, "image", "debian-13-x64", report);
    if (node.region !== undefined) slug(`${path}.region`, node.region, REGION, "region", "fra1", report);
    const region = node.region ?? digitalocean?.region;
    if (digitalocean && region !== digitalocean.region)
      report(
        `${path}.region`,
        region,
        "is another region than that of the stack's private network",
        `${JSON.stringify(digitalocean.region)}; a private network of DigitalOcean lies in one region`,
      );
    for (const [k, volume] of node.volumes.entries()) {
      const at = `${path}.volumes[${k}]`;
      if (!/^[a-z][a-z0-9-]{0,63}$/.test(volume.name))
        report(
          `${at}.name`,
          volume.name,
          "is no name of a volume",
          "lower-case letters, digits and '-', a letter first, at most 64",
        );
      const twin = names.get(volume.name);
      if (twin)
        report(`${at}.name`, volume.name, `is the name of ${twin} too`, "a name of its own for every volume");
      names.set(volume.name, at);
      if (volume.size % GiB !== 0 || volume.size < GiB || volume.size > 16384 * GiB)
        report(
          `${at}.size`,
          sizeText(volume.size),
          "is no size of a volume",
          'whole GiB from "1GiB" to "16TiB"',
        );
    }
  }
}

const GiB = 2 ** 30;
