# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $guard $work $folders $drop_in
# Guards the tree now and at each start. Reads $work/released where the steps for mounts left it: what was taken away
# for a moment, and is put back, is no change. Needs a prologue that sets folders, guard and drop_in (paths), and writes
# the program and its unit files, with @AFTER@ for the units' names, to $work.
# ---
place 0755 "$guard" <"$work/guard-program"
# The unit of a mount is named after where it really is (systemd.unit(5), "String Escaping").
holders() {
  local folder path
  for folder in "${folders[@]}"; do
    for path in "$folder" "$(timeout -k 1 5 realpath -m -- "$folder")"; do
      while [ -n "$path" ]; do
        printf '%s\n' "$path"
        path=${path%/*}
      done
    done
  done | LC_ALL=C sort -u
}
mapfile -t holders < <(holders)
after=$(systemd-escape -p --suffix=mount -- "${holders[@]}")
after_units() { sed "s|@AFTER@|${after//\\/\\\\}|"; }
after_units <"$work/guard-unit" >"$work/unit"
place 0644 /etc/systemd/system/berth-storage.service storage-unit <"$work/unit"
after_units <"$work/guard-drop-in" >"$work/unit"
place 0644 "$drop_in" storage-unit <"$work/unit"
if pending storage-unit; then
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl enable -q berth-storage.service
  fi
  settled storage-unit
fi
"$guard" on >"$work/guarded" || fail "what people write could not be mounted with nosuid and nodev: see the lines above"
while IFS= read -r line; do
  if ! grep -q -s -x -F -e "released ${line#guarded }" -- "$work/released"; then changed "$line"; fi
done <"$work/guarded"
