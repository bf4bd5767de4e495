# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $programs $version $state $socket $before $ledger $work $managed
# The new one has to answer, and to be ready if the one before was: else that one runs again with its files, and its
# ledger where the version changed. A ledger that a newer version has touched is none that an older one reads. Nothing
# that people hold is undone: a copy from before the last grant is replaced by a new one first, see granted.sh.
# ---
have=$(readlink -- "$programs/current" || true)
if [ "$have" = "$version" ] && ! pending berthd && systemctl is-active -q berthd.service; then return 0; fi
: >"$state/pending/berthd"
turn() {
  ln -s -f -n -- "$1" "$programs/.current-new"
  mv -f -T -- "$programs/.current-new" "$programs/current"
  sync -- "$programs"
}
copy_ledger() {
  local file
  for file in "$1"/ledger.db*; do
    if [ -e "$file" ]; then cp -p -- "$file" "$2/"; fi
  done
}
# shellcheck disable=SC2317 # called by wait_for
answers() { curl -s -o /dev/null --max-time 5 --unix-socket "$socket" http://berthd/health; }
come_up() {
  local pid
  systemctl daemon-reload || return 1
  systemctl enable -q berthd.service || return 1
  # A start that failed a moment ago counts against those that systemd allows.
  systemctl reset-failed berthd.service 2>/dev/null || true
  systemctl restart berthd.service || return 1
  pid=$(systemctl show -p MainPID --value berthd.service)
  (wait_for 30 'berthd answers' answers) || return 1
  if [ "$1" = ready ]; then
    (wait_for 60 'berthd is ready, as it was before' grants) || return 1
  else
    (wait_for 20 'berthd is ready' grants) || true
  fi
  if [ "$(systemctl show -p MainPID --value berthd.service)" != "$pid" ]; then
    printf 'berthd ended and was started again\n'
    return 1
  fi
}
# With a way back also one that systemd is about to start again: it must not write while the ledger is copied.
if [ "$have" != "$version" ] && { [ -d "$before" ] || systemctl is-active -q berthd.service; }; then
  systemctl stop berthd.service
fi
# It became ready after SAVE had looked. The version first: a run that is cut in between saves afresh.
if granted_since; then
  printf '%s\n' "$have" >"$before/version"
  rm -rf -- "$before/ledger"
fi
if [ "$have" != "$version" ]; then
  if [ -d "$before" ] && [ ! -d "$before/ledger" ]; then
    # Half a copy: its log must not lie beside a later database.
    rm -rf -- "$before/ledger.new"
    install -d -m 0700 -- "$before/ledger.new"
    copy_ledger "$ledger" "$before/ledger.new"
    last_grant >"$before/ledger.new/last-grant"
    find "$before/ledger.new" -type f -exec sync -- {} +
    mv -T -- "$before/ledger.new" "$before/ledger"
  fi
  turn "$version"
fi
since=$(date +%s)
wanted=any
if [ -e "$before/ready" ]; then wanted=ready; fi
rm -f -- "$state/agent-asked"
if come_up "$wanted"; then
  changed 'berthd started'
  settled berthd
  return 0
fi
said() { journalctl -u berthd.service --since "@$since" -n 12 --no-pager -o cat; }
last=$(cat -- "$before/version" 2>/dev/null || true)
if [ -z "$last" ] || [ ! -d "$programs/$last" ]; then
  systemctl stop berthd.service || true
  said
  fail "berthd $version does not come up: its last lines are above, all of them in journalctl -u berthd.service"
fi
said >"$work/said"
systemctl stop berthd.service || true
# From here on the copy counts, also for a run after a cut, whatever the new one granted before it failed.
if [ -d "$before/ledger" ]; then
  last_grant >"$before/last-grant"
  mv -f -T -- "$before/last-grant" "$before/ledger/last-grant"
fi
for file in "${managed[@]}"; do
  saved=$before/files/${file//\//_}
  if [ -e "$saved" ]; then
    cp -p -- "$saved" "$file.berth-new"
    mv -f -T -- "$file.berth-new" "$file"
  else
    rm -f -- "$file"
  fi
done
stand_ins "$last"
if [ -d "$before/ledger" ]; then
  rm -f -- "$ledger"/ledger.db*
  copy_ledger "$before/ledger" "$ledger"
fi
turn "$last"
if come_up "$wanted"; then
  settled berthd
  cat -- "$work/said"
  fail "berthd $version does not come up: its last lines are above. The one before, $last, runs again with its own files and ledger"
fi
cat -- "$work/said"
fail "berthd $version does not come up, and $last, which ran before, does not either: see journalctl -u berthd.service"
