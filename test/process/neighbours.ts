/**
 * Bash: `neighbour NAME INTERFACE BRIDGE HERE THERE HERE6 THERE6` makes a network namespace that the machine of a test reaches
 * by INTERFACE, which is a port of BRIDGE where that is not empty. NAME becomes the variable with its process; `$pids` gets
 * what is to be ended. HERE and HERE6 are the machine's addresses (/24 and /64), THERE and THERE6 the neighbour's.
 */
export const NEIGHBOUR = `neighbour() { # NAME INTERFACE BRIDGE HERE THERE HERE6 THERE6
  unshare -n sleep 120 &
  eval "$1=$!"
  pids="$pids $!"
  until [ "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
  ip link add "$2" type veth peer name eth0 netns "$!"
  holder=$2
  if [ -n "$3" ]; then
    ip link add "$3" type bridge
    ip link set "$2" master "$3"
    ip link set "$2" up
    holder=$3
  fi
  ip addr add "$4/24" dev "$holder"
  ip addr add "$6/64" dev "$holder" nodad
  ip link set "$holder" up
  nsenter -t "$!" -n sh -c "
    sysctl -q -w net.ipv6.conf.eth0.accept_dad=0
    ip link set lo up && ip addr add $5/24 dev eth0 && ip addr add $7/64 dev eth0 nodad && ip link set eth0 up &&
    ip route add default via $4 && ip -6 route add default via $6"
}`;
