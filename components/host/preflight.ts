/**
 * The first stage of a server that Berth adopts: what is there, what Berth will change, what stands in the way. Pure.
 *
 * It changes nothing on the server. What it writes: its log in /var/log/berth, the stages' lock in /run, and, as long
 * as no other stage has run, /var/lib/berth/before.json: what was there before Berth, for the day when the node leaves
 * the stack (`renderRetire`).
 */
import type { PortRange } from "../../config";
import { isAddress } from "../../core/net";
import { type BaseOptions, basePackages } from "./base";
import type { FirewallOptions } from "./firewall";
import { loginProblem, rayAccountProblem } from "./login";
import { checkRange } from "./networks";
import { distributionCheck } from "./node-ready";
import { METADATA } from "./outgoing";
import {
  existingDirectories,
  fstabProblems,
  guardChanges,
  guardProblems,
  mountChanges,
  storageDirectories,
} from "./preflight-storage";
import { RECORD, readerLibrary } from "./retire/before";
import { DOCKER, FIREWALLS, helpers, LISTENERS, SYSTEM, VERDICT } from "./retire/looks";
import { daemonConfig, MERGE, type RuntimeOptions } from "./runtime";
import { LOAD_JSON, toldCheck } from "./runtime/told";
import {
  checkLabel,
  checkPackage,
  checkPath,
  checkWhole,
  heredoc,
  quote,
  quoteAll,
  StageOptionError,
} from "./shell";
import { SSHD_CHANGES, sshdProblems } from "./sshd";
import { renderStage } from "./stage";
import { type StorageOptions, storageSteps } from "./storage";

export { type PreflightDisk, type PreflightFacts, readPreflightFacts } from "./retire/preflight-facts";

export interface PreflightOptions {
  /** A server is a node of one stack. */
  stack: string;
  /** The address that the nodes share; it must be on one of the server's interfaces. */
  privateAddress: string;
  /** The interface that must hold it. @default any */
  privateInterface?: string;
  /** What the port plan gives away. A port of these that somebody else listens on ends the stage. */
  ports: readonly PlannedPorts[];
  /** Free room that the installation needs; checked while the server has no Docker yet. @default [] */
  minFree?: readonly { path: string; bytes: number }[];
  /** What the other stages get, so that this one can tell what they will change. */
  base?: BaseOptions;
  firewall: FirewallOptions;
  storage?: StorageOptions;
  runtime?: RuntimeOptions;
  /** Whom an SSH login leads into a workspace (`autoExec`): it has to be there. @default nobody */
  login?: string;
  /** False: only a look. Nothing is written about what was before, so the server is nobody's node. @default true */
  record?: boolean;
}

export interface PlannedPorts extends PortRange {
  /** Who uses it, such as `the users' blocks`. */
  what: string;
  /** Where it is configured, such as `berth:ports.users`. */
  path: string;
}

/**
 * Facts: see `PreflightFacts`. Everything that makes an adoption impossible is told at once, with what to do: another
 * system than Debian or Ubuntu, no systemd, Docker as a snap or in a swarm, firewalld, a private address that is on no interface, a port of the plan
 * that is taken, too little room, a folder of people's that cannot be mounted nosuid and nodev, GPUs that running containers would lose.
 * On a server that Berth has set up already, Berth's own ports, containers and rules are no clash.
 * @throws StageOptionError for a value that cannot be.
 */
export function renderPreflight(options: PreflightOptions & { node: string }): string {
  return renderStage({
    name: "preflight",
    node: options.node,
    uses: ["files", "apt"],
    steps: [
      {
        name: "the system",
        body: [
          helpers,
          readerLibrary,
          SYSTEM,
          distributionCheck("problem").trim(),
          owner(options.stack),
          privateAddress(options),
          room(options),
          ...(options.login === undefined
            ? []
            : [
                loginProblem(options.login, "autoExec"),
                'if [ -n "$login_problem" ]; then problem "$login_problem"; fi',
              ]),
          ...(options.firewall.rayUid === undefined ? [] : [rayAccountProblem(options.firewall.rayUid)]),
          fstabProblems(options.storage ?? {}),
        ].join("\n"),
      },
      { name: "Docker", body: `${helpers}\n${DOCKER}`, deadlineSeconds: 120 },
      {
        name: "what Docker is told",
        body: `${helpers}\n${told(options.runtime ?? {})}`,
        deadlineSeconds: 60,
      },
      { name: "sshd", body: sshdProblems(options.base?.operator !== undefined), deadlineSeconds: 60 },
      { name: "firewalls", body: `${helpers}\n${FIREWALLS}`, deadlineSeconds: 120 },
      { name: "ports", body: `${helpers}\n${LISTENERS}\n${clashes(options.ports)}` },
      {
        name: "what people write",
        body: `${helpers}\n${guardProblems(options.storage ?? {})}`,
        deadlineSeconds: 120,
      },
      { name: "what stands in the way", body: VERDICT, deadlineSeconds: 30 },
      {
        name: "what was before",
        body:
          options.record === false
            ? `${readerLibrary}\nfact before "$(if has_before; then echo recorded; else echo unrecorded; fi)"`
            : `${readerLibrary}\nstack=${quote(options.stack)}\n${existingDirectories(options.storage ?? {})}\n${RECORD}`,
      },
      { name: "what will change", body: changes(options), deadlineSeconds: 120 },
    ],
  });
}

function owner(stack: string): string {
  checkLabel(stack, "preflight.stack");
  return `
owner=$(before stack)
if [ -n "$owner" ] && [ "$owner" != ${quote(stack)} ]; then
  problem "this server is a node of the stack $owner. Take it out there first: remove it from that configuration, and run an update"
fi
`.trim();
}

function privateAddress(options: PreflightOptions): string {
  const { privateAddress: address, privateInterface } = options;
  if (!isAddress(address)) {
    throw new StageOptionError("preflight.privateAddress", address, "an IPv4 or IPv6 address");
  }
  // IFNAMSIZ is 16 with its NUL.
  if (privateInterface !== undefined && !/^[A-Za-z0-9_.:-]{1,15}$/.test(privateInterface)) {
    throw new StageOptionError(
      "preflight.privateInterface",
      privateInterface,
      "a network interface, such as 'eth1'",
    );
  }
  return `private_address ${quote(address)} ${quote(privateInterface ?? "")}`;
}

function room(options: PreflightOptions): string {
  return (options.minFree ?? [])
    .map(({ path, bytes }) => {
      const where = "preflight.minFree";
      const size = checkWhole(bytes, where, 0, Number.MAX_SAFE_INTEGER);
      return `check_room ${quote(checkPath(path, where))} ${size}`;
    })
    .join("\n");
}

function clashes(ports: readonly PlannedPorts[]): string {
  const lines = ports.map((range, i) => {
    const { start, end } = checkRange(range, `preflight.ports[${i}]`);
    return `planned ${start} ${end} ${quote(range.what)} ${quote(range.path)}`;
  });
  return lines.join("\n");
}

/** From the options of each stage to lines that say what it does to this server; nothing where it is done already. */
function changes(options: PreflightOptions): string {
  const { base = {}, storage = {}, runtime = {} } = options;
  return `
${helpers}
: >"$work/will"
${packages(base, storage, runtime)}
# The stage "base".
${base.operator ? `if ! getent passwd ${quote(base.operator.name)} >/dev/null; then will "makes the user "${quote(base.operator.name)}; fi` : ":"}
${SSHD_CHANGES}
new_file /etc/systemd/journald.conf.d/50-berth.conf 'a limit for the journal'
new_file /etc/sysctl.d/60-berth.conf 'kernel settings: reserved ports, and outside containers inotify and memory maps'
${base.securityUpdates ? "new_file /etc/apt/apt.conf.d/53berth-security-updates 'security updates every day, nothing restarts by itself'" : ":"}
if ! systemd-detect-virt --container -q; then
  zone=${quote(base.timezone ?? "Etc/UTC")}
  if [ "$(readlink -f /etc/localtime)" != "$(readlink -f "/usr/share/zoneinfo/$zone")" ]; then
    will "sets the time zone to $zone (now $(timedatectl show -p Timezone --value))"
  fi
  if [ "$(cat -- "$work/timesync")" = none ]; then will 'starts systemd-timesyncd: no time service runs'; fi
fi
# The stage "firewall".
${closing(options.firewall)}
# The stage "storage".
for path in ${quoteAll([...new Set(storageDirectories(storage))])}; do
  if [ ! -d "$path" ]; then printf '%s\\n' "$path"; fi
done >"$work/make"
if [ -s "$work/make" ]; then will "makes directories: $(paste -s -d ' ' -- "$work/make")"; fi
${mountChanges(storage)}
${guardChanges(storage)}
# The stage "runtime".
${daemonJson(runtime)}
# The stage "agent".
new_file /etc/systemd/system/berthd.service "the daemon that grants GPUs and holds limits, with its own Node.js in /usr/local/lib/berth"
fact_json willChange "$(json_lines <"$work/will")"
`;
}

/** What others tell dockerd, in its file and by its unit; it may wait for a Docker that is still to come. */
function told(runtime: RuntimeOptions): string {
  return `
if ! command -v python3 >/dev/null; then
  if command -v dockerd >/dev/null; then
    problem 'python3 is missing, with which the settings of Docker are read: apt-get install python3'
  fi
  return 0
fi
told() {
${toldCheck(daemonConfig(runtime))}
}
told >"$work/told" 2>&1 || true
cat -- "$work/told" >>"$work/problems"
`.trim();
}

function packages(base: BaseOptions, storage: StorageOptions, runtime: RuntimeOptions): string {
  const engine = runtime.docker?.from === "docker" ? "docker-ce docker-ce-cli containerd.io" : "docker.io";
  const step = storageSteps(storage).find(({ name }) => name === "packages")?.body ?? "";
  const wanted = [
    ...basePackages,
    ...(base.packages ?? []).map((name) => checkPackage(name, "base.packages")),
    ...(base.securityUpdates ? ["unattended-upgrades"] : []),
    ...(/^apt_install (.+)$/m.exec(step)?.[1] ?? "").split(" ").filter((name) => name !== ""),
  ];
  return `
packages=(${[...new Set(wanted)].join(" ")})
if ! command -v dockerd >/dev/null; then packages+=(${engine}); fi
missing=()
for package in "\${packages[@]}"; do
  if ! apt_installed "$package"; then missing+=("$package"); fi
done
if [ "\${#missing[@]}" -gt 0 ]; then will "installs packages: \${missing[*]}"; fi
`.trim();
}

/** What listens now, or is published by a container, and is in no rule of the plan. */
function closing(firewall: FirewallOptions): string {
  const one = (port: number | PortRange) => (typeof port === "number" ? { start: port, end: port } : port);
  const open = [
    { protocol: "tcp", ...one(firewall.sshPort ?? 22) },
    ...firewall.clusterPorts.map((range) => ({ protocol: "tcp", ...range })),
    ...(firewall.allowUsers.length > 0 ? firewall.userPorts : []).map((range) => ({
      protocol: "tcp",
      ...range,
    })),
  ];
  const rules = (firewall.rules ?? []).map(({ port, protocol }) => ({
    protocol: protocol ?? "tcp",
    ...one(port),
  }));
  const lines = (list: typeof open) =>
    list
      .map((range, i) => ({ ...range, ...checkRange(range, `firewall.rules[${i}]`) }))
      .map(({ protocol, start, end }) => `${protocol} ${start} ${end}\n`)
      .join("");
  return `
cat >"$work/open" ${heredoc(lines([...open, ...rules]))}
if [ "$(cat -- "$work/ufw")" != active ]; then
  text='enables ufw: nothing comes in but what the plan allows; what this server forwards for others goes on'
  closed=$(closed_ports <"$work/outside")
  if [ -n "$closed" ]; then text="$text. These ports that listen now will be closed to the outside: $closed"; fi
  will "$text"
elif ! ufw show added | grep -q -e " comment 'berth:"; then
  will 'adds its rules to ufw, each marked berth:…; your own rules stay'
fi
if ! grep -q -s -e BERTH-OUT /etc/berth/firewall/v4.rules; then
  will "adds rules for what this server sends: ${METADATA[4].join(", ")}, where providers serve a machine's metadata, is for root alone"
fi
if [ ! -e /usr/local/lib/berth/firewall ] && [ -s "$work/published" ]; then
  closed=$(closed_ports <"$work/published")
  if [ -n "$closed" ]; then
    will "closes published ports of containers to the outside, unless firewall.rules allow them: $closed"
  fi
fi
if [ ! -e /usr/local/lib/berth/firewall ] && [ -s "$work/redirected" ]; then
  closed=$(closed_ports <"$work/redirected")
  if [ -n "$closed" ]; then
    will "closes ports that rules of others forward (DNAT) to the outside, unless firewall.rules allow them: $closed"
  fi
fi
`.trim();
}

/** NEW OLD: the keys of the new file that are not in the old one, or say something else there. */
const CHANGED_KEYS = `${LOAD_JSON}
new, old = (load(name) for name in sys.argv[1:3])
print(", ".join("%s (now %s)" % (key, json.dumps(old[key])) if key in old else key
                for key in sorted(set(old) | set(new)) if old.get(key) != new.get(key)))
`;

/** The merge that the stage `runtime` will make, compared with what is there. Where there is Docker, there is Python: see `told`. */
function daemonJson(runtime: RuntimeOptions): string {
  const config = daemonConfig(runtime);
  return `
if command -v dockerd >/dev/null; then
  cat >"$work/ours.json" ${heredoc(JSON.stringify(config))}
  cat >"$work/merge.py" ${heredoc(MERGE)}
  version=$(dockerd --version | sed -n 's/^Docker version \\([0-9.]*\\).*/\\1/p')
  cdi=no firewall=
  if dpkg --compare-versions "$version" ge 25; then cdi=yes; fi
  if dpkg --compare-versions "$version" ge 29; then firewall=iptables; fi
  FIREWALL=$firewall OURS=$work/merged-ours python3 "$work/merge.py" /etc/docker/daemon.json "$state/daemon.json" "$cdi" \\
    <"$work/ours.json" >"$work/daemon.json"
  cat >"$work/keys.py" ${heredoc(CHANGED_KEYS)}
  keys=$(python3 "$work/keys.py" "$work/daemon.json" /etc/docker/daemon.json)
  if [ -n "$keys" ]; then
    text="sets in /etc/docker/daemon.json: $keys; and restarts dockerd"
    running=$(cat -- "$work/running")
    if [ "$running" -gt 0 ]; then
      text="$text. Containers that run ($running) go on: live-restore is switched on by a reload before the restart"
    fi
    will "$text"
  fi
fi
`.trim();
}
