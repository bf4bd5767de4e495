/**
 * What a container needs to be a machine of its own. The program makes such containers as nodes, and the tests make
 * them by the docker command as nodes, servers and droplets. Pure.
 */
export const MACHINE = {
  /**
   * What systemd, sshd, Docker and ufw need inside a node, and no more: Docker's default set, and what
   * mounting, networking and tracing take. Not `privileged`: hosts that bar a capability refuse that whole.
   */
  capabilities: (
    "AUDIT_WRITE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK KILL MKNOD NET_ADMIN NET_BIND_SERVICE " +
    "NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_CHROOT SYS_NICE SYS_PTRACE"
  )
    .split(" ")
    .map((name) => `CAP_${name}`),
  securityOptions: ["seccomp=unconfined", "apparmor=unconfined"],
  cgroupns: "private",
  devices: ["/dev/fuse"],
  tmpfs: {
    "/run": "exec,nosuid,nodev,mode=755",
    "/run/lock": "nosuid,nodev",
    "/tmp": "exec,nosuid,nodev,mode=1777",
  },
  /** Has a volume of its own: overlay file systems do not lie on one another. */
  dockerData: "/var/lib/docker",
};
