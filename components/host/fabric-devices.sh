# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work
# Drivers and tools of InfiniBand devices, where there are any.
# ---
has_device() { [ -n "$(ls -A /sys/class/infiniband 2>/dev/null)" ]; }
# Class 0207: InfiniBand controllers. The card may be there before its driver is.
if ! has_device && ! lspci -n 2>/dev/null | grep -q -E ' 0207: '; then
  fact fabric skipped
  fact reason 'no InfiniBand device: none in /sys/class/infiniband, none of class 0207 on the PCI bus'
  return 0
fi
# The drivers of cards for programs (mlx5 and others) are in a package that no other one needs.
apt_install rdma-core ibverbs-providers ibverbs-utils infiniband-diags
place 0644 /etc/modules-load.d/berth-fabric.conf <<'MODULES'
ib_umad
ib_uverbs
ib_ipoib
MODULES
for module in ib_umad ib_uverbs ib_ipoib; do
  if [ ! -d "/sys/module/$module" ]; then modprobe "$module" || printf '%s: not in this kernel\n' "$module"; fi
done
if ! has_device; then
  fact fabric skipped
  fact reason 'an InfiniBand card is on the PCI bus, and the kernel has no driver for it: see dmesg'
  return 0
fi
fact fabric infiniband
: >"$work/fabric"
