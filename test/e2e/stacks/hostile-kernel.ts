/**
 * @file Hostile rows: the kernel, other processes and the container's own walls, by the tools and the system calls that
 * escapes are made of. Nothing here would do harm where it was allowed.
 */
import type { Row } from "./hostile-table";

const REFUSED = "Operation not permitted";

/** Number on x86_64, number on aarch64, arguments in Python. None of them changes anything if it is let through. */
const CALLS: Readonly<Record<string, readonly [number, number, string]>> = {
  acct: [163, 89, "0"],
  bpf: [321, 280, "0, 0, 0"],
  finit_module: [313, 273, '-1, b"", 0'],
  init_module: [175, 105, '0, 0, b""'],
  io_uring_setup: [425, 425, "1, 0"],
  kexec_load: [246, 104, "0, 0, 0, 0"],
  keyctl: [250, 219, "0, -3, 0"],
  // The root of whatever file system / is on, by its number: how a container once read its host's files.
  open_by_handle_at: [
    304,
    265,
    "-100, ctypes.create_string_buffer(bytes([8, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0])), 0",
  ],
  open_tree: [428, 428, '-100, b"/", 1'],
  perf_event_open: [298, 241, "0, 0, -1, -1, 0"],
  pivot_root: [155, 41, 'b"/", b"/"'],
  quotactl: [179, 60, "0, 0, 0, 0"],
  settimeofday: [164, 170, "0, 0"],
  swapon: [167, 224, 'b"/nowhere", 0'],
  userfaultfd: [323, 282, "0"],
};

const python = (program: string) => `python3 -c '${program}'`;
const called = (call: string) =>
  python(`import ctypes, os, platform
libc = ctypes.CDLL(None, use_errno=True)
print("done" if ${call} >= 0 else os.strerror(ctypes.get_errno()))`);

const systemCall = (name: string): Row => {
  const [x86, arm, args] = CALLS[name] ?? [0, 0, ""];
  return {
    what: `the system call ${name} is refused to root`,
    from: "carol",
    command: `sudo -n ${called(`libc.syscall(${x86} if platform.machine() == "x86_64" else ${arm}, ${args})`)}`,
    expect: REFUSED,
  };
};

const row = (from: Row["from"], what: string, command: string, expect: Row["expect"]): Row => ({
  ...{ from, what, command, expect },
});
const carol = (what: string, command: string, expect: Row["expect"]) => row("carol", what, command, expect);

const NO_MOUNT = /permission denied[\s\S]*\nexit 32$/i;
const READ_ONLY = /Read-only file system\nexit \d+$/;
/** The value that is there: nothing changes where it is let through. */
const rewrite = (file: string) => `sudo -n bash -c 'echo "$(cat ${file})" >${file}'`;

export const kernelRows: readonly Row[] = [
  ...Object.keys(CALLS).map(systemCall),
  carol("mounts nothing", "sudo -n mount -t tmpfs none /mnt", NO_MOUNT),
  carol("binds nothing", "sudo -n mount --bind / /mnt", NO_MOUNT),
  carol("makes nothing writable that is not", "sudo -n mount -o remount,bind,rw /shared", NO_MOUNT),
  carol("takes nosuid off nothing", "sudo -n mount -o remount,bind,suid /home/carol", NO_MOUNT),
  carol(
    "unmounts nothing",
    "sudo -n umount /run/berth",
    "umount: /run/berth: must be superuser to unmount.\nexit 32",
  ),
  ...["-m", "-n", "-p", "-m -u -i -n -p"].map((spaces) =>
    carol(
      `enters no namespaces: nsenter ${spaces}`,
      `sudo -n nsenter -t 1 ${spaces} true`,
      /^nsenter: reassociate to namespaces? .*failed: Operation not permitted\nexit 1$/,
    ),
  ),
  ...[
    ["carol", "sudo -n unshare -m id -u"],
    ["carol", "sudo -n unshare -n id -u"],
    ["carol", "unshare -Ur id -u"],
    ["bob", "unshare -Ur id -u"],
    ["bob", "unshare -m id -u"],
    ["ray", "unshare -Ur id -u"],
  ].map(([from, command = ""]) =>
    row(
      from as Row["from"],
      `makes no namespace: ${command}`,
      command,
      `unshare: unshare failed: ${REFUSED}\nexit 1`,
    ),
  ),
  carol(
    "raises no limit in the cgroup",
    `sudo -n bash -c 'for at in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
  [ ! -e $at ] || { echo "$(cat $at)" >$at; exit; }
done'`,
    READ_ONLY,
  ),
  carol(
    "makes no cgroup",
    "for at in /sys/fs/cgroup/memory /sys/fs/cgroup; do [ ! -d $at ] || { sudo -n mkdir $at/hostile; exit; }; done",
    READ_ONLY,
  ),
  ...["/proc/sys/kernel/core_pattern", "/proc/sys/net/ipv4/ip_forward"].map((file) =>
    carol(`writes no ${file}`, rewrite(file), READ_ONLY),
  ),
  // A kernel may be built without it. `h` prints a help text.
  carol(
    "reaches no magic key",
    "sudo -n bash -c 'echo h >/proc/sysrq-trigger'",
    /(Read-only file system|No such file or directory)\nexit 1$/,
  ),
  carol("reads no kernel log", "sudo -n dmesg", `dmesg: read kernel buffer failed: ${REFUSED}\nexit 1`),
  carol("has no block device", "sudo -n find /dev -type b", ""),
  carol(
    "sees no process but her container's",
    "sudo -n pgrep -a -f '[d]ockerd|[c]ontainerd|[b]erthd.cjs|[r]aylet|[s]ystemd'",
    "exit 1",
  ),
  carol(
    "has no container engine's socket",
    "sudo -n find /run /tmp /var/lib /var/tmp -name 'docker*.sock' -o -name 'containerd*.sock'",
    "",
  ),
  carol(
    "reaches no container engine",
    "curl -sS -m 3 --unix-socket /run/docker.sock http://docker/info",
    /exit 7$/,
  ),
  carol(
    "raises no hard limit of open files",
    "sudo -n bash -c 'ulimit -Hn $(($(ulimit -Hn) + 1))'",
    /cannot modify limit: Operation not permitted\nexit 1$/,
  ),
  ...["AF_PACKET", "AF_INET"].map((family) =>
    carol(
      `opens no raw socket (${family}): neither ARP nor addresses can be forged`,
      `sudo -n ${python(`import socket
socket.socket(socket.${family}, socket.SOCK_RAW, 1)`)}`,
      /PermissionError: \[Errno 1\] Operation not permitted\nexit 1$/,
    ),
  ),
  ...[
    "addr add 172.30.0.77/24 dev eth0",
    "link set dev eth0 address 02:42:ac:1e:00:4d",
    "neigh replace 172.30.0.1 lladdr 02:42:ac:1e:00:4d dev eth0",
    "route replace default via 172.30.0.77",
  ].map((words) =>
    carol(
      `changes nothing of her network: ip ${words.split(" ", 2).join(" ")}`,
      `sudo -n ip ${words}`,
      `RTNETLINK answers: ${REFUSED}\nexit 2`,
    ),
  ),
  row(
    "bob",
    "gains no rights by sudo",
    "sudo -n id -u",
    /^sudo: The "no new privileges" flag is set, which prevents sudo from running as root\.[\s\S]*\nexit 1$/,
  ),
  row("bob", "traces no process of root's", called("libc.ptrace(16, 1, 0, 0)"), REFUSED),
  ...(["bob", "ray"] as const).map((from) =>
    row(
      from,
      "has no capability, and no way to one",
      "grep -E '^(CapEff|CapAmb|NoNewPrivs)' /proc/self/status | xargs",
      "CapEff: 0000000000000000 CapAmb: 0000000000000000 NoNewPrivs: 1",
    ),
  ),
  row("ray", "runs as no account of a person's", "id -u; id -G", "10001\n10001"),
  row(
    "ray",
    "sees no homes",
    "ls /mnt/storage",
    "ls: cannot access '/mnt/storage': No such file or directory\nexit 2",
  ),
  row(
    "ray",
    "opens no raw socket",
    python(`import socket
socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 1)`),
    /PermissionError: \[Errno 1\] Operation not permitted\nexit 1$/,
  ),
  row(
    "nobody",
    "does not reach the node's container engine",
    "docker ps",
    /permission denied while trying to connect to the [Dd]ocker (daemon|API)[\s\S]*\nexit 1$/i,
  ),
];
