# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $modules_package $driver_key $work
# Needs driver-look.sh and keys.sh, and a prologue that sets modules_package, cuda_key, wanted (a version, empty for
# any) and driver_key (the fingerprint of the key that signs NVIDIA's repository, empty for the known one). The known
# one signs the repositories of these systems, by ID and VERSION_ID of os-release: debian12, ubuntu2204, ubuntu2404.
# ---
if ! answers; then
  id=$(os ID) release=$(os VERSION_ID)
  distro=$id${release//./}
  package=$modules_package
  secure=/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
  if [ -e /proc/driver/nvidia/version ] || apt_installed "$package"; then
    echo 'a driver is there that does not answer yet: none is installed over it'
  else
    if [ -r "$secure" ] && [ "$(od -A n -t u1 -j 4 -N 1 "$secure" | tr -d ' ')" = 1 ]; then
      fail 'Secure Boot is on: a kernel module built here would not be loaded. Install the driver by hand and enrol its key at the console (mokutil --import), or switch Secure Boot off'
    fi
    case $(dpkg --print-architecture) in
      amd64) arch=x86_64 ;;
      arm64) arch=sbsa ;;
      *) fail "NVIDIA's repository has no driver for $(dpkg --print-architecture)" ;;
    esac
    repository=https://developer.download.nvidia.com/compute/cuda/repos/$distro/$arch
    if ! apt_source 'developer\.download\.nvidia\.com/compute/cuda/repos/'; then
      key=$driver_key
      case $distro in
        debian12 | ubuntu2204 | ubuntu2404) key=${key:-$cuda_key} ;;
      esac
      if [ -z "$key" ]; then
        fail "Berth does not know the key that signs $repository: give its fingerprint as runtime.nvidia.driver.key (see the .pub file there, and compare it with what NVIDIA publishes), or add the repository yourself (cuda-keyring)"
      fi
      apt_install curl ca-certificates
      # Key files are named by the last eight digits, in capitals or not.
      file=${key: -8}
      if ! curl -fsSL --head --max-time 60 "$repository/$file.pub" >/dev/null; then file=${file,,}; fi
      trusted_key "$repository/$file.pub" "$key" /usr/share/keyrings/berth-nvidia-cuda.gpg NVIDIA
      place 0644 /etc/apt/sources.list.d/berth-nvidia-cuda.list <<LIST
deb [arch=$(dpkg --print-architecture) signed-by=/usr/share/keyrings/berth-nvidia-cuda.gpg] $repository /
LIST
      # The distribution has drivers too; a mix of both does not work.
      place 0644 /etc/apt/preferences.d/berth-nvidia-cuda.pref <<'PIN'
Package: *
Pin: origin developer.download.nvidia.com
Pin-Priority: 600
PIN
    fi
    if [ "$id" = debian ] && ! grep -q 'c=contrib' <<<"$(apt-cache policy)"; then
      # The driver's packages need some of contrib.
      place 0644 /etc/apt/sources.list.d/berth-contrib.list <<LIST
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] https://deb.debian.org/debian $(os VERSION_CODENAME) contrib
LIST
    fi
    apt_update
    if [ -n "$wanted" ]; then
      apt_install "nvidia-driver-pinning-$wanted"
      apt_update
    fi
    apt_install "linux-headers-$(uname -r)" "$package"
  fi
  modprobe nvidia 2>/dev/null || true
  if ! answers; then
    echo 'the NVIDIA driver is installed, and is loaded at the next start of the machine' >"$work/reboot"
    fact gpuDriver installed
    return 0
  fi
fi
