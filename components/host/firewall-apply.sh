# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $known $ray_to_bridges $monitoring_agent $folder
# shellcheck disable=SC2094 # `each` reads the file and writes to standard output alone
# Puts the rules for what is forwarded and for what this node sends in place, each family at once. Its argument `ask`:
# dockerd has just started, and systemd does not call it active before this ends. Needs bridges.sh and a prologue that
# sets known (the file of what Docker told), folder (of the rules), others_rule, ray_to_bridges and monitoring_agent.
# ---
links() { ip -o link show "$@" 2>/dev/null | sed -n 's/^[0-9]*: \([^:@ ]*\)[:@].*/\1/p'; }

# True for a bridge with nothing on it but guests: pairs to other namespaces (veth) and virtual machines (tun, tap). One
# without any may get the machine's own network card next.
only_guests() {
  local all virtual
  all=$(links master "$1" | wc -l)
  virtual=$({ links master "$1" type veth; links master "$1" type tun; } | wc -l)
  [ "$all" -gt 0 ] && [ "$all" = "$virtual" ]
}

# Lines "docker NAME", "guests NAME", "other NAME". Where Docker cannot be asked, the last answer counts: an interface
# that is in none of the lines is treated as one that Docker may have made since.
look() {
  local bridges name
  bridges=$(docker_bridges) || return 0
  {
    sed '/^$/d; s/^/docker /' <<<"$bridges"
    links nomaster | { grep -v -x -F -e lo -f <(printf '%s\n' "$bridges" | sed '/^$/d') || true; } | sed 's/^/other /'
    for name in $(links type bridge); do
      if ! grep -q -x -F -e "$name" <<<"$bridges" && only_guests "$name"; then printf 'guests %s\n' "$name"; fi
    done
  } >"$known.new"
  mv -f -T -- "$known.new" "$known"
}

# KIND FORMAT [BEGIN]: the format once for each name of the kind, or for those with this beginning.
each() {
  local kind name
  if [ ! -f "$known" ]; then return 0; fi
  while read -r kind name; do
    if [ "$kind" != "$1" ] || [[ $name != "${3:-}"* ]]; then continue; fi
    # iptables takes a name of 15 letters at most, and reads + at its end as any rest.
    if [[ ! $name =~ ^[A-Za-z0-9_.:@-]{1,15}$ ]]; then
      echo "no rule is written for the interface $name: its name holds more than letters, digits, and _.:@-" >&2
      continue
    fi
    # shellcheck disable=SC2059 # the formats are those below
    printf -- "$2\n" "$name"
  done <"$known"
}

# FILE: DigitalOcean's monitoring agent, where it is installed, asks for the machine's id; it runs as nobody.
agent() {
  local name uid
  case $1 in *v4.rules) ;; *) return 0 ;; esac
  name=$(sed -n 's/^User=//p' /etc/systemd/system/do-agent.service 2>/dev/null | tail -n 1) || return 0
  uid=$(id -u -- "$name" 2>/dev/null) || return 0
  printf -- '-A BERTH-OUT -d 169.254.169.254 -p tcp --dport 80 -m owner --uid-owner %s -j RETURN\n' "$uid"
}

rules() {
  local line
  while IFS= read -r line; do
    case "$line" in
      '#'*': from its bridges') each docker '-A BERTH-USER -i %s -j RETURN' ;;
      '#'*', to metadata and files of nodes')
        each guests '-A BERTH-LINK -i %s -j RETURN'
        each other '-A BERTH-LINK -i %s -j RETURN'
        ;;
      "$ray_to_bridges") each docker '-A BERTH-RAY -o %s -j REJECT' ;;
      "$monitoring_agent") agent "$1" ;;
      '#'*': made since'*)
        # Docker's own isolation judges what comes from such a bridge; what is known not to be Docker's is let by.
        if [ -f "$known" ]; then
          each other '-A BERTH-USER -o %s -j RETURN' br-
          each other '-A BERTH-USER -i %s -o br-+ -j BERTH-OUTSIDE' br-
          printf -- '-A BERTH-%s\n' 'USER -i br-+ -j RETURN' 'USER -o br-+ -j BERTH-OUTSIDE' 'GUESTS -o br-+ -j BERTH-OUTSIDE'
        fi
        ;;
      '#'*)
        each docker '-A BERTH-USER -o %s -j BERTH-OUTSIDE'
        each guests '-A BERTH-USER -i %s -g BERTH-GUESTS'
        each other '-A BERTH-GUESTS -o %s -j RETURN'
        ;;
      *) printf '%s\n' "$line" ;;
    esac
  done <"$1"
}

# TOOL FAMILY: what nobody decides is forwarded on, last of all, where that was the policy before ufw was switched on.
others() {
  local rule=(FORWARD -m comment --comment "$others_rule" -j ACCEPT) have
  have=$("$1" -w 10 -S FORWARD)
  if ! grep -q -s -x -e "$2" "$folder/forward"; then
    while "$1" -w 10 -D "${rule[@]}" 2>/dev/null; do :; done
  elif [[ ${have##*$'\n'} != *"$others_rule"* ]]; then
    # The new one first, so that no packet finds none; then the first of the two goes.
    "$1" -w 10 -A "${rule[@]}"
    if [[ $have == *"$others_rule"* ]]; then "$1" -w 10 -D "${rule[@]}"; fi
  fi
}

# TOOL: takes the last of our rules in OUTPUT away, so that no moment is without one.
last() {
  "$1" -w 10 -D OUTPUT "$("$1" -w 10 -S OUTPUT | sed 1d | grep -n -x -e '-A OUTPUT -j BERTH-OUT' | tail -n 1 | cut -d : -f 1)"
}

apply() {
  local tool=$1 file=$2
  "$tool" -w 10 -n -L DOCKER-USER >/dev/null 2>&1 || "$tool" -w 10 -N DOCKER-USER
  rules "$file" | "$tool-restore" -w 10 -n
  if [ "$("$tool" -w 10 -S DOCKER-USER | sed -n 2p)" != '-A DOCKER-USER -j BERTH-USER' ]; then
    while "$tool" -w 10 -D DOCKER-USER -j BERTH-USER 2>/dev/null; do :; done
    "$tool" -w 10 -I DOCKER-USER 1 -j BERTH-USER
  fi
  # Before ufw's, which accept whatever goes to loopback.
  if [ "$("$tool" -w 10 -S OUTPUT | sed -n 2p)" != '-A OUTPUT -j BERTH-OUT' ]; then
    "$tool" -w 10 -I OUTPUT 1 -j BERTH-OUT
    while [ "$("$tool" -w 10 -S OUTPUT | grep -c -x -e '-A OUTPUT -j BERTH-OUT')" -gt 1 ]; do last "$tool"; done
  fi
  "$tool" -w 10 -C FORWARD -j DOCKER-USER 2>/dev/null || "$tool" -w 10 -I FORWARD 1 -j DOCKER-USER
  others "$tool" "$3"
}

# A question to the socket of a dockerd that waits for this script would never be answered.
if [ "${1:-}" = ask ] || systemctl is-active -q docker.service; then look; fi
apply iptables "$folder/v4.rules" 4
# A kernel without IPv6 has nothing to close.
if [ -e /proc/net/if_inet6 ]; then apply ip6tables "$folder/v6.rules" 6; fi
