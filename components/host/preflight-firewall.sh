# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $metadata
# What listens now, or is published by a container, and is in no rule of the plan. Needs a prologue that sets metadata
# (networks), and writes what the plan opens (PROTOCOL START END) to $work/open.
# ---
if [ "$(cat -- "$work/ufw")" != active ]; then
  text='enables ufw: nothing comes in but what the plan allows; what this server forwards for others goes on'
  closed=$(closed_ports <"$work/outside")
  if [ -n "$closed" ]; then text="$text. These ports that listen now will be closed to the outside: $closed"; fi
  will "$text"
elif ! ufw show added | grep -q -e " comment 'berth:"; then
  will 'adds its rules to ufw, each marked berth:…; your own rules stay'
fi
if ! grep -q -s -e BERTH-OUT /etc/berth/firewall/v4.rules; then
  will "adds rules for what this server sends: $metadata, where providers serve a machine's metadata, is for root alone"
fi
if [ ! -e /usr/local/lib/berth/firewall ] && [ -s "$work/published" ]; then
  closed=$(closed_ports <"$work/published")
  if [ -n "$closed" ]; then
    will "closes published ports of containers to the outside, unless firewall.rules allow them: $closed"
  fi
fi
if [ ! -e /usr/local/lib/berth/firewall ] && [ -s "$work/redirected" ]; then
  closed=$(closed_ports <"$work/redirected")
  if [ -n "$closed" ]; then
    will "closes ports that rules of others forward (DNAT) to the outside, unless firewall.rules allow them: $closed"
  fi
fi
