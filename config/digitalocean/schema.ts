import { z } from "zod";
import { commonNode } from "../machines/schema";
import { filesystem } from "../storage/schema";
import { publicKey, size, text } from "../values";

/** Shape of droplets, and of what they share. Checked in check.ts. */

export const digitaloceanNode = z.strictObject({
  kind: z.literal("digitalocean"),
  ...commonNode,
  /** Slug of the droplet's size, such as `s-2vcpu-4gb`. */
  size: text,
  image: text.default("debian-13-x64"),
  /** `digitalocean.region` when left out. */
  region: text.optional(),
  monitoring: z.boolean().default(true),
  ipv6: z.boolean().default(false),
  backups: z.boolean().default(false),
  reservedIp: z.boolean().default(false),
  volumes: z
    .array(z.strictObject({ name: text, size, filesystem: filesystem.default("ext4"), mount: text }))
    .default([]),
});

export const digitalocean = z.strictObject({
  region: text,
  vpcCidr: text.default("10.110.0.0/20"),
  project: text.optional(),
  tags: z.array(text).default([]),
  domain: text.optional(),
  /** Public keys of operators, beside Berth's own. */
  sshKeys: z.array(publicKey).default([]),
  /** Networks that may open SSH to the droplets; also the default of `firewall.allowSsh`. */
  allowSshFrom: z.array(text).optional(),
});
