# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $drop_in $work
# What will change, in words; needs `will`, and what the step before left in $work. Needs sshd-look.sh.
# ---
if [ ! -e "$drop_in" ]; then
  text="adds $drop_in: no password login"
  effective 2>/dev/null >"$work/sshd-now" || true
  if grep -q -i -x -e 'passwordauthentication yes' "$work/sshd-now"; then
    text="$text (today passwords are taken: make sure that everybody has a key)"
  fi
  if [ -e "$work/sshd-text" ]; then
    while read -r key value _; do
      now=$(awk -v key="$key" 'tolower($1) == tolower(key) {print $2}' "$work/sshd-now")
      case $key in
        '#'* | PasswordAuthentication | MACs) continue ;;
        KexAlgorithms) text="$text; no SSH client older than OpenSSH 6.5"; continue ;;
      esac
      if [ -n "$now" ] && [ "$now" != "$value" ]; then text="$text; $key $value (now $now)"; fi
    done <"$work/sshd-text"
  fi
  will "$text"
fi
if [ -e "$work/sshd" ]; then
  sed -n 's/^\(except\|own\) [a-z]* /leaves a line of sshd as it is: /p' "$work/sshd" >>"$work/will"
fi
