/**
 * The script that ends the first boot: it proves that the machine took what decides who gets in, and only then
 * leaves the marker. When it fails, `cloud-init status` says error, and the first stage stops with that.
 *
 * @param hostKey `ssh-ed25519 AAAA…`, without a comment
 * @param marker path of the file that holds the hash
 */
export function firstBootScript(of: { hostKey: string; marker: string; sha256: string }): string {
  return `#!/bin/bash
# Berth: checks the first boot, then marks it. Runs once.
set -euo pipefail
export LC_ALL=C

host_key=/etc/ssh/ssh_host_ed25519_key
expected='${of.hostKey}'
marker='${of.marker}'

fail() {
  printf 'berth: first boot: %s\\n' "$1" >&2
  exit 1
}

has="$(ssh-keygen -y -P '' -f "$host_key" | cut -d ' ' -f 1,2)" || fail "$host_key cannot be read"
if [ "$has" != "$expected" ]; then fail "$host_key is not the host key of the user data: it is $has"; fi

# sshd wants its directory even for a check.
install -d -m 0755 /run/sshd
/usr/sbin/sshd -t || fail 'sshd refuses its configuration'
effective="$(/usr/sbin/sshd -T -C user=root,host=localhost,addr=127.0.0.1)"
for want in 'passwordauthentication no' 'kbdinteractiveauthentication no' "hostkey $host_key"; do
  if ! grep -q -x -F -- "$want" <<<"$effective"; then
    fail "sshd would not use '$want': does /etc/ssh/sshd_config include sshd_config.d/*.conf first?"
  fi
done
if [ "$(grep -c -e '^hostkey ' <<<"$effective")" -ne 1 ]; then fail 'sshd would show more than one host key'; fi
systemctl try-reload-or-restart ssh.service

install -d -m 0755 "$(dirname -- "$marker")"
printf '%s\\n' '${of.sha256}' >"$marker.new"
chmod 0644 -- "$marker.new"
sync -- "$marker.new"
mv -f -T -- "$marker.new" "$marker"
`;
}
