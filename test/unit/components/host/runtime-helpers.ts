/**
 * A machine in a folder for the runtime stage: apt, dpkg, systemd, Docker and the network as stand-ins that remember
 * what was done, so that a second run meets what the first one left. bash, sed, python3 and dpkg's comparison are real.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import { type RuntimeOptions, runtimeSteps } from "../../../../components/host/runtime";
import { parseFacts, renderStage } from "../../../../components/host/stage";
import { standIns } from "../../../lib/host-scripts";

/** What is real here; anything else is a stand-in or is not there, as the machine that runs the tests may have it. */
const REAL =
  "awk basename bash cat chmod chown cmp comm cp cut date dirname env find grep gzip head id install ln ls mkdir mktemp mv " +
  "od paste python3 readlink rm sed sha256sum sleep sort stat sync tail tee timeout touch tr uname wc zcat";

export function runtimeMachine() {
  let folder = "";
  const stand = standIns(() => folder);
  const { at, tool } = stand;
  const write = (path: string, content: string) => {
    mkdirSync(dirname(at(path)), { recursive: true });
    writeFileSync(at(path), content);
  };
  /** A package that is installed, and perhaps the program in it that `dpkg -S` should know. */
  const installed = (name: string, version: string, program?: string) => {
    write(`packages/${name}`, version);
    if (program) write(`owners/${program}`, name);
  };
  /** A package that apt would install; what then happens on the machine, in bash. */
  const offered = (name: string, version: string, then = "") => {
    write(`offers/${name}`, version);
    write(`hooks/apt-${name}`, then);
  };
  /** A systemd unit; `then` is what its start does. */
  const unit = (name: string, state: { enabled?: string; active?: boolean; then?: string } = {}) => {
    write(`units/${name}`, "");
    if (state.enabled) write(`enabled/${name}`, state.enabled);
    if (state.active) write(`active/${name}`, "");
    write(`hooks/start-${name}`, state.then ?? "");
  };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "berth-runtime-"));
    for (const name of [
      "bin",
      "packages",
      "offers",
      "hooks",
      "owners",
      "units",
      "enabled",
      "active",
      "etc/apt",
    ])
      mkdirSync(at(name), { recursive: true });
    for (const name of REAL.split(" "))
      symlinkSync(execFileSync("which", [name], { encoding: "utf8" }).trim(), at(`bin/${name}`));
    write("etc/os-release", 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n');
    tool(
      "apt-get",
      `record "$@"
seen=no
for word; do
  if [ "$word" = install ]; then seen=yes; continue; fi
  if [ $seen = no ] || [[ $word == -* ]]; then continue; fi
  name=$(basename "\${word%.deb}")
  if [ ! -e "${at("offers")}/$name" ]; then echo "E: Unable to locate package $name"; exit 100; fi
done
seen=no
for word; do
  if [ "$word" = install ]; then seen=yes; continue; fi
  if [ $seen = no ] || [[ $word == -* ]]; then continue; fi
  name=$(basename "\${word%.deb}")
  cp "${at("offers")}/$name" "${at("packages")}/$name"
  bash "${at("hooks")}/apt-$name"
done`,
    );
    tool(
      "dpkg-query",
      `for name; do :; done
[ -e "${at("packages")}/$name" ] || exit 1
case "$*" in *Version*) cat "${at("packages")}/$name" ;; *) echo installed ;; esac`,
    );
    tool(
      "dpkg",
      `case $1 in
  --compare-versions) exec /usr/bin/dpkg "$@" ;;
  --print-architecture) echo amd64 ;;
  -S) [ -e "${at("owners")}/$(basename "$2")" ] && echo "$(cat "${at("owners")}/$(basename "$2")"): $2" ;;
esac`,
    );
    tool(
      "apt-cache",
      `case $1 in
  show) [ -e "${at("offers")}/$2" ] ;;
  policy)
    if [ -z "\${2:-}" ]; then cat "${at("policy")}" 2>/dev/null || true; exit; fi
    printf '%s:\\n  Installed: (none)\\n  Candidate: %s\\n' "$2" "$(cat "${at("offers")}/$2" 2>/dev/null || echo '(none)')" ;;
  madison) printf ' docker-ce | %s | https://x\\n' 5:28.5.2-1~debian.12~bookworm 5:29.3.1-1~debian.12~bookworm ;;
esac`,
    );
    tool(
      "systemctl",
      `now=no; words=()
for word; do case $word in --now) now=yes ;; -*) ;; *) words+=("$word") ;; esac; done
verb=\${words[0]} name=\${words[1]:-}
known() { [ -e "${at("units")}/$1" ] || [ -e "${at("etc/systemd/system")}/$1" ]; }
case $verb in
  cat) known "$name" && { cat "${at("units")}/$name" 2>/dev/null || true; } ;;
  is-enabled) cat "${at("enabled")}/$name" 2>/dev/null || { echo disabled; exit 1; } ;;
  is-active) [ -e "${at("active")}/$name" ] ;;
  daemon-reload) record "$@" ;;
  *)
    record "$@"
    for name in "\${words[@]:1}"; do
      known "$name" || { echo "Unit $name could not be found"; exit 5; }
      case $verb in
        enable) echo enabled >"${at("enabled")}/$name" ;;
        disable) rm -f "${at("enabled")}/$name"; if [ $now = yes ]; then rm -f "${at("active")}/$name"; fi ;;
        start | restart) touch "${at("active")}/$name" ;;
      esac
      case $verb in start | restart | reload) [ ! -e "${at("hooks")}/$verb-$name" ] || bash "${at("hooks")}/$verb-$name" || exit 1 ;; esac
    done ;;
esac`,
    );
    tool("journalctl", "echo 'the last lines of the journal'");
    tool(
      "curl",
      `record "$@"; while [ $# -gt 0 ] && [ "$1" != -o ]; do shift; done; [ $# -lt 2 ] || echo downloaded >"$2"`,
    );
    // `fingerprints` holds those of the downloaded file's primary keys.
    tool(
      "gpg",
      `case "$*" in
  *--show-keys*) while read -r key; do printf 'pub:-:4096:1:%s:\\nfpr:::::::::%s:\\nsub:-:\\nfpr:::::::::%s:\\n' "\${key: -16}" "$key" 0000000000000000000000000000000000000000; done <"${at("fingerprints")}" ;;
  *--export*) while [ "$1" != --output ]; do shift; done; echo "ring of \${4}" >"$2" ;;
esac`,
    );
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** Runs the named steps of the stage on this machine. */
  function run(options: RuntimeOptions, names: readonly string[], before = "") {
    const steps = runtimeSteps(options).filter(({ name }) => names.includes(name));
    if (steps.length !== names.length) throw new Error(`no such steps: ${names.join(", ")}`);
    const command = renderStage({
      name: "runtime",
      node: "node-0",
      uses: ["files", "apt"],
      steps: steps.map((step) => ({
        ...step,
        body: `PATH=${at("bin")}\n${before}\n${move(step.body)}`,
      })),
      paths: { logs: at("log"), state: at("state"), lock: at("lock") },
    });
    const ran = spawnSync("dash", ["-c", command], { encoding: "utf8" });
    return { ...ran, facts: ran.status === 0 ? parseFacts(ran.stdout) : {} };
  }

  /** What lies outside goes to this machine's folder. */
  const move = (text: string) =>
    text
      .replaceAll(
        /(?<![\w.])\/(etc|usr\/share|var\/run|usr\/local\/lib\/berth|sys\/firmware|var\/snap|snap)\//g,
        `${at("$1")}/`,
      )
      .replaceAll("/dev/nvidiactl", at("dev/nvidiactl"))
      .replaceAll("/proc/driver/nvidia", at("proc/driver/nvidia"))
      .replaceAll('PROC = "/proc"', `PROC = "${at("proc")}"`)
      .replaceAll(
        'BERTH, BERTH_SECONDS = "/usr/local/bin/berth", 90',
        `BERTH, BERTH_SECONDS = "${at("usr/local/bin/berth")}", 2`,
      );

  const log = () => (existsSync(at("log/runtime.log")) ? stand.read("log/runtime.log") : "");
  const listed = (path: string) => (existsSync(at(path)) ? readdirSync(at(path)).sort() : []);
  return {
    ...stand,
    write,
    installed,
    offered,
    unit,
    run,
    log,
    listed,
    gone: (name: string) => rmSync(at(`bin/${name}`)),
  };
}
