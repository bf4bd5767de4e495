# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $directories
# Only empty directories go, and only those that were not there before; without a record none does. Needs
# before-reader.sh, and a prologue that sets directories, children before their parents.
# ---
before_file directories >"$work/existing"
: >"$work/kept"
for path in "${directories[@]}"; do
  if [ ! -d "$path" ] || [ -L "$path" ]; then continue; fi
  if grep -q -x -F -e "$path" -- "$work/existing"; then continue; fi
  if has_before && [ "$(stat -c '%u %g' -- "$path")" = '0 0' ] && ! mountpoint -q -- "$path" && rmdir -- "$path" 2>/dev/null; then
    changed "$path"
  else
    printf '%s on %s\n' "$path" "$(findmnt -n -o SOURCE -T "$path" | tail -n 1)" >>"$work/kept"
  fi
done
fact_json kept "$(sort -- "$work/kept" | json_lines)"
