# shellcheck shell=bash
# Needs a prologue that sets packages, engine (Docker's packages), and operator_name (empty: none).
# ---
if ! command -v dockerd >/dev/null; then packages+=("${engine[@]}"); fi
missing=()
for package in "${packages[@]}"; do
  if ! apt_installed "$package"; then missing+=("$package"); fi
done
if [ "${#missing[@]}" -gt 0 ]; then will "installs packages: ${missing[*]}"; fi
if [ -n "$operator_name" ] && ! getent passwd "$operator_name" >/dev/null; then will "makes the user $operator_name"; fi
