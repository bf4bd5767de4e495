/**
 * What is done on the node with root's rights among files that tenants write. The scripts are files, since systemd puts values of its own
 * where a dollar stands in an argument. None of the programs follows a link among those files, nor one that is put in a folder's place
 * meanwhile: GNU tar, find, du and rm go from folder to folder by open handles.
 */

/** Exit codes of these scripts that mean something. */
export const ENDS = {
  notShared: 10,
  noOverlay: 11,
  tooManyBytes: 20,
  tooManyEntries: 21,
  changed: 22,
} as const;

/** When whoever started a script closes its standard input, or is gone, the script is killed with all that it started. */
const HEAD = `set -euo pipefail
{ cat >/dev/null; kill -KILL 0; } <&0 >/dev/null 2>&1 &
exec </dev/null
umask 022
`;

const MOUNT = `mount -t overlay berth-packages -o "nosuid,nodev,redirect_dir=on,lowerdir=$1,upperdir=$2,workdir=$3" "$4"`;

/** FOLDER: whether mounts in it reach containers, and overlays can be had on its disk. A folder in it must be able to change its name. */
const PROBE = `${HEAD}case $(findmnt --noheadings --output PROPAGATION --target "$1") in
*shared*) ;;
*) exit ${ENDS.notShared} ;;
esac
probe=$1/probe
if mountpoint --quiet "$probe/merged"; then umount "$probe/merged"; fi
rm -rf --one-file-system -- "$probe"
mkdir -p "$probe/lower/a" "$probe/upper" "$probe/work" "$probe/merged"
set -- "$probe/lower" "$probe/upper" "$probe/work" "$probe/merged"
ends=0
if ${MOUNT}; then
  # mv would copy where a folder cannot be renamed.
  perl -e 'rename $ARGV[0], $ARGV[1] or die "a folder below cannot be renamed: $!\\n"' "$4/a" "$4/b" || ends=${ENDS.noOverlay}
  umount "$4"
else
  ends=${ENDS.noOverlay}
fi
rm -rf --one-file-system -- "$probe"
exit "$ends"
`;

/** LOWER UPPER WORK TARGET: nothing where something is mounted there already. */
const ATTACH = `${HEAD}if mountpoint --quiet "$4"; then exit 0; fi
if [ ! -d "$2" ]; then mkdir -m 777 "$2"; fi
mkdir -p "$3"
${MOUNT}
`;

/** TREE ASIDE TARGET, where overlays cannot be had. A name in TARGET is made by a rename, whatever somebody put there before. */
const FILL = `${HEAD}renice -n 10 $$ >/dev/null
rm -rf --one-file-system -- "$2"
mkdir "$2"
cp -a --reflink=auto -- "$1/." "$2"
find "$2" -mindepth 1 -maxdepth 1 -exec mv -t "$3" -- {} +
rm -rf --one-file-system -- "$2"
`;

/** TARGET FOLDER: takes the container's folder away. Prints \`lazy\` where somebody still works in it. */
const DETACH = `${HEAD}while mountpoint --quiet "$1"; do
  if ! umount "$1"; then umount --lazy "$1"; echo lazy; fi
done
rm -rf --one-file-system -- "$2"
`;

/**
 * SOURCE TREE BYTES ENTRIES: copies files, folders and links, as whose they are, without setuid bits and capabilities: an
 * account that is not root's has to be able to change them in the next container. Prints the bytes on the disk and the number of
 * entries, when both are on the disk for good.
 */
const COPY = `${HEAD}renice -n 10 $$ >/dev/null
source=$1 tree=$2 bytes=$3 entries=$4
mkdir "$tree"
at_most_bytes() {
  head -c "$bytes" || return
  [ "$(head -c 1 | wc -c)" = 0 ] || return ${ENDS.tooManyBytes}
}
at_most_entries() {
  local count
  count=$(head -n "$((entries + 1))" | wc -l)
  [ "$count" -le "$entries" ] || return ${ENDS.tooManyEntries}
  echo "$count" >&3
}
set +e
{
  tar --create --directory="$source" --hard-dereference --numeric-owner --mode=ug-s,o-t . |
    at_most_bytes |
    tar --extract --verbose --directory="$tree" --preserve-permissions --numeric-owner |
    at_most_entries
  ends=("\${PIPESTATUS[@]}")
} 3>"$tree.entries"
set -e
if [ "\${ends[3]}" != 0 ]; then exit "\${ends[3]}"; fi
if [ "\${ends[1]}" != 0 ]; then exit "\${ends[1]}"; fi
if [ "\${ends[0]}" = 1 ]; then exit ${ENDS.changed}; fi
if [ "\${ends[0]}\${ends[2]}" != 00 ]; then exit 1; fi
find "$tree" ! -type f ! -type d ! -type l -delete
sync -f "$tree"
echo "$(du -s --block-size=1 "$tree" | cut -f 1) $(cat "$tree.entries")"
rm -- "$tree.entries"
`;

/** FOLDER… */
const REMOVE = `${HEAD}rm -rf --one-file-system -- "$@"
`;

export const SCRIPTS = {
  probe: PROBE,
  attach: ATTACH,
  fill: FILL,
  detach: DETACH,
  copy: COPY,
  remove: REMOVE,
};
