# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $records
# Needs mounts.sh, and a prologue that sets modes_below and source_modes (associative arrays).
# ---
# What a folder is once more when its mount goes.
mode_below() { printf %s "${modes_below[$1]:-0755}"; }
source_mode() { printf %s "${source_modes[$1]:-}"; }
: >"$work/wanted"
: >"$work/passing"
touch -- "$records/mounts"
want() { printf '%s %s %s %s\n' "$@" >>"$work/wanted"; }
: >"$work/devices"
