# shellcheck shell=bash
# Without persistence the driver forgets clocks, ECC pages and MIG on Hopper when nothing holds the GPU, and each
# first use waits for it. The unit of the driver's packages, or one of ours around the same program.
# ---
own=/etc/systemd/system/berth-persistence.service
drop=/etc/systemd/system/nvidia-persistenced.service.d/berth.conf
smi=$(command -v nvidia-smi)
if systemctl cat nvidia-persistenced.service >/dev/null 2>&1; then
  unit=nvidia-persistenced.service
  if [ -e "$own" ]; then systemctl disable -q --now berth-persistence.service; fi
  unplace "$own" units
  # Ubuntu's unit starts the daemon with persistence off.
  place 0644 "$drop" units <<UNIT
[Service]
ExecStartPost=-$smi -pm 1
UNIT
else
  unit=berth-persistence.service
  unplace "$drop" units
  if daemon=$(command -v nvidia-persistenced); then
    start="Type=forking
ExecStart=$daemon --verbose"
  else
    start="Type=oneshot
RemainAfterExit=yes
ExecStart=$smi -pm 1"
  fi
  place 0644 "$own" units <<UNIT
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
