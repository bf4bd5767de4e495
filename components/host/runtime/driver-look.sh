# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work
# What the node has goes to $work/gpu: `none`, `card` (no driver that answers), `driver`. A reason to start the
# machine anew goes to $work/reboot; that is the operator's to do.
# ---
found=no
if [ -e /dev/nvidiactl ] || [ -e /proc/driver/nvidia/version ]; then found=yes; fi
# Class 03: display controllers, 3D ones included; a network card of the same maker is no GPU.
if grep -q -i -E ' 03[0-9a-f]{2}: 10de:' <<<"$(lspci -n 2>/dev/null || true)"; then found=yes; fi
echo none >"$work/gpu"
if [ "$found" = no ]; then
  fact gpu none
  return 0
fi
fact gpu nvidia
echo card >"$work/gpu"
answers() { command -v nvidia-smi >/dev/null && timeout 60 nvidia-smi -L; }
