# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $directories $work
# What the stage `storage` will make. Needs a prologue that sets directories.
# ---
for path in "${directories[@]}"; do
  if [ ! -d "$path" ]; then printf '%s\n' "$path"; fi
done >"$work/make"
if [ -s "$work/make" ]; then will "makes directories: $(paste -s -d ' ' -- "$work/make")"; fi
