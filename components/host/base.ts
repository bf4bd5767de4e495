/** What every node has before anything else: packages, time, limits of the journal, SSH, kernel settings. Pure. */
import { securityUpdates } from "../../cloud-init/files";
import { MANAGER_STEP } from "./manager";
import { scriptsOf } from "./script";
import { heredoc, quoteAll } from "./shell";
import { SSHD_STEP } from "./sshd";
import { renderStage, type StageStep } from "./stage";

const script = scriptsOf(__dirname);

export interface BaseOptions {
  /**
   * True: security updates of the distribution are installed every day, and nothing else; nothing restarts by itself.
   * For machines whose user data does not see to it. @default false
   */
  securityUpdates?: boolean;
  /** True: the node has the container manager, and gets what that needs. @default false */
  manager?: boolean;
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

/** A name of the tz database. A local node keeps its own. */
export const TIMEZONE = "Etc/UTC";

const JOURNAL_BYTES = 500 * 2 ** 20;

export function renderBase(options: BaseOptions & { node: string }): string {
  return renderStage({
    name: "base",
    node: options.node,
    uses: ["files", "apt"],
    steps: [
      { name: "install packages", body: `apt_install ${basePackages.join(" ")}`, deadlineSeconds: 1200 },
      { name: "directories", body: "install -d -m 0755 /etc/berth" },
      { name: "time", body: `zone=${TIMEZONE}\n${script("time.sh")}`, deadlineSeconds: 600 },
      JOURNAL,
      SSHD_STEP,
      SYSCTL_STEP,
      updates(options.securityUpdates ?? false),
      ...(options.manager ? [MANAGER_STEP] : []),
    ],
  });
}

const JOURNAL: StageStep = {
  name: "limits of the journal",
  body: `
place 0644 /etc/systemd/journald.conf.d/50-berth.conf journald ${heredoc(`# Berth. This file is rendered.
[Journal]
SystemMaxUse=${JOURNAL_BYTES}
RuntimeMaxUse=${64 * 2 ** 20}
MaxRetentionSec=1month
`)}
if pending journald; then
  systemctl restart systemd-journald
  settled journald
fi
`,
};

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

const HEADER = "# Berth. This file is rendered.\n";
const SYSCTL_STEP: StageStep = {
  name: "kernel settings",
  body: `pairs=(${quoteAll(SYSCTL.map(([key, value]) => `${key}=${value}`))})
cat >"$work/sysctl-local" ${heredoc(HEADER)}
cat >"$work/sysctl" ${heredoc([HEADER, ...SYSCTL.map(([key, value]) => `${key} = ${value}`)].join("\n"))}
${script("sysctl.sh")}`,
};

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
