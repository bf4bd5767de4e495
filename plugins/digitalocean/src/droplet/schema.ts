/** `digitalocean:index/droplet:Droplet` in version 4.80.1 of the official plugin. Pure. */
import { createHash } from "node:crypto";
import { boolean, type Fields, set, string } from "@berth/plugin-base/bridged";
import { SOME, sameSlug, tagsField } from "../resource";

const replace = true;
const computed = true;
const output = true;

/** The state holds a digest of the user data, not the text: https://docs.digitalocean.com "64 KiB". */
export const userDataDigest = (text: string): string => createHash("sha1").update(text).digest("hex");

/** @param old a digest, or (in old states) the text itself. */
const sameUserData = (old: string, next: string): boolean => old === next || old === userDataDigest(next);

/** The official plugin leaves defaults that are false out of the inputs in state. */
export const dropletFields: Fields = {
  image: string({ required: true, replace, pattern: SOME }),
  name: string({ computed, pattern: SOME }),
  region: string({ computed, replace, pattern: SOME, same: sameSlug }),
  size: string({ required: true, pattern: SOME, same: sameSlug }),
  backups: boolean(),
  gracefulShutdown: boolean(),
  ipv6: boolean(),
  monitoring: boolean({ replace }),
  resizeDisk: boolean({ default: true }),
  sshKeys: set(string({ pattern: SOME }), { replace }),
  tags: tagsField(),
  userData: string({ replace, pattern: SOME, same: sameUserData }),
  vpcUuid: string({ computed, replace, pattern: SOME }),
  dropletUrn: string({ output }),
  ipv4Address: string({ output }),
  ipv4AddressPrivate: string({ output }),
  ipv6Address: string({ output }),
  status: string({ output }),
};

/** The bridge's note of the official plugin's schema version and time-outs, in nanoseconds. */
export const dropletMeta =
  '{"e2bfb730-ecaa-11e6-8f88-34363bc7c4c0":{"create":3600000000000,"delete":60000000000,"update":3600000000000},"schema_version":"1"}';
