# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $state $login_record $storage_drop_in $work
# dockerd as it was before Berth, under containers that run on. Needs a prologue that sets login_record and
# storage_drop_in, and writes merge.py, restore.py and with.py to $work.
# ---
if [ -s "$state/$login_record" ]; then
  login=$(cat -- "$state/$login_record")
  if id -nG "$login" 2>/dev/null | tr ' ' '\n' | grep -q -x docker; then gpasswd -d "$login" docker; fi
  rm -f -- "$state/$login_record"
  changed "group docker of $login"
fi
unplace /etc/systemd/system/docker.service.d/10-berth-firewall.conf docker-unit
unplace "$storage_drop_in" docker-unit
rmdir --ignore-fail-on-non-empty -- /etc/systemd/system/docker.service.d 2>/dev/null || true
if pending docker-unit; then
  systemctl daemon-reload
  settled docker-unit
fi
file=/etc/docker/daemon.json decided=$state/retire-daemon.json
if [ ! -e "$state/daemon.json" ] && [ ! -e "$decided" ]; then return 0; fi
whole_again
read_unit
python3 "$work/told.py" "$work/docker-unit" options >"$work/docker-options"
mapfile -d '' -t options <"$work/docker-options"
if [ ! -e "$decided" ]; then
  before_file daemonJson >"$work/daemon-before"
  printf '{}' | OURS=$work/none python3 "$work/merge.py" "$file" "$state/daemon.json" no >"$work/merged"
  python3 "$work/restore.py" "$work/merged" "$work/daemon-before" "$state/daemon.json" >"$work/final"
  place 0600 "$decided" <"$work/final"
fi
touch -- "$work/now"
if [ -e "$file" ]; then cp -- "$file" "$work/now"; fi
live() { [ "$(docker info -f '{{.LiveRestoreEnabled}}' 2>/dev/null)" = true ]; }
# Not the same as "not live": dockerd has to answer.
mortal() { [ "$(docker info -f '{{.LiveRestoreEnabled}}' 2>/dev/null)" = false ]; }
if systemctl is-active -q docker.service; then
  wait_for 120 'docker info answers' docker info
  running=$(docker ps -q --no-trunc | sort)
  stays=no
  if python3 "$work/with.py" "$decided" live; then stays=yes; fi
  if ! python3 "$work/with.py" "$decided" "$work/now"; then
    if [ -n "$running" ] && ! live; then
      python3 "$work/with.py" "$work/now" reload-true >"$work/alive"
      place 0644 "$file" <"$work/alive"
      systemctl reload docker.service
      wait_for 30 'live-restore is on (containers run here, and a restart would stop them: nothing was restarted)' live
    fi
    python3 "$work/with.py" "$decided" true >"$work/alive"
    version=$(dockerd --version | sed -n 's/^Docker version \([0-9.]*\).*/\1/p')
    if dpkg --compare-versions "$version" ge 23; then dockerd --validate --config-file "$work/alive" "${options[@]}"; fi
    place 0644 "$file" <"$work/alive"
    # A stage may have restarted it a moment ago, and systemd gives a unit few starts a minute.
    systemctl reset-failed docker.service
    systemctl restart docker.service || {
      journalctl -u docker.service -n 15 --no-pager -o cat
      fail "dockerd does not start without Berth's part of $file: see journalctl -u docker.service"
    }
    changed 'docker.service restarted'
    wait_for 120 'docker info answers' docker info
    gone=$(comm -23 <(printf '%s\n' "$running") <(docker ps -q --no-trunc | sort) | sed '/^$/d' | paste -s -d ' ')
    if [ -n "$gone" ]; then fail "the restart of dockerd stopped containers: $gone"; fi
  fi
  if [ "$stays" = no ] && ! mortal; then
    python3 "$work/with.py" "$decided" reload-false >"$work/mortal"
    place 0644 "$file" <"$work/mortal"
    systemctl reload docker.service
    wait_for 30 'live-restore is off again' mortal
  fi
fi
if [ -s "$decided" ] || [ "$(before daemonJsonIs)" = there ]; then
  place 0644 "$file" <"$decided"
else
  unplace "$file"
fi
if [ "$(before dockerUnit)" = disabled ] && systemctl is-enabled -q docker.service; then
  systemctl disable -q docker.service
  changed 'docker.service disabled'
fi
settled docker
rm -f -- "$state/daemon.json" "$decided"
