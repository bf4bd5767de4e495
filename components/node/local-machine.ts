/**
 * What a container needs to be a machine of its own, beside what the policy of the kind `node` says. The program makes
 * such containers as nodes, and the tests make them by the docker command as nodes, servers and droplets. Pure.
 */
export const MACHINE = {
  devices: ["/dev/fuse"],
  tmpfs: {
    "/run": "exec,nosuid,nodev,mode=755",
    "/run/lock": "nosuid,nodev",
    "/tmp": "exec,nosuid,nodev,mode=1777",
  },
  /** Has a volume of its own: overlay file systems do not lie on one another. */
  dockerData: "/var/lib/docker",
};
