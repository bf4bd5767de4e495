# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work
# Needs a prologue that sets version: empty for any. A pinned one is apt's candidate, also downwards.
# ---
engine() { command -v dockerd >/dev/null && command -v docker >/dev/null; }
if [ "$(cat "$work/docker-from")" = docker ]; then
  packages=(docker-ce docker-ce-cli containerd.io iptables)
  if ! engine; then
    # containerd.io brings its own containerd and runc, and apt would take these away with what needs them.
    for package in containerd runc docker.io podman-docker; do
      if apt_installed "$package"; then
        fail "package $package is installed, which Docker's containerd.io would remove with all that needs it. Remove it yourself (apt-get remove $package), or take the distribution's Docker (runtime.docker.from: distribution)"
      fi
    done
  fi
else
  packages=(docker.io iptables)
  # Debian 13 and later have the client in a package of its own.
  if apt-cache show docker-cli >/dev/null 2>&1; then packages+=(docker-cli); fi
fi
if engine; then
  if [ -z "$version" ]; then return 0; fi
  installed=$(dpkg-query -W -f '${Version}' docker-ce)
  if [[ $installed == *:"$version"-* ]]; then return 0; fi
  running=$(docker ps -q 2>/dev/null | wc -l)
  if [ "$running" -gt 0 ]; then
    fail "Docker $installed is here, runtime.docker.version asks for $version, and $running containers run: another version is not put under them. End them (docker ps) and run this again, or take the version out"
  fi
  apt_get install --no-install-recommends --allow-downgrades docker-ce docker-ce-cli
  changed 'package docker-ce'
  if systemctl is-active -q docker.service; then settled docker; fi
  return 0
fi
fresh=no
if ! command -v dockerd >/dev/null; then fresh=yes; fi
apt_install "${packages[@]}"
# A first start has read the daemon.json placed above.
if [ "$fresh" = yes ] && systemctl is-active -q docker.service; then settled docker; fi
