# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $placed
# Needs a prologue that sets placed (WHERE NAME TYPE MOUNT of each file system).
# ---
: >"$work/devices"
device() {
  local part uuid label bytes
  part=$(awk -v where="$1" '$1 == where {print $2}' "$work/places")
  uuid=$(blkid -p -s UUID -o value -- "$part")
  label=$(blkid -p -s LABEL -o value -- "$part" || true)
  bytes=$(df -P -B1 -- "$4" | awk 'NR == 2 {print $2}')
  printf '{"name":%s,"device":%s,"uuid":%s,"label":%s,"filesystem":%s,"bytes":%s,"mount":%s}\n' "$(json_string "$2")" \
    "$(json_string "$part")" "$(json_string "$uuid")" "$(json_string "$label")" "$(json_string "$3")" "$bytes" "$(json_string "$4")" >>"$work/devices"
}
for ((i = 0; i < ${#placed[@]}; i += 4)); do device "${placed[@]:i:4}"; done
fact_json devices "[$(paste -s -d , -- "$work/devices")]"
fact_json mounts "[$(
  while read -r source target type _; do
    printf '{"source":%s,"target":%s,"type":%s}\n' "$(json_string "$source")" "$(json_string "$target")" "$(json_string "$type")"
  done <"$work/wanted" | paste -s -d ,
)]"
