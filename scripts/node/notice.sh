# shellcheck shell=sh
# Runs in a workspace as root: the text comes on standard input, and $1 says what becomes of it at the next logins. A terminal
# that takes nothing (stopped with Ctrl-S) is left after 2 s. Prints to how many it went.
# ---
# Read by pam_motd at each login over SSH.
file=/etc/motd.d/50-berth-node
text=$(cat)
case $1 in
place)
  mkdir -p /etc/motd.d
  printf '\n%s\n\n' "$text" >$file.new && chmod 0644 $file.new && mv -f $file.new $file ;;
remove) rm -f $file ;;
esac
told=0
for terminal in /dev/pts/[0-9]*; do
  if [ -c "$terminal" ] && { printf '\r\n\a'; printf '%s\n' "$text" | sed 's/$/\r/'; printf '\r\n'; } |
    timeout 2 tee "$terminal" >/dev/null 2>&1; then told=$((told + 1)); fi
done
echo "$told"
