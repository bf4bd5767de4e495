# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $names $interfaces
# Needs a prologue that sets names and interfaces (NAME ADDRESS MODE of each), and writes the files of each interface
# (networkd-NAME, ifupdown-NAME) and udev-rules to $work.
# ---
[ -e "$work/fabric" ] || return 0
manager=none
if systemctl is-active -q systemd-networkd.service; then
  manager=networkd
elif command -v ifup >/dev/null && grep -q -E '^[[:space:]]*source(-directory)?[[:space:]]+/etc/network/interfaces\.d' /etc/network/interfaces; then
  manager=ifupdown
fi
if [ "${#names[@]}" -gt 0 ] && [ "$manager" = none ]; then
  fail 'neither systemd-networkd nor ifupdown (with interfaces.d) runs the network here: Berth gives no address to InfiniBand interfaces then'
fi
fact networkManager "$manager"
has() { ip -o addr show dev "$1" | awk '{print $4}' | grep -q -x -F -e "$2"; }
# NAME ADDRESS MODE: the mode first, since it decides which MTU is possible.
up() {
  local mode
  if [ ! -d "/sys/class/net/$1" ]; then
    fail "fabric.interfaces: no interface $1. InfiniBand interfaces here: $(grep -l -x 32 /sys/class/net/*/type 2>/dev/null | sed 's|/type$||; s|.*/||' | paste -s -d ' ')"
  fi
  # ARPHRD_INFINIBAND, linux/if_arp.h.
  if [ "$(cat "/sys/class/net/$1/type")" != 32 ]; then fail "$1 is no InfiniBand interface"; fi
  mode=$(cat "/sys/class/net/$1/mode" 2>/dev/null || true)
  if [ "$mode" != "$3" ]; then
    { printf '%s\n' "$3" >"/sys/class/net/$1/mode"; } 2>/dev/null || true
    if [ "$(cat "/sys/class/net/$1/mode" 2>/dev/null || true)" != "$3" ]; then
      fail "$1 does not take the mode $3: ConnectX-4 and newer offer datagram alone"
    fi
    changed "mode of $1"
  fi
}
for ((i = 0; i < ${#interfaces[@]}; i += 3)); do
  up "${interfaces[@]:i:3}"
  name=${interfaces[i]}
  case $manager in
    networkd) place 0644 "/etc/systemd/network/05-berth-$name.network" fabric <"$work/networkd-$name" ;;
    ifupdown) place 0644 "/etc/network/interfaces.d/berth-$name" fabric <"$work/ifupdown-$name" ;;
  esac
done
for file in /etc/systemd/network/05-berth-*.network /etc/network/interfaces.d/berth-*; do
  [ -e "$file" ] || continue
  name=${file##*berth-}
  case " ${names[*]} " in *" ${name%.network} "*) ;; *) unplace "$file" fabric ;; esac
done
if [ -s "$work/udev-rules" ]; then
  place 0644 /etc/udev/rules.d/70-berth-fabric.rules <"$work/udev-rules"
else
  unplace /etc/udev/rules.d/70-berth-fabric.rules
fi
if pending fabric; then
  case $manager in
    networkd)
      networkctl reload
      if [ "${#names[@]}" -gt 0 ]; then networkctl reconfigure "${names[@]}"; fi
      ;;
    ifupdown)
      for name in "${names[@]}"; do
        ifdown --force "$name" || true
        ifup "$name"
      done
      ;;
  esac
  settled fabric
fi
for ((i = 0; i < ${#interfaces[@]}; i += 3)); do
  wait_for 30 "${interfaces[i + 1]} on ${interfaces[i]}" has "${interfaces[i]}" "${interfaces[i + 1]}"
done
