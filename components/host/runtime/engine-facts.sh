# shellcheck shell=bash
# What runs here now.
# ---
info() { docker info -f "$1" 2>/dev/null; }
fact docker "$(info '{{.ServerVersion}}')"
fact dockerPackage "$(dpkg -S "$(readlink -f "$(command -v dockerd)")" 2>/dev/null | cut -d : -f 1 || true)"
fact storageDriver "$(info '{{.Driver}}')"
fact cgroupDriver "$(info '{{.CgroupDriver}}')"
fact_json liveRestore "$(info '{{.LiveRestoreEnabled}}')"
fact_json cdi "$(python3 -c 'import json
features = json.load(open("/etc/docker/daemon.json", encoding="utf-8-sig")).get("features")
print("true" if isinstance(features, dict) and features.get("cdi") is True else "false")')"
