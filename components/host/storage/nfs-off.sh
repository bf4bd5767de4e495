# shellcheck shell=bash
# Takes Berth's exports away.
# ---
unplace /etc/exports.d/berth.exports nfs-exports
unplace /etc/nfs.conf.d/berth.conf nfs-server
if pending nfs-exports; then
  if command -v exportfs >/dev/null; then exportfs -ra; fi
  settled nfs-exports
fi
# The operator may export things of their own: the service stays.
if pending nfs-server; then
  if systemctl is-active -q nfs-server.service; then systemctl restart nfs-server.service; fi
  settled nfs-server
fi
