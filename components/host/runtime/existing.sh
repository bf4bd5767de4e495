# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work
# Finds out whose engine is there, and whose is to be. Both at once is not possible (each package removes the
# other's), and a change would end or orphan what runs: that is left to the operator. Needs a prologue that sets
# wanted.
# ---
if [ -e /snap/bin/docker ] || [ -d /var/snap/docker ]; then
  fail 'Docker is installed as a snap here, which Berth cannot configure: snap remove --purge docker'
fi
apt_install python3 ca-certificates
have=
if command -v dockerd >/dev/null; then
  package=$(dpkg -S "$(readlink -f "$(command -v dockerd)")" 2>/dev/null | cut -d : -f 1 || true)
  case $package in
    docker.io) have=distribution ;;
    docker-ce) have=docker ;;
    *) have=other ;;
  esac
fi
if [ -n "$have" ] && [ -n "$wanted" ] && [ "$have" != "$wanted" ]; then
  case $have in
    distribution) what="the distribution's (package docker.io)" remove='docker.io containerd runc' ;;
    docker) what="Docker's own (package docker-ce)" remove='docker-ce docker-ce-cli containerd.io' ;;
    *) what="from elsewhere ($(command -v dockerd), package ${package:-none})" remove='(by whatever brought it)' ;;
  esac
  fail "runtime.docker.from asks for the engine of '$wanted', and the one here is $what. Berth does not change engines under running containers. To keep it, take 'from' out or name what is there. To change over by hand: end the containers (docker ps), stop docker (systemctl stop docker docker.socket containerd), apt-get remove $remove, and run this again; images, volumes and containers in /var/lib/docker stay"
fi
from=${have:-${wanted:-distribution}}
printf '%s\n' "$from" >"$work/docker-from"
if [ "$from" = docker ]; then echo docker-ce; else echo docker.io; fi >"$work/docker-package"
if [ -z "$have" ]; then apt_lists; fi
