# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $folders
# Needs a prologue that sets folders.
# ---
for folder in "${folders[@]}"; do
  if [ -e "$folder" ]; then
    rm -rf --one-file-system -- "$folder"
    changed "$folder"
  fi
done
