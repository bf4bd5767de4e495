# shellcheck shell=bash
# `filesystem_bytes DEVICE TYPE [MOUNT]`: the size that the file system takes, mounted there or not.
# ---
filesystem_bytes() {
  case $2 in
    ext4) dumpe2fs -h "$1" 2>/dev/null | awk -F: '/^Block count/ {n = $2} /^Block size/ {s = $2} END {printf "%.0f", n * s}' ;;
    xfs)
      if [ -n "${3:-}" ]; then
        xfs_info "$3" | sed -n 's/^data .*bsize=\([0-9]*\) *blocks=\([0-9]*\),.*/\1 \2/p' | awk '{printf "%.0f", $1 * $2}'
      else
        xfs_db -r -c 'sb 0' -c 'print dblocks blocksize' "$1" | awk '{n[NR] = $3} END {printf "%.0f", n[1] * n[2]}'
      fi
      ;;
  esac
}
