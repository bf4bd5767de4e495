# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $guard $state
# A bound directory shares its file system with whatever else is on it, so what else uses that says nothing about the
# bind: the kernel says whether it is in use.
# ---
# What does not go is tried again below.
if [ -x "$guard" ]; then "$guard" off || true; fi
if [ ! -f "$state/storage/mounts" ]; then return 0; fi
while read -r _ target type _ whose; do
  if [ "$type $whose" = 'none ours' ] && mountpoint -q -- "$target"; then
    if umount -- "$target"; then changed "unmounted $target"; fi
  fi
done < <(tac -- "$state/storage/mounts")
