# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $state
# `before KEY` prints a value, `before_file KEY` the content of a file; `has_before` tells whether there is a record.
# ---
record=$state/before.json
# shellcheck disable=SC2317,SC2329 # not every step calls each
has_before() { [ -s "$record" ]; }
before() { [ ! -s "$record" ] || sed -n "s/^\"$1\":\"\(.*\)\",\{0,1\}$/\1/p" "$record"; }
# shellcheck disable=SC2317,SC2329
before_file() { before "$1" | base64 -d; }
