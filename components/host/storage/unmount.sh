# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $records
# Last, when nothing of this stage holds them any more. What is in use stays, and is tried again by the next run.
# ---
: >"$work/left"
: >"$work/mounts"
# A file system that moves is mounted twice for a moment. A bind that stays is a user like any other.
awk '$3 != "none" {print $2}' "$work/wanted" >"$work/passing"
awk 'FILENAME == ARGV[1] {wanted[$2] = 1; next} !($2 in wanted) {print $2}' "$work/wanted" "$records/mounts" >>"$work/passing"
while read -r source target type options whose; do
  if awk -v t="$target" '$2 == t {found = 1} END {exit !found}' "$work/wanted"; then
    printf '%s %s %s %s %s\n' "$source" "$target" "$type" "$options" "$whose" >>"$work/mounts"
    continue
  fi
  if [ "$whose" != ours ] || ! mounted "$target"; then continue; fi
  users=$(users_of "$target" "$type" | sed -n 1,5p | paste -s -d ';')
  if [ -z "$users" ] && unguard "$target" && umount -- "$target"; then
    changed "unmounted $target"
  else
    printf '%s stays mounted: it is in use. %s\n' "$target" "$users"
    printf '%s\n' "$target" >>"$work/left"
    printf '%s %s %s %s %s\n' "$source" "$target" "$type" "$options" "$whose" >>"$work/mounts"
  fi
done < <(tac -- "$records/mounts")
LC_ALL=C sort -k 2,2 -o "$work/mounts" -- "$work/mounts"
if ! cmp -s -- "$work/mounts" <(LC_ALL=C sort -k 2,2 -- "$records/mounts"); then
  cp -- "$work/mounts" "$records/mounts.new"
  sync -- "$records/mounts.new"
  mv -f -T -- "$records/mounts.new" "$records/mounts"
fi
fact_json leftMounted "$(json_lines <"$work/left")"
