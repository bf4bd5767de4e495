# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $drop_in
# Berth's part is judged before it is placed, and tested before sshd reads it; where that fails, what was there before
# is there again. A Match block of the operator's stays: the fact `sshdExceptions` tells what it lets through. Needs
# sshd-look.sh.
# ---
before=$work/sshd-before
was_pending=no
install -d -m 0755 /run/sshd
if ! sshd -t; then fail 'sshd refuses its configuration as it is, without any change of Berth: mend that first'; fi
look_at_sshd
if grep -e '^problem ' "$work/sshd"; then fail 'nothing of sshd was changed: see above'; fi
sed -n 's/^own [a-z]* /left as it is: /p' "$work/sshd"
sed -n 's/^except [a-z]* //p' "$work/sshd" | tee "$work/sshd-exceptions"
fact_json sshdExceptions "$(json_lines <"$work/sshd-exceptions")"
if pending sshd; then was_pending=yes; fi
if [ -f "$drop_in" ]; then cp -p -- "$drop_in" "$before"; fi
back() {
  if [ -f "$before" ]; then mv -f -- "$before" "$drop_in"; else rm -f -- "$drop_in"; fi
  if [ "$was_pending" = no ]; then settled sshd; fi
  fail "$1: $drop_in is as it was, and nothing was reloaded"
}
place 0644 "$drop_in" sshd <"$work/sshd-text"
if ! sshd -t; then back "sshd refuses its configuration with $drop_in"; fi
if ! effective >"$work/sshd-effective"; then back 'sshd does not tell what it would use'; fi
for want in 'passwordauthentication no' 'kbdinteractiveauthentication no' 'maxsessions [0-9]*'; do
  if ! grep -q -x -e "$want" "$work/sshd-effective" && ! grep -q -e "^except ${want%% *} " "$work/sshd"; then
    back "sshd would use '$(grep -e "^${want%% *} " "$work/sshd-effective" || true)', and '$want' is wanted"
  fi
done
if pending sshd; then
  # Ubuntu starts ssh by its socket: then there may be nothing to reload.
  systemctl try-reload-or-restart ssh.service
  settled sshd
fi
