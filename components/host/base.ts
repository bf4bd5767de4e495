/** What every node has before anything else: packages, time, limits of the journal, SSH, kernel settings. Pure. */
import { securityUpdates } from "../../cloud-init/files";
import type { PortRange } from "../../config";
import { checkRange, mergeRanges, portText } from "./networks";
import { scriptsOf } from "./script";
import { checkLinuxName, checkPackage, checkPublicKey, checkWhole, heredoc, quote, quoteAll } from "./shell";
import { KEYS_DIR, sshdStep } from "./sshd";
import { renderStage, type StageStep } from "./stage";

const script = scriptsOf(__dirname);

export interface BaseOptions {
  /** Debian packages beside Berth's own. @default [] */
  packages?: readonly string[];
  /** A person's login on the node, made if it is not there. Left out: none is made, one made before stays. */
  operator?: OperatorOptions;
  /** A name of the tz database. A local node keeps its own. @default "Etc/UTC" */
  timezone?: string;
  /** Room for the system's journal. @default 500 MiB */
  journalBytes?: number;
  /**
   * Ranges that the port plan gives away. Those inside the kernel's ephemeral range are reserved, so that no
   * outgoing connection takes one. @default []
   */
  plannedPorts?: readonly PortRange[];
  /**
   * True: security updates of the distribution are installed every day, and nothing else; nothing restarts by itself.
   * For machines whose user data does not see to it. @default false
   */
  securityUpdates?: boolean;
}

export interface OperatorOptions {
  name: string;
  /** OpenSSH public keys, beside those in the person's own authorized_keys. */
  keys: readonly string[];
  /** True: sudo without a password. @default false */
  sudo?: boolean;
}

/**
 * curl and CA certificates to fetch, python3 for the stages' own JSON and networks, pciutils to find GPUs, the
 * rest is what the stages call and a minimal installation may lack.
 */
export const basePackages = [
  "ca-certificates",
  "curl",
  "iproute2",
  "iptables",
  "kmod",
  "openssh-server",
  "pciutils",
  "procps",
  "python3",
  "sudo",
  "tzdata",
  "ufw",
] as const;

/** ip-sysctl: ip_local_port_range starts at 32768 by default. */
const FIRST_EPHEMERAL_PORT = 32768;

export function renderBase(options: BaseOptions & { node: string }): string {
  const packages = [...basePackages, ...(options.packages ?? [])].map((name) =>
    checkPackage(name, "base.packages"),
  );
  return renderStage({
    name: "base",
    node: options.node,
    uses: ["files", "apt"],
    steps: [
      { name: "install packages", body: `apt_install ${packages.join(" ")}`, deadlineSeconds: 1200 },
      { name: "directories", body: "install -d -m 0755 /etc/berth" },
      ...operator(options.operator),
      time(options.timezone ?? "Etc/UTC"),
      journal(checkWhole(options.journalBytes ?? 500 * 2 ** 20, "base.journalBytes", 2 ** 23, 2 ** 40)),
      sshdStep(options.operator !== undefined),
      sysctl(options.plannedPorts ?? []),
      updates(options.securityUpdates ?? false),
    ],
  });
}

function operator(options: OperatorOptions | undefined): StageStep[] {
  if (options === undefined) return [];
  const name = checkLinuxName(options.name, "base.operator.name");
  const keys = options.keys.map((key, i) => checkPublicKey(key, `base.operator.keys[${i}]`));
  const body = `name=${name} folder=${KEYS_DIR} sudoers=/etc/sudoers.d/50-berth-${name} sudo=${options.sudo ? "yes" : "no"}
cat >"$work/operator-keys" ${heredoc(`${keys.join("\n")}\n`)}
${script("operator.sh")}`;
  return [{ name: "operator's login", body }];
}

function time(timezone: string): StageStep {
  const body = `zone=${quote(timezone, "base.timezone")}\n${script("time.sh")}`;
  return { name: "time", body, deadlineSeconds: 600 };
}

function journal(bytes: number): StageStep {
  const content = `# Berth. This file is rendered.
[Journal]
SystemMaxUse=${bytes}
RuntimeMaxUse=${Math.min(bytes, 64 * 2 ** 20)}
MaxRetentionSec=1month
`;
  const body = `
place 0644 /etc/systemd/journald.conf.d/50-berth.conf journald ${heredoc(content)}
if pending journald; then
  systemctl restart systemd-journald
  settled journald
fi
`;
  return { name: "limits of the journal", body };
}

/**
 * Kernel settings. Those outside \`net.\` belong to the whole machine: in a local node that is the operator's own
 * computer, which Berth does not change; there they are only compared, and what is too low is a fact.
 * inotify: each workspace's editor and notebook server watch thousands of files. max_map_count: what current
 * Debian-family desktops use; memory-mapped data sets and model loaders need more than the kernel's 65530.
 */
const SYSCTL: readonly (readonly [string, number])[] = [
  ["fs.inotify.max_user_instances", 8192],
  ["fs.inotify.max_user_watches", 1048576],
  ["vm.max_map_count", 1048576],
];

function sysctl(plannedPorts: readonly PortRange[]): StageStep {
  const reserved = mergeRanges(plannedPorts.map((range) => checkRange(range, "base.plannedPorts")))
    .filter((range) => range.end >= FIRST_EPHEMERAL_PORT)
    .map((range) => ({ start: Math.max(range.start, FIRST_EPHEMERAL_PORT), end: range.end }))
    .map((range) => portText(range).replace(":", "-"))
    .join(",");
  const net: [string, string][] = reserved === "" ? [] : [["net.ipv4.ip_local_reserved_ports", reserved]];
  const line = ([key, value]: readonly [string, string | number]) => `${key} = ${value}`;
  const header = "# Berth. This file is rendered.\n";
  const local = [header, ...net.map(line)].join("\n");
  const full = [header, ...net.map(line), ...SYSCTL.map(line)].join("\n");
  const body = `pairs=(${quoteAll(SYSCTL.map(([key, value]) => `${key}=${value}`))})
cat >"$work/sysctl-local" ${heredoc(local)}
cat >"$work/sysctl" ${heredoc(full)}
${script("sysctl.sh")}`;
  return { name: "kernel settings", body };
}

/** Behind 20auto-upgrades and 50unattended-upgrades of the distribution, which stay as they are: the last value counts. */
const UPDATES = "/etc/apt/apt.conf.d/53berth-security-updates";

function updates(on: boolean): StageStep {
  const lines = securityUpdates().flatMap(({ content }) => content.trim().split("\n"));
  const content = ["// Berth. This file is rendered.", ...lines.filter((line) => !line.startsWith("//"))];
  const body = on
    ? `file=${UPDATES}\ncat >"$work/updates" ${heredoc(content.join("\n"))}\n${script("security-updates.sh")}`
    : `unplace ${UPDATES}\nfact securityUpdates off`;
  return { name: "security updates", body, deadlineSeconds: 1200 };
}
