# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $state
# ---
# apt.sh PACKAGE...: as root. The library of the host stages (apt_install) stands in front of this.
missing=()
for package in "$@"; do
  if ! apt_installed "$package"; then missing+=("$package"); fi
done
if [ "${#missing[@]}" -eq 0 ]; then
  result unchanged
  exit 0
fi
install -d -m 0755 -- "$state"
apt_install "${missing[@]}"
for package in "${missing[@]}"; do
  if ! apt_installed "$package"; then
    fail "$package is still not installed: it may be a virtual package; name one that provides it"
  fi
done
result changed "${missing[*]}"
