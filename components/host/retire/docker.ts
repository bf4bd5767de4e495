/**
 * dockerd as it was before Berth, under containers that run on. Pure text.
 *
 * A dockerd that stops leaves containers alive only if it knows live-restore, and one that starts ends those it finds
 * alive unless it knows it too. So the restart happens with live-restore on, and then a reload switches it off: by an
 * explicit \`false\`, since a reload does not take back a key that is gone from the file.
 * What the file is to be at the end is decided once and kept, for a run that is cut in between.
 */

import { LOGIN_RECORD, WHOLE } from "../runtime/engine";
import { LOAD_JSON, READ_OPTIONS } from "../runtime/told";
import { DROP_IN } from "../storage/guard";

/** PATH-OF-MERGED BEFORE OURS: puts the operator's own values back where ours stood in their place. */
export const RESTORE = `${LOAD_JSON}
merged, before, ours = (load(name) for name in sys.argv[1:4])
def back(merged, before, ours):
    for key, value in before.items():
        if key not in ours:
            continue
        if key not in merged:
            merged[key] = value
        elif isinstance(value, dict) and isinstance(merged[key], dict) and isinstance(ours[key], dict):
            back(merged[key], value, ours[key])
        elif key == "exec-opts" and isinstance(value, list):
            have = {str(item).split("=")[0]: item for item in merged[key]}
            kept = [have.pop(str(item).split("=")[0], item) for item in value]
            merged[key] = kept + list(have.values())
back(merged, before, ours)
if merged == before:
    with open(sys.argv[2], "rb") as file:
        sys.stdout.buffer.write(file.read())
elif merged:
    json.dump(merged, sys.stdout, indent=2, sort_keys=True)
    sys.stdout.write("\\n")
`;

/**
 * `FILE true`: the same with live-restore on. `FILE reload-true`, `FILE reload-false`: for a reload alone, without
 * \`userland-proxy\`, which no reload applies, and with which dockerd refuses one ("userland-proxy is enabled, but
 * userland-proxy-path is not set": it knows the path only at its start). `FILE FILE`: do two files say the same but for
 * live-restore? `FILE live`: is it on?
 */
export const WITH = `${LOAD_JSON}
data, how = load(sys.argv[1]), sys.argv[2]
if how == "live":
    sys.exit(0 if data.get("live-restore") is True else 1)
if how in ("true", "reload-true", "reload-false"):
    data["live-restore"] = how.endswith("true")
    if how.startswith("reload"):
        data.pop("userland-proxy", None)
    json.dump(data, sys.stdout, indent=2, sort_keys=True)
    sys.stdout.write("\\n")
else:
    other = load(how)
    for one in (data, other):
        one.pop("live-restore", None)
    sys.exit(0 if data == other else 1)
`;

export const DOCKER = `
if [ -s "$state/${LOGIN_RECORD}" ]; then
  login=$(cat -- "$state/${LOGIN_RECORD}")
  if id -nG "$login" 2>/dev/null | tr ' ' '\\n' | grep -q -x docker; then gpasswd -d "$login" docker; fi
  rm -f -- "$state/${LOGIN_RECORD}"
  changed "group docker of $login"
fi
unplace /etc/systemd/system/docker.service.d/10-berth-firewall.conf docker-unit
unplace ${DROP_IN} docker-unit
rmdir --ignore-fail-on-non-empty -- /etc/systemd/system/docker.service.d 2>/dev/null || true
if pending docker-unit; then
  systemctl daemon-reload
  settled docker-unit
fi
file=/etc/docker/daemon.json decided=$state/retire-daemon.json
if [ ! -e "$state/daemon.json" ] && [ ! -e "$decided" ]; then return 0; fi
${WHOLE}
whole_again
cat >"$work/merge.py" MERGE_TEXT
${READ_OPTIONS}
cat >"$work/restore.py" <<'RESTORE'
${RESTORE}RESTORE
cat >"$work/with.py" <<'WITH'
${WITH}WITH
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
    version=$(dockerd --version | sed -n 's/^Docker version \\([0-9.]*\\).*/\\1/p')
    if dpkg --compare-versions "$version" ge 23; then dockerd --validate --config-file "$work/alive" "\${options[@]}"; fi
    place 0644 "$file" <"$work/alive"
    # A stage may have restarted it a moment ago, and systemd gives a unit few starts a minute.
    systemctl reset-failed docker.service
    systemctl restart docker.service || {
      journalctl -u docker.service -n 15 --no-pager -o cat
      fail "dockerd does not start without Berth's part of $file: see journalctl -u docker.service"
    }
    changed 'docker.service restarted'
    wait_for 120 'docker info answers' docker info
    gone=$(comm -23 <(printf '%s\\n' "$running") <(docker ps -q --no-trunc | sort) | sed '/^$/d' | paste -s -d ' ')
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
`;
