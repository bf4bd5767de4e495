/** The NFS server: version 4 alone, one port (2049), its exports in a file of our own. Pure. */
import { heredoc, quote } from "../shell";
import type { StageStep } from "../stage";
import type { StoragePlan } from "./spec";

const CONFIG = "/etc/nfs.conf.d/berth.conf";
const EXPORTS = "/etc/exports.d/berth.exports";

/** Lines of exports(5), one path each. */
export function exportsFile(exports: StoragePlan["exports"]): string {
  return exports
    .map(
      ({ path, clients, options }) =>
        `${path} ${clients.map((client) => `${client}(${options})`).join(" ")}\n`,
    )
    .join("");
}

export function nfsServerStep(plan: StoragePlan): StageStep {
  const on = plan.exports.length > 0;
  const body = on
    ? `
${plan.exports.map(({ path }) => `[ -d ${quote(path)} ] || fail ${quote(path)}' is to be exported, and there is no such directory'`).join("\n")}
place 0644 ${CONFIG} nfs-server ${heredoc("# Rendered by Berth: a change here is lost.\n[nfsd]\nvers3=n\nvers4=y\n")}
place 0644 ${EXPORTS} nfs-exports ${heredoc(exportsFile(plan.exports))}
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
`
    : `
unplace ${EXPORTS} nfs-exports
unplace ${CONFIG} nfs-server
if pending nfs-exports; then
  if command -v exportfs >/dev/null; then exportfs -ra; fi
  settled nfs-exports
fi
# The operator may export things of their own: the service stays.
if pending nfs-server; then
  if systemctl is-active -q nfs-server.service; then systemctl restart nfs-server.service; fi
  settled nfs-server
fi
`;
  return {
    name: "NFS exports",
    body: `${body}fact_json exports ${quote(JSON.stringify(plan.exports.map(({ path }) => path)))}`,
  };
}
