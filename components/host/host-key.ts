/** A node's own SSH host key, in place of the one that it was made with. Pure. */

import { scriptsOf } from "./script";
import { checkLabel, quote, StageOptionError } from "./shell";
import { renderStage, type StageOptions } from "./stage";

const script = scriptsOf(__dirname);

export interface HostKeyOptions {
  /** The key that the node is to show: `ssh-ed25519 AAAA…`, without a comment. */
  publicKey: string;
  /** For tests. */
  paths?: StageOptions["paths"];
}

/** For the end of the first boot. */
const CLOUD_INIT_SECONDS = 600;

const FILE = "/etc/ssh/ssh_host_ed25519_key";

/**
 * The stage `host-key`. Its secret `privateKey` is the OpenSSH private key file of `publicKey`.
 *
 * The first boot is awaited, since its last script checks the key that it was given. What became of it is for the stage
 * `ready` to judge. Safe to run again, after a cut at any point too: the file is whole or the old one, and sshd reads it
 * again as long as it has not done so since.
 * @throws StageOptionError for a key of another kind.
 */
export function renderHostKey(options: HostKeyOptions & { node: string }): string {
  const { publicKey } = options;
  if (!/^ssh-ed25519 [A-Za-z0-9+/=]+$/.test(publicKey))
    throw new StageOptionError("hostKey.publicKey", publicKey, '"ssh-ed25519 BASE64", without a comment');
  const node = checkLabel(options.node, "hostKey.node");
  return renderStage({
    name: "host-key",
    node,
    needsSecrets: true,
    ...(options.paths ? { paths: options.paths } : {}),
    steps: [
      {
        name: "wait for the first boot",
        deadlineSeconds: CLOUD_INIT_SECONDS + 30,
        body: `seconds=${CLOUD_INIT_SECONDS}\n${script("first-boot.sh")}`,
      },
      {
        name: "place the node's own host key",
        body: `file=${FILE} wanted=${quote(publicKey)}\n${script("host-key.sh")}`,
      },
    ],
  });
}
