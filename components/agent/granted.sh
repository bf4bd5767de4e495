# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $logs $socket $before
# `granted_since`: a berthd has granted, could have, or has revoked or replaced a token since the ledger was copied. To
# go back to that copy would undo it. berthd is down while its ledger is copied, and its event log has a line whenever it
# begins to grant: the last such line tells. (/ready: for a log that cannot be written.) A ledger that a new version
# changed without ever being ready does not count: its copy is all that the one before can read.
# ---
last_grant() {
  cat -- "$logs/events.jsonl.1" "$logs/events.jsonl" 2>/dev/null |
    grep -a -E '^\{"seq":[0-9]+,"event":"(ledger-open|granted|token-revoked|token-rotated)"' | tail -n 1 || true
}
grants() { curl -f -s -S -o /dev/null --max-time 5 --unix-socket "$socket" http://berthd/ready; }
granted_since() {
  if [ ! -d "$before/ledger" ]; then return 1; fi
  if grants 2>/dev/null; then return 0; fi
  [ "$(last_grant)" != "$(cat -- "$before/ledger/last-grant" 2>/dev/null)" ]
}
