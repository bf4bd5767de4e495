# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $altered $bound $folders
# Puts nosuid and nodev on the mounts of what people write, and takes them away again. Needs a prologue that sets
# folders (an array), bound and altered (files), and first, top, line and strict.
#
# `start`, at the machine's start and dockerd's: a folder that fstab names and that is not mounted, or one that is
# mounted when it is first used, without the options, is told of and is no failure. `on`: both are failures.
# `off [PATH]`: takes the binds at and below PATH away; without a PATH all of them, and gives mounts of others their
# options back. It runs any number of times, prints what it changed, and ends with 1 where a folder could not be
# guarded, or a bind not be taken away.
# ---
declare -A parent device root place options kind child

# Reads the list of mounts. By a mount's number: its parent's number, device, root, place, options and type.
look() {
  local id up number base at given rest
  parent=() device=() root=() place=() options=() kind=() child=()
  while read -r id up number base at given rest; do
    # The kernel writes blanks and the like as \ooo.
    printf -v base '%b' "${base//\\/\\0}"
    printf -v at '%b' "${at//\\/\\0}"
    rest=" $rest"
    rest=${rest#* - }
    parent[$id]=$up device[$id]=$number root[$id]=$base place[$id]=$at options[$id]=$given kind[$id]=${rest%% *}
    child["$up $at"]=$id
  done </proc/self/mountinfo
  for id in "${!place[@]}"; do
    if [ "${place[$id]}" = / ] && { [ -z "${place[${parent[$id]}]:-}" ] || [ "${parent[$id]}" = "$id" ]; }; then first=$id; fi
  done
}
# Sets `top`: the mount that a path without links lies on. A mount that another one hides is not found, as in the kernel.
lies_on() {
  local path='' part next rest=${1#/}/
  top=$first
  while next=${child["$top /"]:-} && [ -n "$next" ] && [ "$next" != "$top" ]; do top=$next; done
  while [ -n "$rest" ]; do
    part=${rest%%/*} rest=${rest#*/}
    path=$path/$part
    while next=${child["$top $path"]:-} && [ -n "$next" ]; do top=$next; done
  done
}
is_mounted() { lies_on "$1" && [ "${place[$top]}" = "$1" ]; }
# Prints where a folder really is; fails where there is none.
where() {
  local path=$1 holder
  if is_mounted "$path"; then
    printf '%s' "$path"
    return
  fi
  holder=$(realpath -q -e -- "$(dirname -- "$path")") || return 1
  path=${holder%/}/${path##*/}
  if is_mounted "$path"; then
    printf '%s' "$path"
  elif [ -d "$path" ]; then
    realpath -q -e -- "$path"
  else
    return 1
  fi
}
guarded() {
  case ,$1, in *,nosuid,*) ;; *) return 1 ;; esac
  case ,$1, in *,nodev,*) ;; *) return 1 ;; esac
}
# Is the mount a folder that is bound to itself: the same file system as the one it lies on, and the same folder of it?
self_bound() {
  local up=${parent[$1]} below wanted
  [ -n "${place[$up]:-}" ] && [ "${device[$up]}" = "${device[$1]}" ] || return 1
  below=${place[$1]#"${place[$up]%/}"}
  wanted=${root[$up]%/}$below
  [ "${root[$1]}" = "${wanted:-/}" ]
}

# Sets `line`: the options of the line in fstab for a place, with `auto` of one that systemd mounts when the machine starts.
has_line() {
  local at given
  while read -r _ at _ given _; do
    case $at in /*) ;; *) continue ;; esac
    printf -v at '%b' "${at//\\/\\0}"
    at=$(tr -s / <<<"$at/")
    if [ "${2:-}" = auto ]; then
      case ,$given, in *,noauto,*) continue ;; esac
    fi
    if [ "${at%/}" = "$1" ]; then
      line=$given
      return 0
    fi
  done < <(if [ -e /etc/fstab ]; then cat /etc/fstab; fi)
  return 1
}
# Whether each first use mounts something at the place anew, with options that nobody here has a say in; fstab's say them.
comes_bare() {
  local path
  lies_on "$1"
  if [ "${kind[$top]}" != autofs ]; then top=${parent[$top]}; fi
  [ "${kind[$top]:-}" = autofs ] && [ "${place[$top]}" = "$1" ] || return 1
  for path in "$@"; do
    if has_line "$path" && guarded "$line"; then return 1; fi
  done
}
# MOUNT SECONDS: adds the two options to those that the mount has; they are of the mount, not of its file system. With a
# source in the command nothing of fstab and of the present options counts (mount(8), "remount").
restrict() {
  local at=${place[$1]} given=${options[$1]//,idmapped/}
  if ! self_bound "$1" && ! grep -q -s -x -F -e "$given ${device[$1]} $at" -- "$altered"; then
    printf '%s %s %s\n' "$given" "${device[$1]}" "$at" >>"$altered"
  fi
  timeout -k 1 "$2" mount -o "remount,bind,$given,nosuid,nodev" -- none "$at" && printf 'guarded %s\n' "$at"
}
# A folder as it was given, and where it really is.
guard() {
  local given=$1 folder=$2 rc=0 id
  if comes_bare "$folder" "$given"; then
    printf '%s is not guarded: it is mounted when it is first used. Add nosuid,nodev to its line in /etc/fstab, or to its map of autofs\n' "$folder" >&2
    rc=$strict
  fi
  lies_on "$folder"
  if [ "${kind[$top]}" = autofs ] && [ "${place[$top]}" = "$folder" ]; then return "$rc"; fi
  if [ "${place[$top]}" != "$folder" ] && ! guarded "${options[$top]}"; then
    for id in "$given" "$folder"; do
      # It takes any mount there for that one.
      if has_line "$id" auto; then
        printf '%s is not guarded: /etc/fstab mounts something there, and it is not mounted. Mount it: mount %s\n' "$folder" "$id" >&2
        return "$strict"
      fi
    done
    # Known before it is bound: a run that is cut here has still bound it. With what is mounted below, else hidden.
    printf '%s\n' "$folder" >>"$bound" || return 1
    mount --rbind -- "$folder" "$folder"
    look
  fi
  for id in "${!place[@]}"; do
    case ${place[$id]}/ in "$folder"/*) ;; *) continue ;; esac
    if guarded "${options[$id]}" || [ "${kind[$id]}" = autofs ]; then continue; fi
    lies_on "${place[$id]}"
    if [ "$top" != "$id" ]; then continue; fi
    if [ "${place[$id]}" = "$folder" ]; then
      restrict "$id" 30
    else
      restrict "$id" 5 || printf '%s, of another one, does not take nosuid and nodev\n' "${place[$id]}" >&2
    fi
  done
  look
  lies_on "$folder"
  if ! guarded "${options[$top]}"; then
    printf '%s could not be mounted with nosuid and nodev\n' "$folder" >&2
    return 1
  fi
  return "$rc"
}
guard_all() {
  local folder real rc=0
  local -A wanted=()
  look
  for folder in "${folders[@]}"; do
    if real=$(where "$folder"); then wanted[$real]=$folder; fi
  done
  # Binds of folders that are asked for no more.
  if [ -e "$bound" ]; then
    while IFS= read -r folder; do
      if [ -z "${wanted[$folder]:-}" ]; then release "$folder" >/dev/null || true; fi
    done < <(tac -- "$bound")
    look
  fi
  for folder in "${folders[@]}"; do
    for real in "${!wanted[@]}"; do
      if [ "${wanted[$real]}" = "$folder" ]; then guard "$folder" "$real" || rc=1; fi
    done
  done
  return "$rc"
}

forget() {
  { grep -v -x -F -e "$1" -- "$bound" || true; } >"$bound.new"
  mv -f -T -- "$bound.new" "$bound"
}
# Takes the bind of a folder away, never another mount there.
release() {
  local at=$1 id below=no
  look
  if is_mounted "$at" && self_bound "$top"; then
    for id in "${!place[@]}"; do
      if [ "${parent[$id]}" != "$top" ]; then continue; fi
      below=yes
      # What was mounted below before the bind is there once more beneath it; what is not would be gone with the bind.
      if [ -z "${child["${parent[$top]} ${place[$id]}"]:-}" ]; then
        printf '%s stays bound to itself: %s is mounted on it\n' "$at" "${place[$id]}" >&2
        return 1
      fi
    done
    if [ "$below" = no ]; then
      umount -- "$at" || return 1
    else
      # All copies of one bind at once, or none: and what they are copies of stays.
      mount --make-rprivate -- "$at" && umount --lazy -- "$at" || return 1
    fi
    printf 'released %s\n' "$at"
    look
  fi
  for id in "${!place[@]}"; do
    # It lies below another mount, and comes to light when that one goes.
    if [ "${place[$id]}" = "$at" ] && self_bound "$id"; then return 0; fi
  done
  forget "$at"
}
# Mounts of others get the options back that they had.
give_back() {
  local given number at rc=0
  if [ ! -e "$altered" ]; then return 0; fi
  look
  while read -r given number at; do
    if ! is_mounted "$at" || [ "${device[$top]}" != "$number" ] || ! guarded "${options[$top]}"; then continue; fi
    case ,$given, in *,nosuid,*) ;; *) given=$given,suid ;; esac
    case ,$given, in *,nodev,*) ;; *) given=$given,dev ;; esac
    if timeout -k 1 5 mount -o "remount,bind,$given" -- none "$at"; then printf 'given back %s\n' "$at"; else rc=1; fi
  done <"$altered"
  if [ "$rc" = 0 ]; then rm -f -- "$altered"; fi
  return "$rc"
}
# Every one that can go goes, whatever becomes of the others.
off() {
  local at rc=0
  if [ -e "$bound" ]; then
    while IFS= read -r at; do
      case $at/ in "${1:-}"/*) release "$at" || rc=1 ;; esac
    done < <(tac -- "$bound")
  fi
  if [ -z "${1:-}" ]; then give_back || rc=1; fi
  return "$rc"
}

exec 9>>"$bound.lock"
flock -w 30 9
case ${1:-} in
  start) guard_all ;;
  on)
    strict=1
    guard_all
    ;;
  off) off "${2:-}" ;;
  *)
    echo "usage: ${0##*/} start | on | off [PATH]" >&2
    exit 2
    ;;
esac
