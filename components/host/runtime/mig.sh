# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $driver_floor $program $work $package_sha256 $unit
# nvidia-mig-parted is in no repository that every node has: NVIDIA attaches a Debian package (nvidia-mig-manager) to each
# release of github.com/NVIDIA/mig-parted, whose checksum the operator has to give. The request lies beside: the program
# makes it the node's when nobody is in its way. Needs a prologue that sets program, unit, driver_floor, package_url and
# package_sha256 (empty: none given), places the program, and writes mig.json and mig-unit to $work.
# ---
version=$(timeout 60 nvidia-smi --query-gpu=driver_version --format=csv,noheader | sed -n 1p)
if ! dpkg --compare-versions "$version" ge "$driver_floor"; then
  fail "the NVIDIA driver is $version; MIG needs $driver_floor or newer"
fi
# Says nothing here: what is wrong with the request is told below.
if ! command -v nvidia-mig-parted >/dev/null && "$program" needed "$work/mig.json" >/dev/null 2>&1; then
  if apt-cache show nvidia-mig-manager >/dev/null 2>&1; then
    apt_install nvidia-mig-manager
  elif [ -z "$package_url" ]; then
    fail 'nvidia-mig-parted is not on this node, and no package repository here has it (package nvidia-mig-manager). Give the address and the SHA-256 of the Debian package of a release of github.com/NVIDIA/mig-parted as runtime.nvidia.migParted, or put the program into /usr/local/bin'
  else
    curl -fsSL --retry 3 --max-time 300 "$package_url" -o "$work/mig.deb"
    if ! sha256sum -c --quiet <<<"$package_sha256  $work/mig.deb"; then
      fail "the package at $package_url is not the one whose SHA-256 is configured: nothing was installed"
    fi
    apt_get install --no-install-recommends "$work/mig.deb"
    changed 'package nvidia-mig-manager'
  fi
fi
# NVIDIA's own service would apply another file at every start, and may reboot the machine for it.
if [ "$(systemctl is-enabled nvidia-mig-manager.service 2>/dev/null || true)" = enabled ]; then
  systemctl disable -q nvidia-mig-manager.service
  changed 'nvidia-mig-manager.service disabled'
fi
place 0644 "$unit" units <"$work/mig-unit"
reload_units
enabled berth-mig.service
rc=0
"$program" apply "$work/mig.json" >"$work/mig" 2>&1 || rc=$?
cat "$work/mig"
while IFS= read -r line; do
  if [[ $line == 'changed '* ]]; then changed "${line#changed }"; fi
done <"$work/mig"
case $rc in
  0) ;;
  3) grep 'at the next start' "$work/mig" >>"$work/reboot" ;;
  *) fail 'the GPUs are not divided as configured: see above' ;;
esac
