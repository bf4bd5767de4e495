# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $state
# Needs merge.py, reload.py and wanted.json in $work. Needs what the step before left there: told.py and docker-unit.
# ---
whole_again
version=
if command -v dockerd >/dev/null; then
  version=$(dockerd --version | sed -n 's/^Docker version \([0-9.]*\).*/\1/p')
elif [ -e "$work/docker-package" ]; then
  version=$(apt-cache policy "$(cat "$work/docker-package")" | sed -n 's/^ *Candidate: \([0-9]*:\)\{0,1\}\([0-9.]*\).*/\2/p')
fi
cdi=no firewall=
if [ -n "$version" ] && dpkg --compare-versions "$version" ge 25; then cdi=yes; fi
# The default of a later version may be another one.
if [ -n "$version" ] && dpkg --compare-versions "$version" ge 29; then firewall=iptables; fi
FIREWALL=$firewall OURS=$work/ours.json python3 "$work/merge.py" /etc/docker/daemon.json "$state/daemon.json" "$cdi" \
  <"$work/wanted.json" >"$work/daemon.json"
if command -v dockerd >/dev/null && dpkg --compare-versions "$version" ge 23; then
  # With the options that its unit gives it: some of them are refused beside a file, or need one.
  python3 "$work/told.py" "$work/docker-unit" options >"$work/docker-options"
  mapfile -d '' -t options <"$work/docker-options"
  dockerd --validate --config-file "$work/daemon.json" "${options[@]}"
fi
# A mark from an earlier run stands for a change that nobody knows any more.
if ! pending docker && python3 "$work/reload.py" /etc/docker/daemon.json "$work/daemon.json"; then : >"$work/reload-only"; fi
place 0644 /etc/docker/daemon.json docker <"$work/daemon.json"
place 0600 "$state/daemon.json" <"$work/ours.json"
