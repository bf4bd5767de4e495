# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work
# What stands in the way. Without Python nothing is said here: the stage `base` looks before it changes sshd. Needs
# sshd-look.sh.
# ---
if ! command -v python3 >/dev/null || [ ! -e /etc/ssh/sshd_config ]; then return 0; fi
look_at_sshd
sed -n 's/^problem //p' "$work/sshd" >>"$work/problems"
