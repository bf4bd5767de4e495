# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $state $berth $fresh $config $grants_lock $work
# `told` names a file with who holds which GPU, where the node's declared GPUs are about to change: to take one away is
# to take it from its holder. Asked of the berthd that runs, which grants nothing from then on (the lock, held until
# this step ends) and is stopped once the answer was checked (`hold_grants`); of one that does not run, the containers
# tell. `asked` keeps for which GPUs an answer was good, where a run was cut off after that.
# ---
told=()
asked=$state/agent-asked
# Who holds what. A berth that is older than these words calls it `pool`, and says to others that there is no such command (2).
show_declared() {
  local answer rc=0
  answer=$(timeout 90 "$berth" declared show --json) || rc=$?
  if [ "$rc" = 2 ]; then
    timeout 90 "$berth" pool show --json
  else
    printf '%s\n' "$answer"
    return "$rc"
  fi
}
next_gpus() { { if [ -e "$fresh/gpus.json" ]; then cat -- "$fresh/gpus.json"; fi; } | sha256sum; }
if [ -x "$berth" ] && [ -e "$config/gpus.json" ] && ! cmp -s -- "$fresh/gpus.json" "$config/gpus.json"; then
  if systemctl is-active -q berthd.service; then
    exec 8>>"$grants_lock"
    if ! flock -w 60 8; then
      fail "the GPUs that this node declares are to change, and another program has held $grants_lock for more than 60 s; nothing was changed"
    fi
    if ! show_declared >"$work/declared.json" 2>"$work/declared.said"; then
      fail "the GPUs that this node declares are to change, and berthd, which knows who holds them, does not tell: $(head -c 400 -- "$work/declared.said"). See why (journalctl -u berthd), or leave them as they were until berth declared show answers; nothing was changed"
    fi
    told=("$work/declared.json")
  elif [ "$(next_gpus)" != "$(cat -- "$asked" 2>/dev/null)" ]; then
    having=$(docker ps --all --filter label=berth.gpus --format '{{.Names}} {{.Label "berth.gpus"}}' | awk 'NF > 1 { print $1 }' | paste -s -d ' ' -)
    if [ -n "$having" ]; then
      fail "the GPUs that this node declares are to change, berthd does not run, and these containers were given some: $having. Start it (systemctl start berthd) or remove them; nothing was changed"
    fi
  fi
fi
hold_grants() {
  if [ "${#told[@]}" = 0 ]; then return 0; fi
  next_gpus >"$asked"
  # Whatever fails from here on must not leave the node without one.
  trap 'if [ "$?" != 0 ]; then flock -u 8; systemctl start berthd.service; fi' EXIT
  systemctl stop berthd.service
}
