/** systemd's part of berthd: its unit, and the folders in /run that have to be there before any container starts. Pure. */
import { checkLinuxName } from "../host/shell";
import { AGENT } from "./options";

/** berthd says that it lives this often at least; systemd ends and starts it otherwise. */
const WATCHDOG_SECONDS = 30;

/**
 * What berthd writes. `/etc/systemd/system`: the slices of groups and users. `/etc/cdi`, `/var/run/cdi`: the devices of
 * the containers. Those with `-` need not be there.
 */
const WRITES = [
  "/var/lib/berth",
  "-/var/cache/berth",
  "/var/log/berth",
  "/run/berth",
  "/etc/systemd/system",
  "-/etc/cdi",
  "-/var/run/cdi",
];

/**
 * What it may do as root: files of others (sockets, cgroups), ending and looking at processes of containers, GPU
 * instances (SYS_ADMIN, and MKNOD for their device files). It reaches root by Docker's socket all the same: this keeps
 * accidents small.
 */
const CAPABILITIES = [
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "KILL",
  "MKNOD",
  "SETGID",
  "SETUID",
  "SYS_ADMIN",
  "SYS_PTRACE",
].map((name) => `CAP_${name}`);

/**
 * `Restart=always` with a bound: what cannot start is tried for two minutes and then stands as failed, where people
 * and monitoring see it. MemoryDenyWriteExecute is not for a program that compiles while it runs. ProtectProc is off,
 * since who uses a GPU is read from /proc.
 */
export function renderUnit(): string {
  return `# Berth's daemon. This file is rendered.
[Unit]
Description=Berth: GPUs, limits and containers of this node
After=network.target docker.service systemd-tmpfiles-setup.service
Wants=docker.service
StartLimitIntervalSec=180
StartLimitBurst=30

[Service]
Type=notify
NotifyAccess=main
ExecStart=${AGENT.programs}/current/bin/berthd
Restart=always
RestartSec=2
TimeoutStartSec=60
TimeoutStopSec=30
WatchdogSec=${WATCHDOG_SECONDS}
KillMode=mixed
UMask=0077
LimitNOFILE=65536
TasksMax=256
MemoryMax=256M
OOMScoreAdjust=-500

NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=${WRITES.join(" ")}
ProtectHome=yes
PrivateTmp=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
CapabilityBoundingSet=${CAPABILITIES.join(" ")}
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
`;
}

/**
 * Made at every start, before Docker starts the workspaces that mount them, and never replaced while the node runs: a
 * container sees the folder that was there when it started.
 */
export function renderFolders(users: readonly string[]): string {
  const lines = users.map(
    (name) => `d ${AGENT.sockets}/${checkLinuxName(name, "agent.users")} 0755 root root -`,
  );
  return `# Berth. This file is rendered.
d /run/berth 0755 root root -
d ${AGENT.sockets} 0700 root root -
${lines.map((line) => `${line}\n`).join("")}`;
}
