# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $programs $version $told $state $logs $config $folders $fresh $unit $links
# Needs a prologue that sets links (TARGET PATH of each), and writes folders and unit (files) to $work.
# ---
BERTH_AGENT_ROOT=$work/agent "$programs/$version/bin/berthd" --check "${told[@]}"
hold_grants
install -d -m 0700 -- "$state/agent" "$logs"
install -d -m 0755 -- "$config"
place 0644 "$folders" <"$work/folders"
systemd-tmpfiles --create "$folders"
if same_but_users "$fresh/node.json" "$config/node.json"; then
  place 0644 "$config/node.json" <"$fresh/node.json"
else
  place 0644 "$config/node.json" berthd <"$fresh/node.json"
fi
if [ -e "$fresh/gpus.json" ]; then
  place 0644 "$config/gpus.json" berthd <"$fresh/gpus.json"
else
  unplace "$config/gpus.json" berthd
fi
stand_ins "$version"
place 0644 "$config/limits.json" <"$fresh/limits.json"
place 0644 "$unit" berthd <"$work/unit"
link() {
  if [ "$(readlink -- "$2" || true)" != "$programs/current/$1" ]; then
    install -d -m 0755 -- "$(dirname -- "$2")"
    ln -s -f -T -- "$programs/current/$1" "$2"
    changed "$2"
  fi
}
for ((i = 0; i < ${#links[@]}; i += 2)); do link "${links[@]:i:2}"; done
