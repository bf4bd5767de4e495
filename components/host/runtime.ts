/** What runs containers on a node: Docker from the distribution, and NVIDIA's toolkit where a GPU is found. Pure. */
import { WORKSPACE_NETWORK } from "../../config";
import { dockerPool, parseNetwork } from "./networks";
import { checkHostPort, heredoc, StageOptionError } from "./shell";
import { renderStage } from "./stage";

export interface RuntimeOptions {
  /** Networks that Docker's own must not meet: the cluster's, the workspaces', the operator's. @default [] */
  avoidNetworks?: readonly string[];
  /** Where Docker takes networks from. @default the first free of three private ranges */
  addressPool?: { base: string; size: number };
  /**
   * Registries spoken to without TLS, `ADDRESS:PORT`: the stack's own, from which images are pulled by digest,
   * so the content is checked whoever serves it. @default []
   */
  insecureRegistries?: readonly string[];
  /** `auto`: NVIDIA's toolkit where a GPU is found; `off`: never. @default "auto" */
  gpu?: "auto" | "off";
  /** Networks that Docker must leave alone whatever else is given. @default WORKSPACE_NETWORK */
  workspaceNetwork?: string;
}

/**
 * The oldest toolkit taken. Below it are known ways from an image to the host (CVE-2024-0132, CVE-2025-23359,
 * CVE-2025-23266, CVE-2026-24260) and environment variables that outrank "no GPU".
 */
export const TOOLKIT_FLOOR = "1.20.0";

/** NVIDIA's signing key for the toolkit's repository, as published at nvidia.github.io/libnvidia-container/gpgkey. */
const NVIDIA_KEY = "C95B321B61E88C1809C4F759DDCAE044F796ECB0";

export type DaemonConfig = Record<string, unknown>;

/**
 * Our part of /etc/docker/daemon.json; what the operator wrote there stays where ours says nothing.
 *  - log driver `local`: rotated, compact, and `docker logs` reads it;
 *  - cgroupfs: with systemd as driver, any `systemctl daemon-reload` takes the GPUs from running containers;
 *  - live-restore: an update of dockerd leaves work alone;
 *  - the userland proxy stays on (Docker's default): without it, loopback of the node is routed to containers
 *    (route_localnet), and with it a container reaches its own node's published ports;
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

export function renderRuntime(options: RuntimeOptions & { node: string }): string {
  const gpu = options.gpu ?? "auto";
  return renderStage({
    name: "runtime",
    node: options.node,
    uses: ["files", "apt"],
    steps: [
      { name: "what is installed", body: EXISTING, deadlineSeconds: 600 },
      { name: "daemon.json", body: daemonJson(daemonConfig(options)) },
      { name: "install Docker", body: INSTALL, deadlineSeconds: 1200 },
      { name: "start Docker", body: START, deadlineSeconds: 400 },
      ...(gpu === "auto" ? [{ name: "NVIDIA container toolkit", body: NVIDIA, deadlineSeconds: 1200 }] : []),
      { name: "facts", body: FACTS, deadlineSeconds: 60 },
    ],
    ...(gpu === "off" ? { facts: { gpu: "off" } } : {}),
  });
}

const EXISTING = `
if [ -e /snap/bin/docker ] || [ -d /var/snap/docker ]; then
  fail 'Docker is installed as a snap here, which Berth cannot configure: snap remove --purge docker'
fi
apt_install python3 ca-certificates
if ! command -v dockerd >/dev/null; then apt_lists; fi
`;

/**
 * Three-way merge: what we set last time and no longer set goes, what others set stays. The version decides about
 * \`features.cdi\`: Docker 25 to 28 have CDI behind it, older ones have none.
 */
export const MERGE = `import json, os, sys
path, last, cdi = sys.argv[1], sys.argv[2], sys.argv[3] == "yes"
def load(name):
    try:
        with open(name, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return {}
    try:
        data = json.loads(text or "{}")
    except ValueError as error:
        sys.exit("%s is no JSON (%s): mend or remove it" % (name, error))
    if not isinstance(data, dict):
        sys.exit("%s holds no JSON object: mend or remove it" % name)
    return data
ours = json.load(sys.stdin)
if cdi:
    ours["features"] = {"cdi": True}
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

function daemonJson(config: DaemonConfig): string {
  return `
version=
if command -v dockerd >/dev/null; then
  version=$(dockerd --version | sed -n 's/^Docker version \\([0-9.]*\\).*/\\1/p')
else
  version=$(apt-cache policy docker.io | sed -n 's/^ *Candidate: \\([0-9.]*\\).*/\\1/p')
fi
cdi=no
if [ -n "$version" ] && dpkg --compare-versions "$version" ge 25; then cdi=yes; fi
cat >"$work/merge.py" ${heredoc(MERGE)}
OURS=$work/ours.json python3 "$work/merge.py" /etc/docker/daemon.json "$state/daemon.json" "$cdi" \\
  >"$work/daemon.json" ${heredoc(JSON.stringify(config, null, 2))}
if command -v dockerd >/dev/null && dpkg --compare-versions "$version" ge 23; then
  dockerd --validate --config-file "$work/daemon.json"
fi
place 0644 /etc/docker/daemon.json docker <"$work/daemon.json"
place 0600 "$state/daemon.json" <"$work/ours.json"
`;
}

const INSTALL = `
if command -v dockerd >/dev/null && command -v docker >/dev/null; then return 0; fi
packages=(docker.io iptables)
# Debian 13 and later have the client in a package of its own.
if apt-cache show docker-cli >/dev/null 2>&1; then packages+=(docker-cli); fi
fresh=no
if ! command -v dockerd >/dev/null; then fresh=yes; fi
apt_install "\${packages[@]}"
# A first start has read the daemon.json placed above.
if [ "$fresh" = yes ] && systemctl is-active -q docker.service; then settled docker; fi
`;

const START = `
if ! systemctl is-enabled -q docker.service; then
  systemctl enable -q docker.service
  changed 'docker.service enabled'
fi
if pending docker; then
  systemctl restart docker.service || {
    journalctl -u docker.service -n 15 --no-pager -o cat
    fail 'dockerd does not start with its new configuration: see journalctl -u docker.service'
  }
  changed 'docker.service restarted'
  settled docker
elif ! systemctl is-active -q docker.service; then
  systemctl start docker.service
  changed 'docker.service started'
fi
wait_for 120 'docker info answers' docker info
`;

/**
 * CDI names each GPU; the environment variable that hands out all of them is refused to unprivileged containers.
 * The key is checked by its fingerprint before apt trusts it.
 */
export const NVIDIA = `
found=no
if [ -e /dev/nvidiactl ] || [ -e /proc/driver/nvidia/version ]; then found=yes; fi
# Class 03: display controllers, 3D ones included; a network card of the same maker is no GPU.
if lspci -n 2>/dev/null | grep -q -i -E ' 03[0-9a-f]{2}: 10de:'; then found=yes; fi
if [ "$found" = no ]; then
  fact gpu none
  return 0
fi
fact gpu nvidia
if ! command -v nvidia-smi >/dev/null || ! timeout 60 nvidia-smi -L; then
  # A card without a driver that answers: containers run, without it.
  fact gpuDriver none
  return 0
fi
fact gpuDriver "$(timeout 60 nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -n 1)"
version() { dpkg-query -W -f '\${Version}' nvidia-container-toolkit 2>/dev/null || true; }
if ! dpkg --compare-versions "$(version)" ge ${TOOLKIT_FLOOR}; then
  apt_install gnupg curl ca-certificates
  curl -fsSL --retry 3 --max-time 60 https://nvidia.github.io/libnvidia-container/gpgkey -o "$work/nvidia.asc"
  export GNUPGHOME=$work/gnupg
  install -d -m 0700 "$GNUPGHOME"
  if ! gpg --batch --with-colons --show-keys "$work/nvidia.asc" | grep -q -e '^fpr:*${NVIDIA_KEY}:'; then
    fail "the key of NVIDIA's package repository is not the known one, ${NVIDIA_KEY}: nothing was installed"
  fi
  gpg --batch --yes --dearmor -o "$work/nvidia.gpg" "$work/nvidia.asc"
  place 0644 /usr/share/keyrings/nvidia-container-toolkit.gpg <"$work/nvidia.gpg"
  place 0644 /etc/apt/sources.list.d/nvidia-container-toolkit.list <<'LIST'
deb [signed-by=/usr/share/keyrings/nvidia-container-toolkit.gpg] https://nvidia.github.io/libnvidia-container/stable/deb/$(ARCH) /
LIST
  apt_update
  apt_get install --no-install-recommends nvidia-container-toolkit
  changed 'package nvidia-container-toolkit'
fi
if ! dpkg --compare-versions "$(version)" ge ${TOOLKIT_FLOOR}; then
  fail "nvidia-container-toolkit is $(version); ${TOOLKIT_FLOOR} or newer is needed"
fi
setting=accept-nvidia-visible-devices-envvar-when-unprivileged
config=/etc/nvidia-container-runtime/config.toml
off() { [ -f "$config" ] && grep -q -E "^[[:space:]]*\${setting}[[:space:]]*=[[:space:]]*false" "$config"; }
if ! off; then
  nvidia-ctk config --in-place --set "$setting=false"
  off || fail "$setting could not be set to false in $config"
  changed "$config"
fi
nvidia-ctk cdi generate --output="$work/nvidia.yaml"
place 0644 /etc/cdi/nvidia.yaml <"$work/nvidia.yaml"
fact nvidiaToolkit "$(version)"
fact_json cdiDevices "$(nvidia-ctk cdi list 2>/dev/null | grep -e '=' | json_lines)"
`;

const FACTS = `
info() { docker info -f "$1" 2>/dev/null; }
fact docker "$(info '{{.ServerVersion}}')"
fact dockerPackage "$(dpkg -S "$(readlink -f "$(command -v dockerd)")" 2>/dev/null | cut -d : -f 1 || true)"
fact storageDriver "$(info '{{.Driver}}')"
fact cgroupDriver "$(info '{{.CgroupDriver}}')"
fact_json liveRestore "$(info '{{.LiveRestoreEnabled}}')"
cdi=false
if grep -q -E '"cdi": *true' /etc/docker/daemon.json; then cdi=true; fi
fact_json cdi "$cdi"
`;
