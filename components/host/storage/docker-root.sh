# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work
# `holds_docker PLACE`: are Docker's images and volumes at or below it, or is it a part of them? Their programs run as
# their owners, which `nosuid` would end. A dockerd that runs is asked; else the file says where they are, or nothing
# does and it is /var/lib/docker (docs.docker.com/reference/cli/dockerd, "data-root").
# ---
docker_root=
if command -v dockerd >/dev/null; then
  if systemctl is-active -q docker.service; then
    docker_root=$(timeout 20 docker info -f '{{.DockerRootDir}}' 2>/dev/null || true)
  fi
  if [ -z "$docker_root" ] && [ -e /etc/docker/daemon.json ]; then
    docker_root=$(python3 "$work/data-root.py")
  fi
fi
docker_root=${docker_root:-/var/lib/docker}
holds_docker() {
  case $docker_root/ in "$1"/*) return 0 ;; esac
  case $1/ in "$docker_root"/*) return 0 ;; esac
  return 1
}
# FOLDER: what people write is mounted nosuid and nodev, also where it really lies.
not_dockers() {
  if holds_docker "$1"; then
    fail "storage.bind: $1 and Docker's own data, $docker_root, are one in the other, and that must not be mounted nosuid and nodev as what people write is: give it a folder of its own, such as $1/people"
  fi
}
# WHERE PLACE TYPE OPTIONS: a file system on a device that the step before has found or made.
want_device() {
  local device given=$4
  device=$(awk -v where="$1" '$1 == where {print $2}' "$work/places")
  printf '%s %s\n' "$2" "$device" >>"$work/devices"
  if holds_docker "$2"; then given=${given/,"$guard_options"/}; fi
  want "UUID=$(blkid -p -s UUID -o value -- "$device")" "$2" "$3" "$given"
}
