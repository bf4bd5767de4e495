/** NVIDIA's container toolkit, its CDI devices, and the driver's persistence. Bash. */
import { KEYS } from "./keys";

/**
 * The oldest toolkit taken. Below it are known ways from an image to the host (CVE-2024-0132, CVE-2025-23359,
 * CVE-2025-23266, CVE-2026-24260) and environment variables that outrank "no GPU".
 */
export const TOOLKIT_FLOOR = "1.20.0";

/** NVIDIA's signing key for the toolkit's repository, as published at nvidia.github.io/libnvidia-container/gpgkey. */
const TOOLKIT_KEY = "C95B321B61E88C1809C4F759DDCAE044F796ECB0";

/** Steps behind the driver's do nothing without one. */
export const WITH_DRIVER = `if [ "$(cat "$work/gpu")" != driver ]; then return 0; fi`;

/** `reload_units`: when `place FILE units` changed one, in this run or one that was cut. */
export const RELOAD_UNITS = `
reload_units() {
  if ! pending units; then return 0; fi
  systemctl daemon-reload
  settled units
}
`.trim();

/** `enabled UNIT`: at every start, where a unit of others does not see to that itself. */
export const UNITS = `
${RELOAD_UNITS}
enabled() {
  case $(systemctl is-enabled "$1" 2>/dev/null || true) in
    enabled* | static | indirect | generated | alias) ;;
    *)
      systemctl enable -q "$1"
      changed "$1 enabled"
      ;;
  esac
}
`.trim();

/**
 * Persistence: without it the driver forgets clocks, ECC pages and MIG on Hopper when nothing holds the GPU, and each
 * first use waits for it. The unit of the driver's packages, or one of ours around the same program.
 */
export function persistenceStep(wanted: boolean): string {
  const own = "/etc/systemd/system/berth-persistence.service";
  const drop = "/etc/systemd/system/nvidia-persistenced.service.d/berth.conf";
  if (!wanted)
    return `
${RELOAD_UNITS}
if [ -e ${own} ]; then systemctl disable -q --now berth-persistence.service; fi
unplace ${own} units
unplace ${drop} units
reload_units
`;
  return `
${WITH_DRIVER}
${UNITS}
smi=$(command -v nvidia-smi)
if systemctl cat nvidia-persistenced.service >/dev/null 2>&1; then
  unit=nvidia-persistenced.service
  if [ -e ${own} ]; then systemctl disable -q --now berth-persistence.service; fi
  unplace ${own} units
  # Ubuntu's unit starts the daemon with persistence off.
  place 0644 ${drop} units <<UNIT
[Service]
ExecStartPost=-$smi -pm 1
UNIT
else
  unit=berth-persistence.service
  unplace ${drop} units
  if daemon=$(command -v nvidia-persistenced); then
    start="Type=forking
ExecStart=$daemon --verbose"
  else
    start="Type=oneshot
RemainAfterExit=yes
ExecStart=$smi -pm 1"
  fi
  place 0644 ${own} units <<UNIT
[Unit]
Description=Persistence of the NVIDIA driver

[Service]
$start

[Install]
WantedBy=multi-user.target
UNIT
fi
reload_units
enabled "$unit"
if ! systemctl is-active -q "$unit"; then
  systemctl start "$unit"
  changed "$unit started"
fi
mode() { { timeout 60 nvidia-smi --query-gpu=persistence_mode --format=csv,noheader || true; } | sort -u | paste -s -d ' '; }
if [ "$(mode)" != Enabled ]; then timeout 60 nvidia-smi -pm 1 || true; fi
# Some GPUs and hypervisors have none to switch: told, no failure.
fact persistence "$(mode)"
`;
}

/** The environment variable that hands out all GPUs is refused to unprivileged containers. */
export const TOOLKIT = `
${WITH_DRIVER}
${KEYS}
version() { dpkg-query -W -f '\${Version}' nvidia-container-toolkit 2>/dev/null || true; }
if ! dpkg --compare-versions "$(version)" ge ${TOOLKIT_FLOOR}; then
  if ! apt_source 'nvidia\\.github\\.io/libnvidia-container/stable/deb'; then
    trusted_key https://nvidia.github.io/libnvidia-container/gpgkey ${TOOLKIT_KEY} \\
      /usr/share/keyrings/nvidia-container-toolkit.gpg NVIDIA
    place 0644 /etc/apt/sources.list.d/nvidia-container-toolkit.list <<'LIST'
deb [signed-by=/usr/share/keyrings/nvidia-container-toolkit.gpg] https://nvidia.github.io/libnvidia-container/stable/deb/$(ARCH) /
LIST
  fi
  apt_update
  apt_get install --no-install-recommends nvidia-container-toolkit
  changed 'package nvidia-container-toolkit'
fi
if ! dpkg --compare-versions "$(version)" ge ${TOOLKIT_FLOOR}; then
  fail "nvidia-container-toolkit is $(version); ${TOOLKIT_FLOOR} or newer is needed"
fi
setting=accept-nvidia-visible-devices-envvar-when-unprivileged
config=/etc/nvidia-container-runtime/config.toml
# A key of the file itself stands above its first table.
off() {
  [ -f "$config" ] && awk -v key="$setting" '
    /^[ \\t]*\\[/ { exit }
    { line = $0; gsub(/[ \\t"\\047]/, "", line); sub(/#.*/, "", line); if (line == key "=false") off = 1 }
    END { exit !off }' "$config"
}
if ! off; then
  nvidia-ctk config --in-place --set "$setting=false"
  off || fail "$setting could not be set to false in $config"
  changed "$config"
fi
fact nvidiaToolkit "$(version)"
`;

/**
 * CDI names each GPU and MIG device. The toolkit's own service (1.18 and newer) writes them at every start and when
 * the driver or the toolkit changes; where it is missing, one of ours does the same. It knows nothing of a changed
 * MIG layout, so it runs here each time too. There is one file: a second one would keep devices that are gone.
 */
export const CDI = `
${WITH_DRIVER}
${UNITS}
spec=$(sed -n 's/^NVIDIA_CTK_CDI_OUTPUT_FILE_PATH=//p' /etc/nvidia-container-toolkit/nvidia-cdi-refresh.env 2>/dev/null | tail -n 1 | tr -d \\" || true)
spec=\${spec:-/var/run/cdi/nvidia.yaml}
own=/etc/systemd/system/berth-cdi
if systemctl cat nvidia-cdi-refresh.service >/dev/null 2>&1 && systemctl cat nvidia-cdi-refresh.path >/dev/null 2>&1; then
  refresh=nvidia-cdi-refresh
  if [ -e "$own.path" ]; then systemctl disable -q --now berth-cdi.path berth-cdi.service; fi
  unplace "$own.path" units
  unplace "$own.service" units
else
  refresh=berth-cdi
  place 0644 "$own.service" units <<UNIT
[Unit]
Description=NVIDIA's CDI devices, as the driver has them now

[Service]
Type=oneshot
ExecStart=$(command -v nvidia-ctk) cdi generate --output=$spec
Restart=on-failure
RestartSec=1s

[Install]
WantedBy=multi-user.target
UNIT
  place 0644 "$own.path" units <<'UNIT'
[Unit]
Description=Watch the kernel's modules and NVIDIA's toolkit for a change

[Path]
PathChanged=/lib/modules/%v/modules.dep
PathChanged=/usr/bin/nvidia-ctk

[Install]
WantedBy=multi-user.target
UNIT
fi
# Containers that start with the machine find their devices; a GPU that hangs does not hold Docker back for ever.
place 0644 "/etc/systemd/system/$refresh.service.d/berth.conf" units <<'UNIT'
[Unit]
After=berth-mig.service
Before=docker.service

[Service]
TimeoutStartSec=120
UNIT
reload_units
enabled "$refresh.path"
enabled "$refresh.service"
if ! systemctl is-active -q "$refresh.path"; then
  systemctl start "$refresh.path"
  changed "$refresh.path started"
fi
# Whether a file names GPUs, by the library that Docker reads it with: YAML or JSON, on however many lines.
names_gpus() {
  rm -rf -- "$work/cdi"
  install -d -m 0700 "$work/cdi"
  cp -- "$1" "$work/cdi/"
  if ! timeout 60 nvidia-ctk cdi list --spec-dir="$work/cdi" >"$work/cdi-names"; then
    fail "$1 could not be read by nvidia-ctk cdi list: see the lines above"
  fi
  grep -q -e '^nvidia\\.com/gpu=' "$work/cdi-names"
}
for other in /etc/cdi/*.yaml /etc/cdi/*.json /var/run/cdi/*.yaml /var/run/cdi/*.json; do
  if [ ! -f "$other" ] || [ "$other" = "$spec" ]; then continue; fi
  if ! names_gpus "$other"; then continue; fi
  install -d -m 0700 "$state/cdi"
  mv -f -- "$other" "$state/cdi/$(basename "$other")"
  printf '%s names the same devices as %s: moved to %s\\n' "$other" "$spec" "$state/cdi"
  changed "$other"
done
sum() { sha256sum "$spec" 2>/dev/null | cut -c -64 || true; }
before=$(sum)
install -d -m 0755 "$(dirname "$spec")"
systemctl start "$refresh.service" || {
  journalctl -u "$refresh.service" -n 15 --no-pager -o cat
  fail "NVIDIA's CDI devices could not be written: see journalctl -u $refresh.service"
}
# The toolkit's service passes over a kernel whose module is not below /lib/modules.
if [ ! -s "$spec" ]; then nvidia-ctk cdi generate --output="$spec"; fi
if [ "$(sum)" != "$before" ]; then changed "$spec"; fi
devices=$(nvidia-ctk cdi list 2>/dev/null | grep -e '^nvidia\\.com/gpu=' | sort -u || true)
if [ -z "$devices" ]; then fail "nvidia-ctk cdi list shows no nvidia.com/gpu device, with $spec written"; fi
fact_json cdiDevices "$(json_lines <<<"$devices")"
fact_json gpus "$(timeout 60 nvidia-smi -L | json_lines)"
`;

/** Told once, whatever asks for it. */
export const REBOOT = `
if [ -s "$work/reboot" ]; then
  printf 'REBOOT NEEDED: %s\\n' "$(cat "$work/reboot")"
  fact rebootRequired "$(paste -s -d ' ' "$work/reboot")"
fi
`;
