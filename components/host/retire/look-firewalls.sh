# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $others_rule
# Tables and chains of Docker, ufw, podman and Berth are known, as are Docker's bridges ($work/bridges) and the names of
# iptables' own tables. `$work/redirected` holds PROTOCOL START END CHAIN of what others forward by DNAT: it is guarded
# like a published port. Without a port only where everything of an address is forwarded: a kube-proxy has thousands.
# ---
ufw_state=missing rules=0
if command -v ufw >/dev/null; then
  ufw_state=inactive
  if [ "$(ufw status | head -n 1)" = 'Status: active' ]; then ufw_state=active; fi
  rules=$(ufw show added | grep -e '^ufw ' | grep -c -v -e " comment 'berth:" || true)
fi
printf '%s\n' "$ufw_state" >"$work/ufw"
fact ufw "$ufw_state"
fact_json ufwRules "$rules"
: >"$work/others-firewall"
: >"$work/redirected"
for service in firewalld nftables shorewall csf; do
  if systemctl is-active -q "$service"; then printf 'service %s\n' "$service" >>"$work/others-firewall"; fi
done
if systemctl is-active -q firewalld; then
  problem 'firewalld is active, and Berth works with ufw; two of them undo each other: systemctl disable --now firewalld'
fi
if command -v nft >/dev/null; then
  { nft list tables 2>/dev/null || true; } |
    awk '!($2 ~ /^ip6?$/ && $3 ~ /^(filter|nat|mangle|raw|security)$/) && $3 !~ /^(docker|netavark|libvirt)/ {print "nftables", $0}' >>"$work/others-firewall"
fi
for tool in iptables ip6tables; do
  if ! command -v "$tool" >/dev/null; then continue; fi
  { "$tool" -w 10 -S 2>/dev/null || true; } |
    awk -v tool="$tool" -v list="$work/bridges" -v ours="$others_rule" '
      BEGIN { bridge["docker0"] = 1; while ((getline name < list) > 0) bridge[name] = 1 }
      $1 != "-A" || ($2 != "INPUT" && $2 != "FORWARD") || / -j (ufw6?-|DOCKER|BERTH-|NETAVARK|CNI-)/ || index($0, ours) { next }
      {
        for (i = 3; i < NF; i++) if (($i == "-i" || $i == "-o") && ($(i + 1) in bridge || $(i + 1) ~ /^(berth|podman)/)) next
        n[$2]++
      }
      END { for (chain in n) print tool ": " n[chain] " rules of others in " chain }' >>"$work/others-firewall"
  { "$tool" -w 10 -t nat -S 2>/dev/null || true; } |
    awk '$1 == "-A" && $2 != "DOCKER" && $2 != "OUTPUT" && / -j DNAT( |$)/ {
      protocol = "tcp"; ports = ""
      for (i = 3; i < NF; i++) {
        if ($i == "-p") protocol = $(i + 1)
        if ($i == "--dport" || $i == "--dports") ports = $(i + 1)
      }
      if (ports == "" && $2 == "PREROUTING") ports = "1:65535"
      n = split(ports, part, ",")
      for (i = 1; i <= n; i++) { m = split(part[i], range, ":"); print protocol, range[1], range[m], $2 }
    }' >>"$work/redirected"
done
fact_json otherFirewalls "$(sort -- "$work/others-firewall" | json_lines)"
