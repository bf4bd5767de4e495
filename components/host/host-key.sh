# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $wanted $file $node
# Needs a prologue that sets file, and wanted (the public key without a comment).
# ---
secret privateKey >"$work/host-key"
if [ "$(ssh-keygen -y -P '' -f "$work/host-key" | cut -d ' ' -f 1,2)" != "$wanted" ]; then
  fail 'the private key on standard input is not that of the key which this node is to show'
fi
cp -p -- "$file" "$work/before"
place 0600 "$file" host-key <"$work/host-key"
place 0644 "$file.pub" <<<"$wanted $node"
if pending host-key; then
  # sshd wants its directory even for a check.
  install -d -m 0755 /run/sshd
  if ! sshd -t; then
    place 0600 "$file" host-key <"$work/before"
    fail 'sshd refuses the new host key, so the one before is in its place again, and sshd was not reloaded'
  fi
  systemctl try-reload-or-restart ssh.service
  settled host-key
fi
