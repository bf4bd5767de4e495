# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $state
# CDI names each GPU and MIG device. The toolkit's own service (1.18 and newer) writes them at every start and when
# the driver or the toolkit changes; where it is missing, one of ours does the same. It knows nothing of a changed
# MIG layout, so it runs here each time too. There is one file: a second one would keep devices that are gone.
# ---
spec=$(sed -n 's/^NVIDIA_CTK_CDI_OUTPUT_FILE_PATH=//p' /etc/nvidia-container-toolkit/nvidia-cdi-refresh.env 2>/dev/null | tail -n 1 | tr -d \" || true)
spec=${spec:-/var/run/cdi/nvidia.yaml}
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
  grep -q -e '^nvidia\.com/gpu=' "$work/cdi-names"
}
for other in /etc/cdi/*.yaml /etc/cdi/*.json /var/run/cdi/*.yaml /var/run/cdi/*.json; do
  if [ ! -f "$other" ] || [ "$other" = "$spec" ]; then continue; fi
  if ! names_gpus "$other"; then continue; fi
  install -d -m 0700 "$state/cdi"
  mv -f -- "$other" "$state/cdi/$(basename "$other")"
  printf '%s names the same devices as %s: moved to %s\n' "$other" "$spec" "$state/cdi"
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
devices=$(nvidia-ctk cdi list 2>/dev/null | grep -e '^nvidia\.com/gpu=' | sort -u || true)
if [ -z "$devices" ]; then fail "nvidia-ctk cdi list shows no nvidia.com/gpu device, with $spec written"; fi
fact_json cdiDevices "$(json_lines <<<"$devices")"
fact_json gpus "$(timeout 60 nvidia-smi -L | json_lines)"
