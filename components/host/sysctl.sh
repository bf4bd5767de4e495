# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $pairs
# Needs a prologue that sets pairs (KEY=NUMBER), and writes the file of a machine (sysctl) and that of a container
# (sysctl-local) to $work.
# ---
file=/etc/sysctl.d/60-berth.conf
if systemd-detect-virt --container -q; then
  place 0644 "$file" sysctl <"$work/sysctl-local"
  too_low=()
  for pair in "${pairs[@]}"; do
    now=$(sysctl -n "${pair%%=*}" 2>/dev/null || echo 0)
    if [ "$now" -lt "${pair#*=}" ]; then too_low+=("${pair%%=*}"); fi
  done
  fact_json sysctlLow "$(if [ "${#too_low[@]}" -gt 0 ]; then printf '%s\n' "${too_low[@]}"; fi | json_lines)"
else
  place 0644 "$file" sysctl <"$work/sysctl"
  fact_json sysctlLow '[]'
fi
if pending sysctl; then
  sysctl -q -p "$file"
  settled sysctl
fi
