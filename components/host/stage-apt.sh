# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $state
# `apt_install PACKAGE...`: installs the missing ones. Waits for another apt or dpkg (a fresh cloud machine
# updates itself), mends an interrupted one, tries three times.
# ---
apt_get() {
  DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l NEEDRESTART_SUSPEND=1 apt-get -q -y \
    -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}
apt_update() {
  apt_get update
  : >"$state/apt-updated"
}
apt_lists() {
  if [ -z "$(find "$state/apt-updated" -mmin -60 2>/dev/null)" ]; then apt_update; fi
}
apt_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' -- "$1" 2>/dev/null)" = installed ]; }
apt_install() {
  local missing=() package try
  for package in "$@"; do
    if ! apt_installed "$package"; then missing+=("$package"); fi
  done
  if [ "${#missing[@]}" -eq 0 ]; then return 0; fi
  printf 'missing: %s\n' "${missing[*]}"
  for try in 1 2 3; do
    if [ -n "$(dpkg --audit 2>/dev/null)" ]; then
      DEBIAN_FRONTEND=noninteractive dpkg --force-confdef --force-confold --configure -a || true
    fi
    if [ "$try" = 1 ]; then apt_lists || true; else apt_update || true; fi
    if apt_get install --no-install-recommends "${missing[@]}"; then
      for package in "${missing[@]}"; do changed "package $package"; done
      return 0
    fi
    printf 'try %s of 3 failed\n' "$try"
    if [ "$try" != 3 ]; then sleep "$((try * 5))"; fi
  done
  fail "could not install: ${missing[*]}"
}
