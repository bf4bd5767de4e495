# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $docker_key
# Docker's own repository, before daemon.json: its candidate decides what may stand there. Needs a prologue that sets
# docker_key and version (empty: the newest).
# ---
pin=/etc/apt/preferences.d/berth-docker.pref
if [ "$(cat "$work/docker-from")" != docker ]; then return 0; fi
if [ -z "$version" ]; then
  if command -v dockerd >/dev/null; then
    unplace "$pin"
    return 0
  fi
else
  installed=$(dpkg-query -W -f '${Version}' docker-ce 2>/dev/null || true)
  if [[ $installed == *:"$version"-* ]] && [ -e "$pin" ]; then return 0; fi
fi
id=$(os ID) codename=$(os VERSION_CODENAME)
case $id in
  debian | ubuntu) ;;
  *) fail "Docker's package repository is for Debian and Ubuntu, and this is '$id': take runtime.docker.from out" ;;
esac
if [ -z "$codename" ]; then fail '/etc/os-release names no VERSION_CODENAME, which is in the address of the repository'; fi
if ! apt_source 'download\.docker\.com/linux/'; then
  trusted_key "https://download.docker.com/linux/$id/gpg" "$docker_key" /usr/share/keyrings/berth-docker.gpg Docker
  place 0644 /etc/apt/sources.list.d/berth-docker.list <<LIST
deb [arch=$(dpkg --print-architecture) signed-by=/usr/share/keyrings/berth-docker.gpg] https://download.docker.com/linux/$id $codename stable
LIST
fi
if [ -z "$version" ]; then
  unplace "$pin"
  apt_update
  return 0
fi
place 0644 "$pin" <<PIN
Package: docker-ce docker-ce-cli
Pin: version 5:$version-*
Pin-Priority: 1001
PIN
apt_update
candidate=$(apt-cache policy docker-ce | sed -n 's/^ *Candidate: //p')
if [[ $candidate != *:"$version"-* ]]; then
  fail "Docker's repository for $id $codename has no docker-ce $version; it has $(apt-cache madison docker-ce | awk '{ print $3 }' | sed 's/^[0-9]*://; s/-.*//' | sort -u -V | tail -n 8 | paste -s -d ' ')"
fi
