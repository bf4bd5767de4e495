# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $when $work $runc_cves $runc_floors $containerd_floors $docker_floors
# Tells the versions as facts, and refuses those below their floor unless they are allowed: before anything of an
# engine that stays is touched, otherwise once the packages are there and before dockerd is started anew. Needs
# at-floor.sh, and a prologue that sets when (before, after), version (the configured one of Docker, empty for any),
# allow (yes, no, empty), the lists of each tool's floors with their texts, and runc_cves (a CVE and the floors that
# have it no more, a line each).
# ---
if [ "$when" = before ]; then
  if ! command -v dockerd >/dev/null; then return 0; fi
  # Another version is about to be installed, and is judged then.
  if [ -n "$version" ] && [[ $(dpkg-query -W -f '${Version}' docker-ce 2>/dev/null || true) != *:"$version"-* ]]; then return 0; fi
  : >"$work/judged"
elif [ -e "$work/judged" ]; then
  return 0
fi
source=$(cat "$work/docker-from")
docker=$(dockerd --version | sed -n 's/^Docker version \([^, ]*\).*/\1/p')
containerd=$(containerd --version 2>/dev/null | awk '{ print $3 }' || true)
runc=$(runc --version 2>/dev/null | sed -n 's/^runc version //p' || true)
fact dockerFrom "$source"
fact containerd "$containerd"
fact runc "$runc"
mended=
package=$(dpkg -S "$(readlink -f "$(command -v runc || echo /nonexistent)")" 2>/dev/null | cut -d : -f 1 || true)
if [ "$source" = distribution ] && [ -n "$package" ]; then
  # What a distribution mended under an old number stands in its changelog; a rebuild for one machine has a second one.
  for log in "/usr/share/doc/$package"/changelog.Debian*.gz; do
    if [ -r "$log" ]; then mended+=$(zcat "$log" | grep -o -E 'CVE-[0-9]{4}-[0-9]{4,}' || true)$'\n'; fi
  done
fi
below=() named=() open=()
mends() {
  local cve=$1
  shift
  if grep -q -x "$cve" <<<"$mended"; then named+=("$cve"); elif ! at_floor "$runc" "$@"; then open+=("$cve"); fi
}
if [ -n "$runc" ]; then
  for line in "${runc_cves[@]}"; do
    read -r -a words <<<"$line"
    mends "${words[@]}"
  done
fi
if [ "${#named[@]}" -gt 0 ]; then fact_json runcMended "$(printf '%s\n' "${named[@]}" | json_lines)"; fi
if [ "${#open[@]}" -gt 0 ] && ! at_floor "$runc" "${runc_floors[@]}"; then
  below+=("runc $runc ($runc_text)")
fi
if [ "$source" != distribution ]; then
  if [ -n "$containerd" ] && ! at_floor "$containerd" "${containerd_floors[@]}"; then
    below+=("containerd $containerd ($containerd_text)")
  fi
  if ! at_floor "$docker" "${docker_floors[@]}"; then below+=("Docker $docker ($docker_text)"); fi
fi
if [ "${#below[@]}" -eq 0 ]; then return 0; fi
list=$(printf '%s; ' "${below[@]}")
list="${list%; }"
# By default what a distribution mends under old numbers is told and taken, and everything else is refused.
if [ "$allow" = no ] || { [ -z "$allow" ] && [ "$source" != distribution ]; }; then
  fail "below the oldest version without a known way out of a container (in brackets): $list. Upgrade (apt-get update && apt-get install --only-upgrade PACKAGE), take Docker's own packages (runtime.docker.from: docker), or take the risk by name (runtime.docker.allowBelowFloor: true)"
fi
printf 'BELOW THE FLOOR, and taken as configured: %s. A container could get out of its bounds\n' "$list"
