import { isPublicKey } from "../config";
import { LINUX_LOGIN, NODE_NAME } from "../core/names";
import { securityUpdates, sshdDropIn } from "./files";
import { firstBootScript } from "./first-boot";
import { hashParts, type UserDataPart, userDataLimit, userDataSize } from "./parts";
import { cloudConfig, type YamlValue } from "./yaml";

export interface UserDataOptions {
  /** The node's name; becomes the host name. */
  node: string;
  /** Our Ed25519 host key; the machine shows no other. */
  hostKey: {
    /** OpenSSH private key file, unencrypted. Secret. */
    privateKey: string;
    /** `ssh-ed25519 AAAA…`, without a comment. */
    publicKey: string;
  };
  /** Who signs in: root, or an operator with sudo, made here; root's login is closed then. Keys only. */
  login: { name: string; keys: readonly string[] };
  /** Size of the swap file in bytes, made once; 0 for none. @default 0 */
  swapBytes?: number;
}

export interface UserData {
  /** For `cloudinit.getConfig` (`gzip: false`, `base64Encode: false`). Secret: they hold the private host key. */
  parts: UserDataPart[];
  /** SHA-256 over all that decides the parts, in hex; the machine keeps it in `userDataMarker`. Not secret. */
  sha256: string;
}

/** Where a machine keeps the hash of the user data that it was made with, once its first boot went well. */
export const userDataMarker = "/etc/berth/user-data.sha256";

export interface UserDataProblem {
  /** Which option, such as `login.keys[1]`. */
  option: string;
  problem: string;
  allowed: string;
}

/** Thrown with every problem of the options; it never shows the private key. */
export class UserDataError extends Error {
  constructor(
    readonly node: string,
    readonly problems: readonly UserDataProblem[],
  ) {
    const lines = problems.map((p) => `  ${p.option} ${p.problem}. Allowed: ${p.allowed}`);
    super([`The user data of node ${JSON.stringify(node)} cannot be made:`, ...lines].join("\n"));
    this.name = "UserDataError";
  }
}

const MiB = 2 ** 20;
const swapRange = { min: 64 * MiB, max: 256 * 1024 * MiB };

/**
 * User data of a new machine: a `#cloud-config` part, and the script that checks and marks the first boot.
 *
 * @throws UserDataError with every option that is wrong, or when the document would be larger than 64 KiB.
 */
export function renderUserData(options: UserDataOptions): UserData {
  const problems = check(options);
  if (problems.length > 0) throw new UserDataError(options.node, problems);
  const config: UserDataPart = {
    filename: "berth.yaml",
    contentType: "text/cloud-config",
    content: cloudConfig(machine(options)),
  };
  const script = (sha256: string): UserDataPart => ({
    filename: "berth-first-boot.sh",
    contentType: "text/x-shellscript",
    content: firstBootScript({ hostKey: options.hostKey.publicKey, marker: userDataMarker, sha256 }),
  });
  // The script carries the hash: what is hashed is the script without it.
  const sha256 = hashParts([config, script("")]);
  const parts = [config, script(sha256)];
  const size = userDataSize(parts);
  if (size > userDataLimit)
    throw new UserDataError(options.node, [
      {
        option: "login.keys",
        problem: `make the document up to ${size} bytes long`,
        allowed: `${userDataLimit} bytes in all (DigitalOcean's limit); give the other keys to the base stage`,
      },
    ]);
  return { parts, sha256 };
}

/** The `#cloud-config` part. Keys as in cloud-init's schema, versions 22.4 (Debian 12) and newer. */
function machine(options: UserDataOptions): { [key: string]: YamlValue } {
  const { node, hostKey, login } = options;
  const swapBytes = options.swapBytes ?? 0;
  const keys = login.keys.map((key) => key.trim());
  const root = login.name === "root";
  return {
    hostname: node,
    preserve_hostname: false,
    // sudo and others look the host name up; the image's hosts file stays otherwise as it is.
    manage_etc_hosts: "localhost",
    timezone: "Etc/UTC",
    ssh_deletekeys: true,
    ssh_keys: {
      ed25519_private: hostKey.privateKey.endsWith("\n") ? hostKey.privateKey : `${hostKey.privateKey}\n`,
      ed25519_public: `${hostKey.publicKey} ${node}\n`,
    },
    ssh_pwauth: false,
    // A root password that the provider made would be expired, which stops logins by key too.
    chpasswd: { expire: false },
    disable_root: !root,
    // The list replaces the image's own, so that its default user is not made.
    users: [
      {
        name: login.name,
        lock_passwd: true,
        ssh_authorized_keys: keys,
        ...(root
          ? {}
          : { gecos: "Operator of Berth", shell: "/bin/bash", sudo: "ALL=(ALL:ALL) NOPASSWD: ALL" }),
      },
    ],
    write_files: [sshdDropIn(login.name), ...securityUpdates()],
    growpart: { mode: "auto", devices: ["/"] },
    resize_rootfs: true,
    ...(swapBytes > 0 ? { swap: { filename: "/swap.img", size: swapBytes } } : {}),
    package_update: true,
    packages: [...(root ? [] : ["sudo"]), "unattended-upgrades"],
    final_message: `Berth: node ${node} finished its first boot after $UPTIME seconds.`,
  };
}

const PRIVATE_KEY =
  /^-----BEGIN OPENSSH PRIVATE KEY-----\n([A-Za-z0-9+/=]+\n)+-----END OPENSSH PRIVATE KEY-----\n?$/;

function check(options: UserDataOptions): UserDataProblem[] {
  const problems: UserDataProblem[] = [];
  const refuse = (option: string, problem: string, allowed: string) =>
    problems.push({ option, problem, allowed });
  const { node, hostKey, login, swapBytes = 0 } = options;
  if (!NODE_NAME.test(node))
    refuse("node", "is no host name", "lower-case letters, digits and '-', a letter first, at most 40");
  if (!PRIVATE_KEY.test(hostKey.privateKey))
    refuse("hostKey.privateKey", "is no private key", "an OpenSSH private key file, unencrypted");
  if (!/^ssh-ed25519 \S+$/.test(hostKey.publicKey) || !isPublicKey(hostKey.publicKey))
    refuse("hostKey.publicKey", "is no Ed25519 public key", '"ssh-ed25519 BASE64", without a comment');
  if (!LINUX_LOGIN.test(login.name))
    refuse("login.name", "is no Linux user name", "root, or a-z, 0-9, _ and -, a letter first, at most 32");
  if (login.keys.length === 0)
    refuse("login.keys", "is empty: nobody could sign in", "at least one OpenSSH public key");
  for (const [i, key] of login.keys.entries())
    if (!isPublicKey(key.trim()))
      refuse(`login.keys[${i}]`, "is no SSH public key", 'one line "TYPE BASE64 [comment]", without options');
  const whole = Number.isSafeInteger(swapBytes) && swapBytes % MiB === 0;
  if (swapBytes !== 0 && (!whole || swapBytes < swapRange.min || swapBytes > swapRange.max))
    refuse("swapBytes", `is ${swapBytes}`, "0, or whole MiB from 64 MiB to 256 GiB, in bytes");
  return problems;
}
