# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $driver_floor $modules_package
# Needs driver-look.sh, and a prologue that sets driver_floor, wanted (the configured version, empty for any) and
# modules_package.
# ---
if ! answers; then
  # A card without a driver that answers: containers run, without it.
  fact gpuDriver none
  if [ -e /proc/driver/nvidia/version ]; then
    echo "the NVIDIA driver in memory does not answer; it may be another version than the one installed" >"$work/reboot"
  fi
  return 0
fi
version=$(timeout 60 nvidia-smi --query-gpu=driver_version --format=csv,noheader | sed -n 1p)
if ! dpkg --compare-versions "$version" ge "$driver_floor"; then
  fail "the NVIDIA driver is $version; the container toolkit needs $driver_floor or newer. Install a newer one, or set runtime.gpu: off for this node"
fi
if [ -n "$wanted" ]; then
  case $version. in
    "$wanted".*) ;;
    *) fail "the NVIDIA driver here is $version, and runtime.nvidia.driver.version asks for $wanted. A driver that is in use is not changed by Berth: end what uses the GPUs, apt-get install nvidia-driver-pinning-$wanted $modules_package from NVIDIA's repository, reboot, and run this again; or take the version out" ;;
  esac
fi
fact gpuDriver "$version"
echo driver >"$work/gpu"
