# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $programs $version $sockets $users $before
# Older versions, and the folders of those who have left the node.
# ---
for folder in "$programs"/*; do
  if [ -L "$folder" ] || [ ! -d "$folder" ] || [ "${folder##*/}" = "$version" ]; then continue; fi
  rm -rf -- "$folder"
  changed "$folder"
done
for folder in "$sockets"/*; do
  [ -d "$folder" ] || continue
  if ! printf '%s\n' "${users[@]}" | grep -q -x -F -e "${folder##*/}"; then
    rm -rf -- "$folder"
    changed "$folder"
  fi
done
rm -rf -- "$before"
