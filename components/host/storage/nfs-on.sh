# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $exports $work
# Needs a prologue that sets exports (paths) and writes the file of exports to $work/exports.
# ---
for path in "${exports[@]}"; do
  [ -d "$path" ] || fail "$path is to be exported, and there is no such directory"
done
place 0644 /etc/nfs.conf.d/berth.conf nfs-server <<'CONFIG'
# Rendered by Berth: a change here is lost.
[nfsd]
vers3=n
vers4=y
CONFIG
place 0644 /etc/exports.d/berth.exports nfs-exports <"$work/exports"
if ! systemctl is-enabled -q nfs-server.service; then
  systemctl enable -q nfs-server.service
  changed 'nfs-server.service enabled'
fi
if pending nfs-server || ! systemctl is-active -q nfs-server.service; then
  systemctl restart nfs-server.service
  changed 'nfs-server.service restarted'
  settled nfs-server
fi
if pending nfs-exports; then
  exportfs -ra
  settled nfs-exports
fi
