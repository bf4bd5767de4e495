# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $before $managed $programs
# What there is to go back to; kept as it is while a run before this one has not ended well and nothing was granted
# since. `version` is the last to be written and the first to go: with it the rest is whole.
# ---
if pending berthd && [ -s "$before/version" ]; then
  if ! granted_since; then return 0; fi
elif ! systemctl is-active -q berthd.service; then
  rm -rf -- "$before"
  return 0
fi
rm -f -- "$before/version"
rm -rf -- "$before"
install -d -m 0700 -- "$before" "$before/files"
for file in "${managed[@]}"; do
  if [ -e "$file" ]; then cp -p -- "$file" "$before/files/${file//\//_}"; fi
done
if grants 2>/dev/null; then : >"$before/ready"; fi
readlink -- "$programs/current" >"$before/version"
