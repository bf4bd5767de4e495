# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work
# What the guard could not guard, each with how to mend it: the guard itself, where nobody sees it, in a mount
# namespace with a /run of its own (unshare(1)). Nothing of the server changes. What is missing yet is made and
# guarded by the stage. Needs the guard's program at $work/guard-trial.
# ---
alone() { timeout -k 5 100 unshare -m --propagation private bash -c "mount -t tmpfs none /run && exec bash -c \"\$1\" guard on" bash "$(cat -- "$work/guard-trial")"; }
if ! alone >/dev/null 2>"$work/guard-said"; then
  grep -e ' is not guarded: ' -e ' could not be mounted with ' "$work/guard-said" >"$work/unguarded" || true
  while IFS= read -r line; do
    problem "what people write has to be mounted nosuid and nodev. $line"
  done <"$work/unguarded"
  if [ ! -s "$work/unguarded" ]; then
    problem "what people write cannot be mounted nosuid and nodev here, by a trial that nobody else saw: $(tail -n 2 -- "$work/guard-said" | paste -s -d ' ')"
  fi
fi
