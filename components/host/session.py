# ADDRESS NETWORK...: SSH must stay open to the address that this very connection comes from.
# ---
import ipaddress, sys
address = ipaddress.ip_address(sys.argv[1].partition("%")[0])
address = getattr(address, "ipv4_mapped", None) or address
networks = [ipaddress.ip_network(text) for text in sys.argv[2:]]
if not any(address in network for network in networks):
    sys.exit("firewall.allowSsh does not hold %s, the address that this connection comes from: "
             "it would be shut out. It holds %s; add the network of %s"
             % (address, ", ".join(map(str, networks)), address))
