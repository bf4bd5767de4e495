/** /etc/docker/daemon.json: what is ours in it, how it meets what others wrote, and what is refused. Pure text. */
import { WORKSPACE_NETWORK } from "../../../config";
import { dockerPool, parseNetwork } from "../networks";
import { checkHostPort, heredoc, StageOptionError } from "../shell";
import { WHOLE } from "./engine";
import type { RuntimeOptions } from "./options";
import { DOCKER_OPTIONS, LOAD_JSON, toldCheck } from "./told";

export type DaemonConfig = Record<string, unknown>;

/**
 * Our part of /etc/docker/daemon.json; what the operator wrote there stays where ours says nothing.
 *  - log driver `local`: rotated, compact, and `docker logs` reads it;
 *  - cgroupfs: with systemd as driver, any `systemctl daemon-reload` takes the GPUs from running containers;
 *  - live-restore: an update of dockerd leaves work alone;
 *  - the userland proxy stays on (Docker's default): without it, loopback of the node is routed to containers
 *    (route_localnet), and with it a container reaches its own node's published ports. It is not written down, since
 *    a reload refuses a file that names it without a path (seen with Docker 26); a file that has it off is refused;
 *  - IPv6 as Docker has it: versions that filter it do so through DOCKER-USER, whose rules are there; in the
 *    others only the proxy answers on IPv6, and ufw guards it.
 */
export function daemonConfig(options: RuntimeOptions): DaemonConfig {
  const avoid = [...(options.avoidNetworks ?? []), options.workspaceNetwork ?? WORKSPACE_NETWORK].map(
    (value, i) => parseNetwork(value, `runtime.avoidNetworks[${i}]`),
  );
  return {
    "log-driver": "local",
    "log-opts": { "max-size": "10m", "max-file": "3" },
    "exec-opts": ["native.cgroupdriver=cgroupfs"],
    "live-restore": true,
    "default-address-pools": [options.addressPool ? checkPool(options.addressPool) : dockerPool(avoid)],
    "insecure-registries": (options.insecureRegistries ?? []).map((value, i) =>
      checkHostPort(value, `runtime.insecureRegistries[${i}]`),
    ),
  };
}

function checkPool(pool: { base: string; size: number }): { base: string; size: number } {
  const network = parseNetwork(pool.base, "runtime.addressPool.base");
  const prefix = Number(network.text.split("/")[1]);
  if (network.family !== 4 || !Number.isInteger(pool.size) || pool.size < prefix || pool.size > 30) {
    throw new StageOptionError(
      "runtime.addressPool",
      pool,
      "an IPv4 network and the prefix length of its parts (size), at least the network's own, at most 30",
    );
  }
  return { base: network.text, size: pool.size };
}

/**
 * Three-way merge: what we set last time and no longer set goes, what others set stays.
 *
 * Arguments: daemon.json, what we set last, `yes` for `features.cdi` (Docker 25 to 28 have CDI behind it, older ones
 * have none). Ours on standard input; in the environment OURS (where ours is noted) and FIREWALL (the firewall
 * backend to name, for the versions that know one).
 */
export const MERGE = `${LOAD_JSON}
import os
path, last, cdi = sys.argv[1], sys.argv[2], sys.argv[3] == "yes"
ours = json.load(sys.stdin)
if cdi:
    ours["features"] = {"cdi": True}
if os.environ.get("FIREWALL"):
    ours["firewall-backend"] = os.environ["FIREWALL"]
have = load(path)
before = load(last)
def merge(have, before, ours):
    result = dict(have)
    for key, old in before.items():
        if key in ours or key not in result:
            continue
        if isinstance(old, dict) and isinstance(result[key], dict):
            result[key] = merge(result[key], old, {})
            if not result[key]:
                del result[key]
        elif isinstance(old, list) and isinstance(result[key], list):
            result[key] = [item for item in result[key] if item not in old]
            if not result[key]:
                del result[key]
        elif result[key] == old:
            del result[key]
    for key, new in ours.items():
        old = before.get(key)
        now = result.get(key)
        if key == "log-opts":
            result[key] = new
        elif isinstance(new, dict) and isinstance(now, dict):
            result[key] = merge(now, old if isinstance(old, dict) else {}, new)
        elif key == "exec-opts" and isinstance(now, list):
            names = {item.split("=")[0] for item in new}
            result[key] = [item for item in now if str(item).split("=")[0] not in names] + new
        elif key == "insecure-registries":
            gone = old if isinstance(old, list) else []
            kept = [item for item in (now or []) if item not in gone and item not in new]
            result[key] = kept + new
        else:
            result[key] = new
    return result
json.dump(merge(have, before, ours), sys.stdout, indent=2, sort_keys=True)
sys.stdout.write("\\n")
with open(os.environ["OURS"], "w", encoding="utf-8") as file:
    json.dump(ours, file, indent=2, sort_keys=True)
`;

/**
 * Refuses, in daemon.json and on dockerd's command line, what would leave published ports open, and an option for what
 * Berth sets in the file: the rules stand in DOCKER-USER, a chain of iptables. Without Docker's own rules nothing jumps
 * there, and the nftables backend (Docker 29) has no such chain (docs.docker.com/engine/network/firewall-nftables: "there
 * is no DOCKER-USER chain").
 */
export function refusals(config: DaemonConfig): string {
  return `
told() {
${toldCheck(config)}
}
told >"$work/told"
if [ -s "$work/told" ]; then
  cat -- "$work/told"
  fail 'what dockerd is told by others does not go with Berth: see above; nothing of Docker was changed'
fi
`;
}

/** A change of these alone is taken over by a reload (moby, daemon/reload.go). */
const RELOADABLE = ["insecure-registries"];

const RELOAD_ONLY = `import json, sys
def load(name):
    with open(name, encoding="utf-8-sig") as file:
        data = json.load(file)
    return {key: value for key, value in data.items() if key not in ${JSON.stringify(RELOADABLE)}}
try:
    sys.exit(0 if load(sys.argv[1]) == load(sys.argv[2]) else 1)
except (OSError, ValueError, AttributeError):
    sys.exit(1)
`;

/** Needs what the step of `refusals` left in $work. */
export function daemonJson(config: DaemonConfig): string {
  return `
${WHOLE}
whole_again
version=
if command -v dockerd >/dev/null; then
  version=$(dockerd --version | sed -n 's/^Docker version \\([0-9.]*\\).*/\\1/p')
elif [ -e "$work/docker-package" ]; then
  version=$(apt-cache policy "$(cat "$work/docker-package")" | sed -n 's/^ *Candidate: \\([0-9]*:\\)\\{0,1\\}\\([0-9.]*\\).*/\\2/p')
fi
cdi=no firewall=
if [ -n "$version" ] && dpkg --compare-versions "$version" ge 25; then cdi=yes; fi
# The default of a later version may be another one.
if [ -n "$version" ] && dpkg --compare-versions "$version" ge 29; then firewall=iptables; fi
cat >"$work/merge.py" ${heredoc(MERGE)}
FIREWALL=$firewall OURS=$work/ours.json python3 "$work/merge.py" /etc/docker/daemon.json "$state/daemon.json" "$cdi" \\
  >"$work/daemon.json" ${heredoc(JSON.stringify(config, null, 2))}
if command -v dockerd >/dev/null && dpkg --compare-versions "$version" ge 23; then
  # With the options that its unit gives it: some of them are refused beside a file, or need one.
  ${DOCKER_OPTIONS.replaceAll("\n", "\n  ")}
  dockerd --validate --config-file "$work/daemon.json" "\${options[@]}"
fi
cat >"$work/reload.py" ${heredoc(RELOAD_ONLY)}
# A mark from an earlier run stands for a change that nobody knows any more.
if ! pending docker && python3 "$work/reload.py" /etc/docker/daemon.json "$work/daemon.json"; then : >"$work/reload-only"; fi
place 0644 /etc/docker/daemon.json docker <"$work/daemon.json"
place 0600 "$state/daemon.json" <"$work/ours.json"
`;
}
