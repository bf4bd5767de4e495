/** Docker itself: whose packages, which version, and how it is started without ending anyone's work. Bash. */
import { checkLinuxName, heredoc, StageOptionError } from "../shell";
import { KEYS, OS_RELEASE } from "./keys";
import type { DockerOptions } from "./options";
import { LOAD_JSON } from "./told";

/** Docker's release key, as docs.docker.com/engine/install prints it; one for Debian's and Ubuntu's packages. */
export const DOCKER_KEY = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88";

const DOCKER_VERSION = /^\d{2}\.\d{1,2}\.\d{1,2}$/;

export function checkDockerOptions(docker: DockerOptions): void {
  const { from, version } = docker;
  if (from !== undefined && from !== "distribution" && from !== "docker")
    throw new StageOptionError("runtime.docker.from", from, '"distribution" or "docker"');
  if (version !== undefined && !DOCKER_VERSION.test(version))
    throw new StageOptionError("runtime.docker.version", version, 'three numbers such as "29.3.1"');
  if (version !== undefined && from !== "docker")
    throw new StageOptionError("runtime.docker.version", version, 'a version only with from: "docker"');
}

/**
 * Finds out whose engine is there, and whose is to be. Both at once is not possible (each package removes the
 * other's), and a change would end or orphan what runs: that is left to the operator.
 */
export function existing(docker: DockerOptions): string {
  const wanted = docker.from ?? "";
  return `
if [ -e /snap/bin/docker ] || [ -d /var/snap/docker ]; then
  fail 'Docker is installed as a snap here, which Berth cannot configure: snap remove --purge docker'
fi
apt_install python3 ca-certificates
wanted=${wanted || "''"}
have=
if command -v dockerd >/dev/null; then
  package=$(dpkg -S "$(readlink -f "$(command -v dockerd)")" 2>/dev/null | cut -d : -f 1 || true)
  case $package in
    docker.io) have=distribution ;;
    docker-ce) have=docker ;;
    *) have=other ;;
  esac
fi
if [ -n "$have" ] && [ -n "$wanted" ] && [ "$have" != "$wanted" ]; then
  case $have in
    distribution) what="the distribution's (package docker.io)" remove='docker.io containerd runc' ;;
    docker) what="Docker's own (package docker-ce)" remove='docker-ce docker-ce-cli containerd.io' ;;
    *) what="from elsewhere ($(command -v dockerd), package \${package:-none})" remove='(by whatever brought it)' ;;
  esac
  fail "runtime.docker.from asks for the engine of '$wanted', and the one here is $what. Berth does not change engines under running containers. To keep it, take 'from' out or name what is there. To change over by hand: end the containers (docker ps), stop docker (systemctl stop docker docker.socket containerd), apt-get remove $remove, and run this again; images, volumes and containers in /var/lib/docker stay"
fi
from=\${have:-\${wanted:-distribution}}
printf '%s\\n' "$from" >"$work/docker-from"
if [ "$from" = docker ]; then echo docker-ce; else echo docker.io; fi >"$work/docker-package"
if [ -z "$have" ]; then apt_lists; fi
`;
}

/** Docker's own repository, before daemon.json: its candidate decides what may stand there. Nothing to do otherwise. */
export function repository(docker: DockerOptions): string {
  const { version } = docker;
  const pin = "/etc/apt/preferences.d/berth-docker.pref";
  return `
${KEYS}
${OS_RELEASE}
if [ "$(cat "$work/docker-from")" != docker ]; then return 0; fi
${
  version === undefined
    ? `if command -v dockerd >/dev/null; then unplace ${pin}; return 0; fi`
    : `installed=$(dpkg-query -W -f '\${Version}' docker-ce 2>/dev/null || true)
if [[ $installed == *:${version}-* ]] && [ -e ${pin} ]; then return 0; fi`
}
id=$(os ID) codename=$(os VERSION_CODENAME)
case $id in
  debian | ubuntu) ;;
  *) fail "Docker's package repository is for Debian and Ubuntu, and this is '$id': take runtime.docker.from out" ;;
esac
if [ -z "$codename" ]; then fail '/etc/os-release names no VERSION_CODENAME, which is in the address of the repository'; fi
if ! apt_source 'download\\.docker\\.com/linux/'; then
  trusted_key "https://download.docker.com/linux/$id/gpg" ${DOCKER_KEY} /usr/share/keyrings/berth-docker.gpg Docker
  place 0644 /etc/apt/sources.list.d/berth-docker.list <<LIST
deb [arch=$(dpkg --print-architecture) signed-by=/usr/share/keyrings/berth-docker.gpg] https://download.docker.com/linux/$id $codename stable
LIST
fi
${
  version === undefined
    ? `unplace ${pin}\napt_update`
    : `place 0644 ${pin} <<'PIN'
Package: docker-ce docker-ce-cli
Pin: version 5:${version}-*
Pin-Priority: 1001
PIN
apt_update
candidate=$(apt-cache policy docker-ce | sed -n 's/^ *Candidate: //p')
if [[ $candidate != *:${version}-* ]]; then
  fail "Docker's repository for $id $codename has no docker-ce ${version}; it has $(apt-cache madison docker-ce | awk '{ print $3 }' | sed 's/^[0-9]*://; s/-.*//' | sort -u -V | tail -n 8 | paste -s -d ' ')"
fi`
}
`;
}

export function install(docker: DockerOptions): string {
  return `
engine() { command -v dockerd >/dev/null && command -v docker >/dev/null; }
if [ "$(cat "$work/docker-from")" = docker ]; then
  packages=(docker-ce docker-ce-cli containerd.io iptables)
  if ! engine; then
    # containerd.io brings its own containerd and runc, and apt would take these away with what needs them.
    for package in containerd runc docker.io podman-docker; do
      if apt_installed "$package"; then
        fail "package $package is installed, which Docker's containerd.io would remove with all that needs it. Remove it yourself (apt-get remove $package), or take the distribution's Docker (runtime.docker.from: distribution)"
      fi
    done
  fi
else
  packages=(docker.io iptables)
  # Debian 13 and later have the client in a package of its own.
  if apt-cache show docker-cli >/dev/null 2>&1; then packages+=(docker-cli); fi
fi
if engine; then
  ${docker.version === undefined ? "return 0" : otherVersion(docker.version)}
fi
fresh=no
if ! command -v dockerd >/dev/null; then fresh=yes; fi
apt_install "\${packages[@]}"
# A first start has read the daemon.json placed above.
if [ "$fresh" = yes ] && systemctl is-active -q docker.service; then settled docker; fi
`;
}

/** A pinned version that is not the one installed; the pin makes it apt's candidate, also downwards. */
const otherVersion = (version: string) => `installed=$(dpkg-query -W -f '\${Version}' docker-ce)
  if [[ $installed == *:${version}-* ]]; then return 0; fi
  running=$(docker ps -q 2>/dev/null | wc -l)
  if [ "$running" -gt 0 ]; then
    fail "Docker $installed is here, runtime.docker.version asks for ${version}, and $running containers run: another version is not put under them. End them (docker ps) and run this again, or take the version out"
  fi
  apt_get install --no-install-recommends --allow-downgrades docker-ce docker-ce-cli
  changed 'package docker-ce'
  if systemctl is-active -q docker.service; then settled docker; fi
  return 0`;

/**
 * A reload refuses a file that says "userland-proxy": true, the default (seen with Docker 26), and applies neither that
 * nor the firewall backend: both are out of the file for as long as a reload takes. `leave_out` takes them out, and keeps
 * the whole file in the stage's state, for a run that is cut meanwhile; `whole_again` puts it back, unless somebody has
 * written the file since.
 */
export const WHOLE = `
whole=$state/daemon-whole.json
without() {
  python3 - "$1" ${heredoc(`${LOAD_JSON}data = load(sys.argv[1])
gone = [data.pop(key) for key in ("userland-proxy", "firewall-backend") if key in data]
if not gone: sys.exit(1)
json.dump(data, sys.stdout, indent=2, sort_keys=True)`)}
}
# shellcheck disable=SC2317,SC2329 # not every step calls each
leave_out() {
  if ! without /etc/docker/daemon.json >"$work/without.json"; then return 0; fi
  place 0600 "$whole" </etc/docker/daemon.json
  place 0644 /etc/docker/daemon.json <"$work/without.json"
}
whole_again() {
  if [ ! -e "$whole" ]; then return 0; fi
  if without "$whole" | cmp -s - /etc/docker/daemon.json; then place 0644 /etc/docker/daemon.json <"$whole"; fi
  rm -f -- "$whole"
}
`.trim();

/**
 * A new daemon.json is taken over without ending anyone's containers: a dockerd without live-restore would end them
 * on its way down, so that setting is reloaded first, and the restart waits until it is in force.
 */
export const START = `
if ! systemctl is-enabled -q docker.service; then
  systemctl enable -q docker.service
  changed 'docker.service enabled'
fi
running() { docker ps -q --no-trunc | sort; }
live() { [ "$(docker info -f '{{.LiveRestoreEnabled}}' 2>/dev/null)" = true ]; }
# shellcheck disable=SC2317 # called by wait_for
registries() {
  docker info -f '{{range $name, $index := .RegistryConfig.IndexConfigs}}{{println $name}}{{end}}' >"$work/registries" &&
    python3 -c 'import json, sys
names = {line.strip() for line in open(sys.argv[2])}
sys.exit(any("/" not in name and name not in names for name in json.load(open(sys.argv[1])).get("insecure-registries", [])))' \\
      /etc/docker/daemon.json "$work/registries"
}
${WHOLE}
reload_until() {
  local rc=0
  leave_out
  systemctl reload docker.service
  (wait_for "$@") || rc=$?
  whole_again
  return "$rc"
}
if pending docker && systemctl is-active -q docker.service; then
  if [ -e "$work/reload-only" ]; then
    # What a reload refuses may still be fine for a restart.
    if reload_until 15 'dockerd has taken over its registries by a reload' registries; then
      changed 'docker.service reloaded'
      settled docker
    fi
  fi
  if pending docker; then
    running >"$work/running"
    if [ -s "$work/running" ] && ! live; then
      if ! reload_until 30 'live-restore is on' live; then
        journalctl -u docker.service -n 15 --no-pager -o cat
        fail 'containers run here, and dockerd did not take over live-restore by a reload: a restart would end them. Nothing was restarted; the reason is above (journalctl -u docker.service)'
      fi
    fi
  fi
fi
if pending docker; then
  # The stages may have restarted it a moment ago, and systemd gives a unit few starts a minute.
  systemctl reset-failed docker.service
  systemctl restart docker.service || {
    journalctl -u docker.service -n 15 --no-pager -o cat
    fail 'dockerd does not start with its new configuration: see journalctl -u docker.service'
  }
  changed 'docker.service restarted'
elif ! systemctl is-active -q docker.service; then
  systemctl start docker.service
  changed 'docker.service started'
fi
wait_for 120 'docker info answers' docker info
if [ -s "$work/running" ]; then
  lost=()
  while IFS= read -r id; do
    # What ended by itself with status 0, or was removed on its end, is none of ours.
    code=$(docker inspect -f '{{.State.ExitCode}}' "$id" 2>/dev/null || echo 0)
    if [ "$code" != 0 ]; then lost+=("$(docker inspect -f '{{.Name}}, status {{.State.ExitCode}}' "$id")"); fi
  done < <(comm -23 "$work/running" <(running))
  # A second restart would bring none of them back.
  settled docker
  if [ "\${#lost[@]}" -gt 0 ]; then
    fail "containers ended while dockerd was restarted: $(printf '%s; ' "\${lost[@]}")see docker ps -a, and journalctl -u docker.service"
  fi
fi
settled docker
backend=$(docker info -f '{{json .}}' | python3 -c 'import json, sys
print((json.load(sys.stdin).get("FirewallBackend") or {}).get("Driver", ""))')
case $backend in
  nftables*) fail "dockerd uses the firewall backend $backend, which has no chain DOCKER-USER for the rules of Berth: set \\"firewall-backend\\": \\"iptables\\"" ;;
esac
`;

export const FACTS = `
info() { docker info -f "$1" 2>/dev/null; }
fact docker "$(info '{{.ServerVersion}}')"
fact dockerPackage "$(dpkg -S "$(readlink -f "$(command -v dockerd)")" 2>/dev/null | cut -d : -f 1 || true)"
fact storageDriver "$(info '{{.Driver}}')"
fact cgroupDriver "$(info '{{.CgroupDriver}}')"
fact_json liveRestore "$(info '{{.LiveRestoreEnabled}}')"
fact_json cdi "$(python3 -c 'import json
features = json.load(open("/etc/docker/daemon.json", encoding="utf-8-sig")).get("features")
print("true" if isinstance(features, dict) and features.get("cdi") is True else "false")')"
`;

/** Where the stage remembers whom it let at Docker, for the day when the node leaves. */
export const LOGIN_RECORD = "docker-login";

/** The login that the Docker provider connects with, where it is not root: it has sudo without a password anyway. */
export function loginStep(login: string): string {
  const name = checkLinuxName(login, "runtime.login");
  return `
if id -nG ${name} | tr ' ' '\\n' | grep -q -x docker; then return 0; fi
usermod -a -G docker ${name}
printf '%s\\n' ${name} >"$state/${LOGIN_RECORD}"
changed 'group docker of ${name}'
`;
}
