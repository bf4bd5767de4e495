# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $daemon_keys $work
# What others tell dockerd, in its file and by its unit; it may wait for a Docker that is still to come. Needs a prologue
# that sets daemon_keys.
# ---
if ! command -v python3 >/dev/null; then
  if command -v dockerd >/dev/null; then
    problem 'python3 is missing, with which the settings of Docker are read: apt-get install python3'
  fi
  return 0
fi
told "${daemon_keys[@]}" >"$work/told" 2>&1 || true
cat -- "$work/told" >>"$work/problems"
