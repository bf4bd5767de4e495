# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $guard $folders $work
# What people write loses what it could do for others; and dockerd waits for that and for the firewall. Needs a
# prologue that sets guard (the program's path) and folders.
# ---
if [ ! -e "$guard" ]; then
  text='mounts what people write nosuid and nodev, at each start before Docker: programs there run with the rights of who calls them alone (no setuid bit, no capabilities of files), and device files stand for nothing'
  for path in "${folders[@]}"; do
    if [ -d "$path" ]; then printf '%s\n' "$path"; fi
  done >"$work/guard"
  if [ -s "$work/guard" ]; then text="$text. There already: $(paste -s -d ' ' -- "$work/guard")"; fi
  will "$text"
  if command -v dockerd >/dev/null; then
    will "adds to docker.service, in /etc/systemd/system/docker.service.d, that the rules for published ports and that guard come first: where they cannot be had, dockerd does not start"
  fi
fi
