# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $toolkit_floor $toolkit_key
# The environment variable that hands out all GPUs is refused to unprivileged containers.
# ---
version() { dpkg-query -W -f '${Version}' nvidia-container-toolkit 2>/dev/null || true; }
if ! dpkg --compare-versions "$(version)" ge "$toolkit_floor"; then
  if ! apt_source 'nvidia\.github\.io/libnvidia-container/stable/deb'; then
    trusted_key https://nvidia.github.io/libnvidia-container/gpgkey "$toolkit_key" \
      /usr/share/keyrings/nvidia-container-toolkit.gpg NVIDIA
    place 0644 /etc/apt/sources.list.d/nvidia-container-toolkit.list <<'LIST'
deb [signed-by=/usr/share/keyrings/nvidia-container-toolkit.gpg] https://nvidia.github.io/libnvidia-container/stable/deb/$(ARCH) /
LIST
  fi
  apt_update
  apt_get install --no-install-recommends nvidia-container-toolkit
  changed 'package nvidia-container-toolkit'
fi
if ! dpkg --compare-versions "$(version)" ge "$toolkit_floor"; then
  fail "nvidia-container-toolkit is $(version); $toolkit_floor or newer is needed"
fi
setting=accept-nvidia-visible-devices-envvar-when-unprivileged
config=/etc/nvidia-container-runtime/config.toml
# A key of the file itself stands above its first table.
off() {
  [ -f "$config" ] && awk -v key="$setting" '
    /^[ \t]*\[/ { exit }
    { line = $0; gsub(/[ \t"\047]/, "", line); sub(/#.*/, "", line); if (line == key "=false") off = 1 }
    END { exit !off }' "$config"
}
if ! off; then
  nvidia-ctk config --in-place --set "$setting=false"
  off || fail "$setting could not be set to false in $config"
  changed "$config"
fi
fact nvidiaToolkit "$(version)"
