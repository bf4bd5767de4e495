# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work
# The documents, as the new program is to check them before anything is placed. Stand-ins beside a real driver would
# hide it.
# ---
fresh=$work/agent/etc/berth/agent
mkdir -p -- "$fresh"
for name in node limits gpus; do
  if has_document "$name"; then document "$name" >"$fresh/$name.json"; fi
done
if [ -e "$fresh/gpus.json" ]; then
  if [ -e /dev/nvidiactl ] || [ -e /proc/driver/nvidia/version ] || [ -e /usr/bin/nvidia-smi ]; then
    fail "this node has NVIDIA's driver, and its configuration declares GPUs (gpus): take them out, for the driver says what there is"
  fi
fi
