/** A node's own SSH host key, in place of the one that it was made with. Pure. */
import { checkLabel, quote, StageOptionError } from "./shell";
import { renderStage, type StageOptions } from "./stage";

export interface HostKeyOptions {
  /** The key that the node is to show: `ssh-ed25519 AAAA…`, without a comment. */
  publicKey: string;
  /** Seconds to wait for the end of the first boot. @default 600 */
  cloudInitSeconds?: number;
  /** For tests. */
  paths?: StageOptions["paths"];
}

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
  const { publicKey, cloudInitSeconds = 600 } = options;
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
        deadlineSeconds: cloudInitSeconds + 30,
        body: `
if ! command -v cloud-init >/dev/null; then return 0; fi
rc=0
timeout ${cloudInitSeconds} cloud-init status --wait || rc=$?
if [ "$rc" = 124 ]; then fail "the first boot has not ended within ${cloudInitSeconds} s, so the host key stays as it is"; fi`,
      },
      {
        name: "place the node's own host key",
        body: `
wanted=${quote(publicKey)}
secret privateKey >"$work/host-key"
if [ "$(ssh-keygen -y -P '' -f "$work/host-key" | cut -d ' ' -f 1,2)" != "$wanted" ]; then
  fail 'the private key on standard input is not that of the key which this node is to show'
fi
cp -p -- ${FILE} "$work/before"
place 0600 ${FILE} host-key <"$work/host-key"
place 0644 ${FILE}.pub <<<"$wanted ${node}"
if pending host-key; then
  # sshd wants its directory even for a check.
  install -d -m 0755 /run/sshd
  if ! sshd -t; then
    place 0600 ${FILE} host-key <"$work/before"
    fail 'sshd refuses the new host key, so the one before is in its place again, and sshd was not reloaded'
  fi
  systemctl try-reload-or-restart ssh.service
  settled host-key
fi`,
      },
    ],
  });
}
