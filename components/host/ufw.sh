# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $mark $wanted $apply
# ufw knows no set of rules, only single ones: the new ones are added with the new mark, then those with an old mark
# go, so nothing that stays allowed is shut for a moment. Rules without our mark are the operator's: kept. Needs
# before-reader.sh, and a prologue that sets mark, wanted (the number of rules) and apply (the program that fills the
# chains), and writes the rules to $work/ufw-rules.
# ---
defaults=/etc/default/ufw
setting() {
  if ! grep -q -x -F -- "$1=$2" "$defaults"; then
    sed -e "/^$1=/d" "$defaults" >"$work/ufw"
    printf '%s=%s\n' "$1" "$2" >>"$work/ufw"
    place 0644 "$defaults" ufw <"$work/ufw"
  fi
}
# With MANAGE_BUILTINS=yes a reload of ufw would empty Docker's chains and ours.
setting MANAGE_BUILTINS no
setting IPV6 yes
setting DEFAULT_INPUT_POLICY '"DROP"'
setting DEFAULT_OUTPUT_POLICY '"ACCEPT"'
# Whoever had ufw on has decided about FORWARD; else see berth-others in the rules for published ports.
forward=
if [ "$(before ufw)" = active ]; then
  forward=$(before_file ufwDefaults | sed -n 's/^DEFAULT_FORWARD_POLICY=//p' | tail -n 1)
fi
setting DEFAULT_FORWARD_POLICY "${forward:-"DROP"}"
shown=$(ufw show added)
mine() { grep -e " comment 'berth:" <<<"$shown" || true; }
marked() { grep -c -e " comment '$mark'" <<<"$shown" || true; }
if [ "$(marked)" != "$wanted" ]; then
  while IFS= read -r rule; do
    read -r -a words <<<"$rule"
    ufw allow "${words[@]}" comment "$mark" </dev/null
  done <"$work/ufw-rules"
  changed 'ufw rules'
  shown=$(ufw show added)
fi
while IFS= read -r line; do
  case "$line" in
    '' | *" comment '$mark'") ;;
    *)
      line=${line#ufw }
      read -r -a words <<<"${line% comment *}"
      ufw --force delete "${words[@]}" </dev/null
      changed 'ufw rules'
      ;;
  esac
done <<<"$(mine)"
if [ "$(mine | wc -l)" != "$wanted" ]; then shown=$(ufw show added); fi
if [ "$(marked)" != "$wanted" ] || [ "$(mine | wc -l)" != "$wanted" ]; then
  fail "ufw does not hold the $wanted rules of Berth: $shown"
fi
status=$(ufw status | head -n 1)
if [ "$status" != 'Status: active' ]; then
  ufw --force enable
  systemctl enable -q ufw.service
  settled ufw
  changed 'ufw enabled'
  # The rule that lets others forward stands behind those that ufw has put there now.
  "$apply"
elif pending ufw; then
  ufw reload
  settled ufw
fi
if ! systemctl is-active -q ufw.service; then systemctl start ufw.service; fi
fact_json rules "$wanted"
fact_json otherRules "$(grep -c -e '^ufw ' <<<"$shown" | awk -v ours="$wanted" '{print $1 - ours}')"
