# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $drop_in
# `effective`: what sshd would use for a connection. Every attribute that a Match block may ask for is given, since
# sshd ends with an error over one that is missing. `look_at_sshd` fills $work/sshd with the lines of sshd.py, and
# $work/sshd-text, the text of Berth's part, less what others have chosen. Needs sshd.py and sshd-wanted (the whole
# text) in $work, and a prologue that sets drop_in.
# ---
effective() { sshd -T -C user=root,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22,rdomain=; }
look_at_sshd() {
  cp -- "$work/sshd-wanted" "$work/sshd-text"
  python3 "$work/sshd.py" /etc/ssh/sshd_config "$drop_in" "$work/sshd-text" >"$work/sshd"
  while read -r kind keyword _; do
    if [ "$kind" = own ]; then sed -i "/^$keyword /Id" "$work/sshd-text"; fi
  done <"$work/sshd"
  sed -n 's/^add //p' "$work/sshd" >>"$work/sshd-text"
}
