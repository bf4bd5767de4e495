# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $state $work $homes $limits
# Needs a prologue that sets homes (their folder) and limits (USER UID SOFT HARD of each user, in KiB).
# ---
records=$state/storage
touch -- "$records/projects"
: >"$work/projects"
: >"$work/quotas"
where_is() {
  source=$(findmnt -n -v -o SOURCE -T "$1" | tail -n 1)
  type=$(findmnt -n -v -o FSTYPE -T "$1" | tail -n 1)
  mount=$(findmnt -n -v -o TARGET -T "$1" | tail -n 1)
}
limits_of() {
  case $type in
    xfs) xfs_quota -x -c 'report -p -b -n -N' "$mount" | awk -v id="#$1" '$1 == id {print $3, $4}' ;;
    ext4) repquota -P -n "$source" | awk -v id="#$1" '$1 == id {print $4, $5}' ;;
  esac
}
# UID SOFT HARD, in KiB; 0 is no limit.
set_limits() {
  local now
  now=$(limits_of "$1")
  if [ "${now:-0 0}" = "$2 $3" ]; then return 0; fi
  case $type in
    xfs) xfs_quota -x -c "limit -p bsoft=$2k bhard=$3k $1" "$mount" ;;
    ext4) setquota -P "$1" "$2" "$3" 0 0 "$source" ;;
  esac
  now=$(limits_of "$1")
  if [ "${now:-0 0}" != "$2 $3" ]; then fail "$source: the limits of project $1 are ${now:-none} KiB and should be $2 $3"; fi
  changed "limits of project $1: $2 $3 KiB"
}
# DIRECTORY UID FLAG: all that is in it belongs to the project (+P), or to none (uid 0, -P).
mark() {
  local dir=$1 id=$2 flag=$3 have
  have=$(lsattr -p -d "$dir" | awk '{print $1, ($2 ~ /P/) ? "+P" : "-P"}')
  if [ "$have" = "$id $flag" ] && [ ! -e "$records/marking-$id" ]; then return 0; fi
  # The top goes first, so that what is made meanwhile inherits; the mark makes a cut run start over.
  : >"$records/marking-$id"
  find "$dir" -xdev -type d -exec chattr "$flag" -p "$id" {} +
  find "$dir" -xdev -type f -exec chattr -p "$id" {} +
  rm -f -- "$records/marking-$id"
  changed "project $id on $dir"
}
# USER UID SOFT HARD
limited() {
  local home=$homes/$1
  if [ -L "$home" ]; then fail "$home is a link; limits need a directory of its own"; fi
  if [ ! -d "$home" ]; then
    install -d -m 0700 -o "$2" -g "$2" -- "$home"
    changed "$home"
  fi
  where_is "$home"
  case $type in
    xfs | ext4) ;;
    *) fail "$home is on $type, which has no project quotas: give the homes a device with ext4 or xfs, or take the quotas out" ;;
  esac
  if ! findmnt -n -o OPTIONS -T "$home" | tail -n 1 | tr , '\n' | grep -q -x -E 'prjquota|pquota'; then
    fail "$home is on $source ($mount), which is mounted without prjquota. Declare that device in storage.devices, or mount it with prjquota yourself"
  fi
  mark "$home" "$2" +P
  set_limits "$2" "$3" "$4"
  printf '%s %s\n' "$2" "$home" >>"$work/projects"
  # Facts are in bytes, like all of Berth's.
  printf '{"user":%s,"softBytes":%s,"hardBytes":%s}\n' "$(json_string "$1")" "$(($3 * 1024))" "$(($4 * 1024))" >>"$work/quotas"
}
for ((i = 0; i < ${#limits[@]}; i += 4)); do limited "${limits[@]:i:4}"; done
while read -r id home; do
  if grep -q -e "^$id " -- "$work/projects" || [ ! -d "$home" ]; then continue; fi
  where_is "$home"
  case $type in xfs | ext4) ;; *) continue ;; esac
  if findmnt -n -o OPTIONS -T "$home" | tail -n 1 | tr , '\n' | grep -q -x -E 'prjquota|pquota'; then set_limits "$id" 0 0; fi
  mark "$home" 0 -P
done <"$records/projects"
# Names for repquota and xfs_quota. Other people's lines stay.
names() {
  local file=$1 field=$2 text=$3
  touch -- "$file"
  awk -F: -v field="$field" 'FILENAME == ARGV[1] {split($0, part, " "); ours[part[1]] = 1; next} !($field in ours)' \
    <(cat -- "$records/projects" "$work/projects") "$file" >"$work/names"
  while read -r id home; do
    case $text in
      path) printf '%s:%s\n' "$id" "$home" ;;
      name) printf 'berth-%s:%s\n' "${home##*/}" "$id" ;;
    esac
  done <"$work/projects" >>"$work/names"
  if ! cmp -s -- "$work/names" "$file"; then place 0644 "$file" <"$work/names"; fi
}
if [ -s "$work/projects" ] || [ -s "$records/projects" ]; then
  names /etc/projects 1 path
  names /etc/projid 2 name
fi
if ! cmp -s -- "$work/projects" "$records/projects"; then place 0600 "$records/projects" <"$work/projects"; fi
fact_json quotas "[$(paste -s -d , -- "$work/quotas")]"
