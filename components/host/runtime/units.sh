# shellcheck shell=bash
# `reload_units`: when `place FILE units` changed one, in this run or one that was cut. `enabled UNIT`: at every
# start, where a unit of others does not see to that itself.
# ---
reload_units() {
  if ! pending units; then return 0; fi
  systemctl daemon-reload
  settled units
}
enabled() {
  case $(systemctl is-enabled "$1" 2>/dev/null || true) in
    enabled* | static | indirect | generated | alias) ;;
    *)
      systemctl enable -q "$1"
      changed "$1 enabled"
      ;;
  esac
}
