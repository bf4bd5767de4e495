import { createHash, createPrivateKey, createPublicKey, hkdfSync } from "node:crypto";

/**
 * Every secret of a stack comes from one random seed, kept encrypted in the stack's state. A purpose
 * names each secret, so that whoever holds the state can make them all again, on any machine, and
 * nothing has to be stored beside it. Derivation: HKDF-SHA256 (RFC 5869).
 */

/** Characters that survive being read aloud: no 0/O, 1/l/I. 32 of them, so a byte maps without bias. */
const ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789";

/** 20 characters of 32 kinds: 100 bits. */
const PASSWORD_LENGTH = 20;

export function derive(seed: string, purpose: string, length: number): Buffer {
  return Buffer.from(hkdfSync("sha256", seed, "berth", purpose, length));
}

export function derivePassword(seed: string, purpose: string): string {
  return [...derive(seed, purpose, PASSWORD_LENGTH)].map((byte) => ALPHABET[byte % ALPHABET.length]).join("");
}

/** 256 bits as 64 hex characters. */
export function deriveToken(seed: string, purpose: string): string {
  return derive(seed, purpose, 32).toString("hex");
}

export interface SshKeyPair {
  /** OpenSSH private key file (openssh-key-v1), unencrypted. */
  privateKey: string;
  /** `ssh-ed25519 AAAA…`, without a comment. */
  publicKey: string;
}

/** PKCS#8 header of an Ed25519 private key (RFC 8410); the 32-byte seed follows. */
const PKCS8_ED25519 = Buffer.from("302e020100300506032b657004220420", "hex");

/** An Ed25519 key pair in OpenSSH's formats (PROTOCOL.key), the same one for the same seed and purpose. */
export function deriveSshKey(seed: string, purpose: string): SshKeyPair {
  const secret = derive(seed, purpose, 32);
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, secret]), format: "der", type: "pkcs8" });
  const point = createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32);
  const field = (bytes: Buffer | string) => {
    const data = Buffer.from(bytes);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    return Buffer.concat([length, data]);
  };
  const type = "ssh-ed25519";
  const publicBlob = Buffer.concat([field(type), field(point)]);
  // Two equal check words; random in OpenSSH, derived here so that the file is stable.
  const check = createHash("sha256").update(publicBlob).digest().subarray(0, 4);
  let inner = Buffer.concat([check, check, publicBlob, field(Buffer.concat([secret, point])), field("")]);
  for (let pad = 1; inner.length % 8 !== 0; pad++) inner = Buffer.concat([inner, Buffer.from([pad])]);
  const one = Buffer.from([0, 0, 0, 1]);
  const file = Buffer.concat([
    Buffer.from("openssh-key-v1\0"),
    field("none"),
    field("none"),
    field(""),
    one,
    field(publicBlob),
    field(inner),
  ]);
  const body = file.toString("base64").replace(/.{1,70}/g, "$&\n");
  return {
    privateKey: `-----BEGIN OPENSSH PRIVATE KEY-----\n${body}-----END OPENSSH PRIVATE KEY-----\n`,
    publicKey: `${type} ${publicBlob.toString("base64")}`,
  };
}

export interface UserCredentials {
  /** Password for SSH and sudo. */
  password: string;
  /** Password for VS Code in the browser. */
  codePassword: string;
  /** Password for the desktop (VNC, noVNC, RDP). */
  vncPassword: string;
  jupyterToken: string;
  /** Password of the TensorBoard page; the user name is the workspace's. */
  tensorboardPassword: string;
  /** A private key for this workspace, where the configuration lists no key of the user's. */
  sshPrivateKey?: string;
}

/** A user's credentials; another `version` gives other ones. */
export function userCredentials(
  seed: string,
  user: { name: string; credentialsVersion: number; keys: readonly string[] },
  ownPassword?: string,
): UserCredentials {
  const purpose = (what: string) => `user/${user.name}/${user.credentialsVersion}/${what}`;
  return {
    password: ownPassword ?? derivePassword(seed, purpose("password")),
    codePassword: derivePassword(seed, purpose("code")),
    vncPassword: derivePassword(seed, purpose("vnc")),
    jupyterToken: deriveToken(seed, purpose("jupyter")),
    tensorboardPassword: derivePassword(seed, purpose("tensorboard")),
    ...(user.keys.length === 0 ? { sshPrivateKey: deriveSshKey(seed, purpose("ssh")).privateKey } : {}),
  };
}

/** Keys that open a user's workspace: the configured ones, else the derived one. */
export function authorizedKeys(
  seed: string,
  user: { name: string; credentialsVersion: number; keys: readonly string[] },
): string[] {
  if (user.keys.length > 0) return [...user.keys];
  return [`${deriveSshKey(seed, `user/${user.name}/${user.credentialsVersion}/ssh`).publicKey} ${user.name}`];
}

/** The key with which Berth signs in to a stack's nodes. */
export const operatorKey = (seed: string) => deriveSshKey(seed, "operator/ssh");

/** The SSH host key that a node is made with. */
export const nodeHostKey = (seed: string, node: string) => deriveSshKey(seed, `node/${node}/host-key`);

/** The SSH host key of a droplet's own, which its user data does not hold. */
export const ownHostKey = (seed: string, node: string) => deriveSshKey(seed, `node/${node}/host-key/own`);

/** A workspace's SSH host key: it outlives the container, so clients see no changed key. */
export const workspaceHostKey = (seed: string, user: string) =>
  deriveSshKey(seed, `workspace/${user}/host-key`);

/** The Ray cluster's token; another generation gives another one. @param generation empty: that of all users */
export const rayToken = (seed: string, generation: string) =>
  deriveToken(seed, generation === "" ? "ray/token" : `ray/token/${generation}`);

/**
 * A back-end's token on one node: nobody who learns the one of another node can use it here. Another version gives another token.
 */
export const tenantToken = (seed: string, node: string, tenant: { name: string; tokenVersion: number }) =>
  deriveToken(seed, `manager/${node}/${tenant.name}/${tenant.tokenVersion}`);

/** Who may push images into the stack's registry. */
export const registryPassword = (seed: string) => derivePassword(seed, "registry/push");
