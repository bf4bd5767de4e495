/** The NVIDIA driver: found, judged, and installed where configuration asks for it and there is none. Bash. */
import { StageOptionError } from "../shell";
import { KEYS, OS_RELEASE } from "./keys";
import type { DriverOptions } from "./options";

/** NVIDIA's container toolkit, "Platform requirements": the oldest driver it works with. */
export const DRIVER_FLOOR = "418.81.07";

/** The key of NVIDIA's CUDA repositories since 2022 (developer.nvidia.com: "Updating the CUDA Linux GPG Repository Key"). */
export const CUDA_KEY = "EB693B3035CD5710E231E123A4B469963BF863CC";

/** Whose repository is signed with it, by ID and VERSION_ID of os-release. */
const KNOWN = ["debian12", "ubuntu2204", "ubuntu2404"];

const VERSION = /^\d{3}(\.\d{1,3}){0,2}$/;

export function checkDriverOptions(driver: DriverOptions): void {
  if (!driver.install) return;
  const { version, key, modules } = driver;
  if (version !== undefined && !VERSION.test(version))
    throw new StageOptionError("runtime.nvidia.driver.version", version, '"580" or "580.105.08"');
  if (key !== undefined && !/^[0-9A-F]{40}$/.test(key))
    throw new StageOptionError("runtime.nvidia.driver.key", key, "40 hexadecimal digits, A to F large");
  if (modules !== undefined && modules !== "open" && modules !== "proprietary")
    throw new StageOptionError("runtime.nvidia.driver.modules", modules, '"open" or "proprietary"');
}

/**
 * What the node has goes to $work/gpu: `none`, `card` (no driver that answers), `driver`. A reason to start the
 * machine anew goes to $work/reboot; that is the operator's to do.
 */
export function driverStep(driver: DriverOptions): string {
  const wanted = driver.install ? (driver.version ?? "") : "";
  return `
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
${driver.install ? `if ! answers; then\n${installDriver(driver)}\nfi` : ""}
if ! answers; then
  # A card without a driver that answers: containers run, without it.
  fact gpuDriver none
  if [ -e /proc/driver/nvidia/version ]; then
    echo "the NVIDIA driver in memory does not answer; it may be another version than the one installed" >"$work/reboot"
  fi
  return 0
fi
version=$(timeout 60 nvidia-smi --query-gpu=driver_version --format=csv,noheader | sed -n 1p)
if ! dpkg --compare-versions "$version" ge ${DRIVER_FLOOR}; then
  fail "the NVIDIA driver is $version; the container toolkit needs ${DRIVER_FLOOR} or newer. Install a newer one, or set runtime.gpu: off for this node"
fi
${
  wanted
    ? `case $version. in
  ${wanted}.*) ;;
  *) fail "the NVIDIA driver here is $version, and runtime.nvidia.driver.version asks for ${wanted}. A driver that is in use is not changed by Berth: end what uses the GPUs, apt-get install nvidia-driver-pinning-${wanted} ${modulesPackage(driver)} from NVIDIA's repository, reboot, and run this again; or take the version out" ;;
esac`
    : ""
}
fact gpuDriver "$version"
echo driver >"$work/gpu"
`;
}

/** NVIDIA's driver guide, Debian and Ubuntu: `nvidia-open` for the open kernel modules, `cuda-drivers` for the others. */
const modulesPackage = (driver: DriverOptions) =>
  driver.install && driver.modules === "proprietary" ? "cuda-drivers" : "nvidia-open";

function installDriver(driver: DriverOptions & { install: true }): string {
  const { version, key = "" } = driver;
  return `
${KEYS}
${OS_RELEASE}
id=$(os ID) release=$(os VERSION_ID)
distro=$id\${release//./}
package=${modulesPackage(driver)}
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
  if ! apt_source 'developer\\.download\\.nvidia\\.com/compute/cuda/repos/'; then
    key=${key || "''"}
    case $distro in
      ${KNOWN.join(" | ")}) key=\${key:-${CUDA_KEY}} ;;
    esac
    if [ -z "$key" ]; then
      fail "Berth does not know the key that signs $repository: give its fingerprint as runtime.nvidia.driver.key (see the .pub file there, and compare it with what NVIDIA publishes), or add the repository yourself (cuda-keyring)"
    fi
    apt_install curl ca-certificates
    # Key files are named by the last eight digits, in capitals or not.
    file=\${key: -8}
    if ! curl -fsSL --head --max-time 60 "$repository/$file.pub" >/dev/null; then file=\${file,,}; fi
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
  ${version === undefined ? ":" : `apt_install nvidia-driver-pinning-${version}\n  apt_update`}
  apt_install "linux-headers-$(uname -r)" "$package"
fi
modprobe nvidia 2>/dev/null || true
if ! answers; then
  echo 'the NVIDIA driver is installed, and is loaded at the next start of the machine' >"$work/reboot"
  fact gpuDriver installed
  return 0
fi`;
}
