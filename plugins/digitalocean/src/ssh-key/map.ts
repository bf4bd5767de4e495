/** `digitalocean:index/sshKey:SshKey`: properties and their place in the API. Pure. */
import { createHash } from "node:crypto";
import type { Props } from "@berth/plugin-base";
import { type Fields, string } from "@berth/plugin-base/bridged";
import { SOME } from "../resource";

const sameKey = (a: string, b: string): boolean => a.trim() === b.trim();

export const sshKeyFields: Fields = {
  name: string({ computed: true, pattern: SOME }),
  publicKey: string({ required: true, replace: true, pattern: SOME, same: sameKey }),
  fingerprint: string({ output: true }),
};

/** The bridge's note of the official plugin's time-outs, in nanoseconds. */
export const sshKeyMeta = '{"e2bfb730-ecaa-11e6-8f88-34363bc7c4c0":{"create":120000000000}}';

export interface ApiSshKey {
  readonly id: number;
  readonly name: string;
  readonly fingerprint: string;
  readonly public_key: string;
}

export function sshKeyState(key: ApiSshKey): Props {
  return { name: key.name, publicKey: key.public_key, fingerprint: key.fingerprint };
}

/** As the API makes it: MD5 of the key itself, in pairs of digits. */
export function fingerprintOf(publicKey: string): string {
  const key = Buffer.from(publicKey.trim().split(/\s+/)[1] ?? "", "base64");
  return (createHash("md5").update(key).digest("hex").match(/../g) ?? []).join(":");
}
