# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $login_name $login_where
# shellcheck disable=SC2034 # read after it: $login_problem
# Sets `login_problem`: empty, or what is wrong with the login and how it is mended. Needs no library. Needs a
# prologue that sets login_name, and login_where (the option, for messages).
# ---
login_problem=
if ! entry=$(getent passwd "$login_name"); then
  there=$(getent passwd | awk -F : '$3 == 0 || ($3 >= 1000 && $3 < 60000) {print $1}' | paste -s -d ' ')
  login_problem="$login_where names the login $login_name, and there is none here. Make it (adduser $login_name), or name one of: $there"
else
  case ${entry##*[:/]} in
    bash | sh | dash | ksh) ;;
    *) login_problem="$login_where names the login $login_name, whose shell reads no /etc/profile: ${entry##*:}. Allowed: bash, sh, dash, ksh (chsh -s /bin/bash $login_name)" ;;
  esac
fi
