/**
 * The first stage of a server that Berth adopts: what is there, what Berth will change, what stands in the way. Pure.
 *
 * It changes nothing on the server. What it writes: its log in /var/log/berth, the stages' lock in /run, and, as long
 * as no other stage has run, /var/lib/berth/before.json: what was there before Berth, for the day when the node leaves
 * the stack (`renderRetire`).
 */
import type { PortRange } from "../../config";
import { type BaseOptions, basePackages, TIMEZONE } from "./base";
import type { FirewallOptions } from "./firewall";
import { loginProblem, rayAccountProblem } from "./login";
import { MANAGER_PROBLEMS } from "./manager";
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
import { ALL_KEYS, LOAD_JSON, READ_UNIT } from "./runtime/told";
import { scriptsOf } from "./script";
import { checkLabel, heredoc, quote, quoteAll } from "./shell";
import { SSHD_CHANGES, SSHD_PROBLEMS } from "./sshd";
import { renderStage } from "./stage";
import { type StorageOptions, storageSteps } from "./storage";

const script = scriptsOf(__dirname);

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
 * that is taken, a folder of people's that cannot be mounted nosuid and nodev, GPUs that running containers would lose.
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
          ...(options.login === undefined
            ? []
            : [
                loginProblem(options.login, "autoExec"),
                'if [ -n "$login_problem" ]; then problem "$login_problem"; fi',
              ]),
          ...(options.firewall.rayUid === undefined ? [] : [rayAccountProblem(options.firewall.rayUid)]),
          ...(options.base?.manager ? [MANAGER_PROBLEMS] : []),
          fstabProblems(options.storage ?? {}),
        ].join("\n"),
      },
      { name: "Docker", body: `${helpers}\n${DOCKER}`, deadlineSeconds: 120 },
      {
        name: "what Docker is told",
        body: `${helpers}\n${told(options.runtime ?? {})}`,
        deadlineSeconds: 60,
      },
      { name: "sshd", body: SSHD_PROBLEMS, deadlineSeconds: 60 },
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
  return `stack=${quote(stack)}\n${script("preflight-owner.sh")}`;
}

const privateAddress = ({ privateAddress: address, privateInterface = "" }: PreflightOptions): string =>
  `private_address ${quote(address)} ${quote(privateInterface)}`;

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
  const directories = [...new Set(storageDirectories(storage))];
  return [
    helpers,
    ': >"$work/will"',
    packages(base, storage, runtime),
    SSHD_CHANGES,
    `security_updates=${base.securityUpdates ? "yes" : "no"} zone=${TIMEZONE}`,
    script("preflight-base.sh"),
    closing(options.firewall),
    `directories=(${quoteAll(directories)})`,
    script("preflight-directories.sh"),
    mountChanges(storage),
    guardChanges(storage),
    daemonJson(runtime),
    'new_file /etc/systemd/system/berthd.service "the daemon that grants GPUs and holds limits, with its own Node.js in /usr/local/lib/berth"',
    'fact_json willChange "$(json_lines <"$work/will")"',
  ].join("\n");
}

const told = (runtime: RuntimeOptions): string =>
  [READ_UNIT, `daemon_keys=(${ALL_KEYS(daemonConfig(runtime)).join(" ")})`, script("preflight-told.sh")].join(
    "\n",
  );

function packages(base: BaseOptions, storage: StorageOptions, runtime: RuntimeOptions): string {
  const engine = runtime.docker?.from === "docker" ? "docker-ce docker-ce-cli containerd.io" : "docker.io";
  const step = storageSteps(storage).find(({ name }) => name === "packages")?.body ?? "";
  const wanted = [
    ...basePackages,
    ...(base.securityUpdates ? ["unattended-upgrades"] : []),
    ...(base.manager ? ["dbus", "git"] : []),
    ...(/^apt_install (.+)$/m.exec(step)?.[1] ?? "").split(" ").filter((name) => name !== ""),
  ];
  return `packages=(${[...new Set(wanted)].join(" ")}) engine=(${engine})\n${script("preflight-packages.sh")}`;
}

/** What listens now, or is published by a container, and is in no rule of the plan that would leave both open. */
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
  const rules = (firewall.rules ?? []).flatMap(({ port, protocol = "tcp", published }) =>
    published ? [] : [{ protocol, ...one(port) }],
  );
  const lines = (list: typeof open) =>
    list
      .map((range, i) => ({ ...range, ...checkRange(range, `firewall.rules[${i}]`) }))
      .map(({ protocol, start, end }) => `${protocol} ${start} ${end}\n`)
      .join("");
  return `metadata=${quote(METADATA[4].join(", "))}
cat >"$work/open" ${heredoc(lines([...open, ...rules]))}
${script("preflight-firewall.sh")}`;
}

/** The merge that the stage `runtime` will make, compared with what is there. */
const daemonJson = (runtime: RuntimeOptions): string =>
  [
    `cat >"$work/ours.json" ${heredoc(JSON.stringify(daemonConfig(runtime)))}`,
    `cat >"$work/merge.py" ${heredoc(MERGE)}`,
    `cat >"$work/changed-keys.py" ${heredoc(`${LOAD_JSON}\n${script("changed-keys.py")}`)}`,
    script("preflight-daemon-json.sh"),
  ].join("\n");
