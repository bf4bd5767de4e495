# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $programs $work
# `stand_ins VERSION`: nvidia-smi and CDI devices where gpus.json is, none where it is not.
# ---
stand_ins() {
  local name
  # Containers read them too.
  (umask 022 && exec "$programs/$1/node" "$programs/$1/stand-ins.cjs") >"$work/stand-ins"
  while IFS= read -r name; do changed "$name"; done <"$work/stand-ins"
}
