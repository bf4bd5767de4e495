# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $names
# Needs a prologue that sets names, and socket (the names with commas between).
# ---
[ -e "$work/fabric" ] || return 0
# One line for each port: CA PORT STATE RATE LINK.
ibstat | awk '
  function flush() { if (port != "") print ca, port, state, rate, link; port = "" }
  /^CA / { flush(); gsub(/\047/, "", $2); ca = $2 }
  /^[ \t]*Port [0-9]+:/ { flush(); port = $2; sub(/:/, "", port); state = "?"; rate = 0; link = "?" }
  /^[ \t]*State:/ { state = $2 }
  /^[ \t]*Rate:/ { rate = ($2 + 0) }
  /^[ \t]*Link layer:/ { link = $3 }
  END { flush() }' >"$work/ports"
cat -- "$work/ports"
fact_json ports "[$(awk '{printf "%s{\"device\":\"%s\",\"port\":%d,\"state\":\"%s\",\"gbps\":%s,\"link\":\"%s\"}", (NR > 1 ? "," : ""), $1, $2, $3, $4, $5}' "$work/ports")]"
# What programs see through libibverbs: a device without its userspace driver is missing here.
fact_json verbs "$(ibv_devinfo -l 2>/dev/null | sed -n 's/^[[:space:]]\{1,\}\([^[:space:]]\{1,\}\).*/\1/p' | json_lines)"
: >"$work/interfaces"
for name in "${names[@]}"; do
  printf '{"name":%s,"address":%s,"mtu":%s,"mode":%s}\n' "$(json_string "$name")" \
    "$(json_string "$(ip -o addr show dev "$name" scope global | awk 'NR == 1 {print $4}')")" \
    "$(cat "/sys/class/net/$name/mtu")" "$(json_string "$(cat "/sys/class/net/$name/mode" 2>/dev/null || true)")" >>"$work/interfaces"
done
fact_json interfaces "[$(paste -s -d , -- "$work/interfaces")]"
# A leading = makes NCCL take the names as they are, not as beginnings: mlx5_1 is not mlx5_10.
hca=$(awk '$3 == "Active" && $5 == "InfiniBand" {print $1 ":" $2}' "$work/ports" | paste -s -d ,)
nccl=''
if [ -n "$hca" ]; then nccl="\"NCCL_IB_HCA\":$(json_string "=$hca")"; fi
if [ -n "$hca" ] && [ -n "$socket" ]; then nccl="$nccl,\"NCCL_SOCKET_IFNAME\":$(json_string "=$socket")"; fi
fact_json nccl "{$nccl}"
