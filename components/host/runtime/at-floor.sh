# shellcheck shell=bash
# `at_floor VERSION FLOOR...` in bash, the same rule with dpkg's comparison. Floors are X.Y.Z or X.Y.Z~rc.N.
# ---
at_floor() {
  local have branch floor
  if [[ ! ${1#v} =~ ^([0-9]+\.[0-9]+)(\.([0-9]+))?([-~]?(rc|beta|alpha)\.?([0-9]+))? ]]; then return 1; fi
  branch=${BASH_REMATCH[1]} have=${BASH_REMATCH[1]}.${BASH_REMATCH[3]:-0}
  # To dpkg "-" starts a revision, and "~" sorts before everything: a candidate before its release.
  if [ -n "${BASH_REMATCH[5]:-}" ]; then have+="~${BASH_REMATCH[5]}.${BASH_REMATCH[6]}"; fi
  shift
  for floor in "$@"; do
    if [[ $floor == "$branch".* ]]; then
      if dpkg --compare-versions "$have" ge "$floor"; then return 0; else return 1; fi
    fi
  done
  for floor in "$@"; do
    floor=$(sed -E 's/^([0-9]+\.[0-9]+).*/\1/' <<<"$floor")
    if ! dpkg --compare-versions "$branch" gt "$floor"; then return 1; fi
  done
}
