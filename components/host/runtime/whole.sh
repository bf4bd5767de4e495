# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $state $work
# A reload refuses a file that says "userland-proxy": true, the default (seen with Docker 26), and applies neither
# that nor the firewall backend: both are out of the file for as long as a reload takes. `leave_out` takes them out,
# and keeps the whole file in the stage's state, for a run that is cut meanwhile; `whole_again` puts it back, unless
# somebody has written the file since. Needs without.py in $work.
# ---
whole=$state/daemon-whole.json
without() { python3 "$work/without.py" "$1"; }
# shellcheck disable=SC2317,SC2329 # not every step calls each
leave_out() {
  if ! without /etc/docker/daemon.json >"$work/without.json"; then return 0; fi
  place 0600 "$whole" </etc/docker/daemon.json
  place 0644 /etc/docker/daemon.json <"$work/without.json"
}
whole_again() {
  if [ ! -e "$whole" ]; then return 0; fi
  if without "$whole" | cmp -s - /etc/docker/daemon.json; then place 0644 /etc/docker/daemon.json <"$whole"; fi
  rm -f -- "$whole"
}
