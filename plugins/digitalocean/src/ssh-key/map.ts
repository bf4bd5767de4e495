/** `digitalocean:index/sshKey:SshKey`: properties and their place in the API. Pure. */
import type { Props } from "@berth/plugin-base";
import { type Fields, string } from "../bridge";
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
