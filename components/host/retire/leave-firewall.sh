# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $chains $state $others_rule $ssh_port $work
# The firewall as it was before Berth: last of all that could be reached, when nothing of Berth's is left to reach.
#
# ufw is switched off before its rules go, where it was off before; where it stays on, the operator's own rules must
# let SSH in, else nothing is deleted: nobody is shut out, and nothing is opened by guess.
# ---
if [ -e /etc/systemd/system/berth-firewall.service ]; then
  systemctl disable -q --now berth-firewall.service || true
  unplace /etc/systemd/system/berth-firewall.service firewall-unit
fi
if pending firewall-unit; then
  systemctl daemon-reload
  settled firewall-unit
fi
for tool in iptables ip6tables; do
  if ! command -v "$tool" >/dev/null || ! "$tool" -w 10 -n -L BERTH-OUTSIDE >/dev/null 2>&1; then continue; fi
  while "$tool" -w 10 -D DOCKER-USER -j BERTH-USER 2>/dev/null; do :; done
  while "$tool" -w 10 -D OUTPUT -j BERTH-OUT 2>/dev/null; do :; done
  for action in -F -X; do
    for chain in "${chains[@]}"; do
      if "$tool" -w 10 -n -L "$chain" >/dev/null 2>&1; then "$tool" -w 10 "$action" "$chain"; fi
    done
  done
  changed "chains of $tool"
done
if ! command -v ufw >/dev/null; then return 0; fi
shown=$(ufw show added)
mine=$(grep -e " comment 'berth:" <<<"$shown" || true)
others=$(grep -e '^ufw ' <<<"$shown" | grep -v -e " comment 'berth:" || true)
if [ -z "$mine" ] && ! has_before; then return 0; fi
was=$(before ufw)
# Without a record: rules of others are a sign that ufw was in use before.
if [ -z "$was" ] && [ -n "$others" ]; then was=active; fi
on() { [ "$(ufw status | head -n 1)" = 'Status: active' ]; }
if on && [ "$was" != active ]; then
  ufw disable
  changed 'ufw disabled'
  : >"$state/pending/forward"
fi
# ufw leaves FORWARD open when it goes; Docker had closed it.
if pending forward; then
  for tool in iptables ip6tables; do
    policy=$(before "forward${tool//[!6]/}")
    if [ "$tool" = iptables ]; then policy=$(before forward4); fi
    if [ -n "$policy" ] && command -v "$tool" >/dev/null; then "$tool" -w 10 -P FORWARD "$policy"; fi
  done
  settled forward
fi
# The policy says again what this rule said.
for tool in iptables ip6tables; do
  if ! command -v "$tool" >/dev/null; then continue; fi
  while "$tool" -w 10 -D FORWARD -m comment --comment "$others_rule" -j ACCEPT 2>/dev/null; do :; done
done
if on && [ -n "$mine" ] && ! grep -E '^ufw (allow|limit) ' <<<"$others" |
  awk -v port="$ssh_port" '/ (ssh|OpenSSH)( |$)/ || !/port / && / from / || $0 ~ "(^|[ ,])" port "(/tcp|,| |$)" {found = 1} END {exit !found}'; then
  fail "ufw was active before Berth, and no rule of yours lets SSH in (port $ssh_port): you would be shut out. Add one (ufw allow $ssh_port/tcp), or switch it off (ufw disable), and run again"
fi
while IFS= read -r line; do
  if [ -z "$line" ]; then continue; fi
  line=${line#ufw }
  read -r -a words <<<"${line% comment *}"
  ufw --force delete "${words[@]}" </dev/null
  changed 'ufw rules'
done <<<"$mine"
if ufw show added | grep -q -e " comment 'berth:"; then fail "ufw keeps rules of Berth: $(ufw show added)"; fi
defaults=/etc/default/ufw
before_file ufwDefaults >"$work/ufw-before"
if [ -s "$work/ufw-before" ] && [ -f "$defaults" ]; then
  keys='^(MANAGE_BUILTINS|IPV6|DEFAULT_INPUT_POLICY|DEFAULT_OUTPUT_POLICY|DEFAULT_FORWARD_POLICY)='
  {
    grep -v -E "$keys" "$defaults" || true
    grep -E "$keys" "$work/ufw-before" || true
  } >"$work/ufw"
  # Nothing else was changed: its very text.
  if cmp -s <(sort -- "$work/ufw") <(sort -- "$work/ufw-before"); then cp -- "$work/ufw-before" "$work/ufw"; fi
  place 0644 "$defaults" ufw <"$work/ufw"
fi
if pending ufw; then
  if on; then ufw reload; fi
  settled ufw
fi
if [ "$(before ufwUnit)" = disabled ] && systemctl is-enabled -q ufw.service; then
  systemctl disable -q ufw.service
  changed 'ufw.service disabled'
fi
