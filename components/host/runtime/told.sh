# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work
# `read_unit` puts dockerd's unit with its drop-ins at $work/docker-unit. Where the package is still to come, drop-ins may
# wait for it, and Debian's unit reads /etc/default/docker. `told KEY...` prints what stands in the way, a line each;
# nothing where all is well. Needs told.py at $work/told.py, and python3.
# ---
read_unit() {
  if ! systemctl cat docker.service >"$work/docker-unit" 2>/dev/null; then
    {
      # shellcheck disable=SC2016 # systemd puts the variable in
      printf '[Service]\nEnvironmentFile=-/etc/default/docker\nExecStart=/usr/sbin/dockerd -H fd:// $DOCKER_OPTS\n'
      for file in /etc/systemd/system/docker.service.d/*.conf; do
        if [ -f "$file" ]; then printf '\n# %s\n' "$file" && cat -- "$file"; fi
      done
    } >"$work/docker-unit"
  fi
}
# shellcheck disable=SC2317,SC2329 # not every step calls it
told() {
  read_unit
  python3 "$work/told.py" "$work/docker-unit" check /etc/docker/daemon.json "$@"
}
