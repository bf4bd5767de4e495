/** /etc/docker/daemon.json: what is ours in it, how it meets what others wrote, and what is refused. Pure text. */
import { WORKSPACE_NETWORK } from "../../../config";
import { dockerPool, parseNetwork } from "../networks";
import { scriptsOf } from "../script";
import { checkHostPort, heredoc } from "../shell";
import { WHOLE } from "./engine";
import type { RuntimeOptions } from "./options";
import { ALL_KEYS, LOAD_JSON, READ_UNIT } from "./told";

const script = scriptsOf(__dirname);

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
  const avoid = [...(options.avoidNetworks ?? []), WORKSPACE_NETWORK].map((value, i) =>
    parseNetwork(value, `runtime.avoidNetworks[${i}]`),
  );
  return {
    "log-driver": "local",
    "log-opts": { "max-size": "10m", "max-file": "3" },
    "exec-opts": ["native.cgroupdriver=cgroupfs"],
    "live-restore": true,
    "default-address-pools": [dockerPool(avoid)],
    "insecure-registries": (options.insecureRegistries ?? []).map((value, i) =>
      checkHostPort(value, `runtime.insecureRegistries[${i}]`),
    ),
  };
}

export const MERGE = `${LOAD_JSON}\n${script("merge.py")}`;

/** Refuses what others tell dockerd and what would leave published ports open, or would not go with Berth's settings. */
export const refusals = (config: DaemonConfig): string =>
  [READ_UNIT, `daemon_keys=(${ALL_KEYS(config).join(" ")})`, script("refusals.sh")].join("\n");

/** Needs what the step of `refusals` left in $work. */
export function daemonJson(config: DaemonConfig): string {
  return `
cat >"$work/merge.py" ${heredoc(MERGE)}
cat >"$work/reload.py" ${heredoc(script("reload-only.py"))}
cat >"$work/wanted.json" ${heredoc(JSON.stringify(config, null, 2))}
${WHOLE}
${script("daemon-json.sh")}
`;
}
