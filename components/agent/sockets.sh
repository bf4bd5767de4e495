# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $users $sockets
# A workspace that starts behind this stage finds its user's socket.
# ---
# shellcheck disable=SC2317 # called by wait_for
listens() {
  local name
  for name in "${users[@]}"; do
    if [ ! -S "$sockets/$name/berth.sock" ]; then
      printf '%s has no socket: see journalctl -u berthd.service\n' "$name"
      return 1
    fi
  done
}
wait_for 20 'berthd listens for everybody of this node' listens
