# shellcheck shell=bash
# Needs a prologue that sets packages and engine (Docker's packages).
# ---
if ! command -v dockerd >/dev/null; then packages+=("${engine[@]}"); fi
missing=()
for package in "${packages[@]}"; do
  if ! apt_installed "$package"; then missing+=("$package"); fi
done
if [ "${#missing[@]}" -gt 0 ]; then will "installs packages: ${missing[*]}"; fi
