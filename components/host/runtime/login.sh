# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $name $state $record
# Lets the login at Docker, and notes that. Needs a prologue that sets name and record (a file of the state).
# ---
if id -nG "$name" | tr ' ' '\n' | grep -q -x docker; then return 0; fi
usermod -a -G docker "$name"
printf '%s\n' "$name" >"$state/$record"
changed "group docker of $name"
