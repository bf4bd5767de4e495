/**
 * @file Hostile rows: somebody who takes all that there is. The limits hold inside, and the neighbours and the node go on.
 * A home's quota is not among them: these nodes' file system has none (test/e2e/nodes/host-storage.test.ts).
 */
import { SOCKET } from "./hostile-daemon";
import { askMuch, WITH_AN_END } from "./hostile-streams";
import { curl, type Row } from "./hostile-table";

/** Carol's, set where the test adds her: fewer than the default, so that what reaches it is soon over. */
export const PIDS = 512;
/** As `student` in cluster-rig.ts has it. */
const CPUS = 1;
/** What a throttled group of processes may be over its limit, as it is looked at in between. */
const TOLERANCE = 1.15;

/** Sleeping processes until there may be no more; prints why, and whether that was before the limit. */
const FORKS = `import os
made = []
try:
    while len(made) < 4 * ${PIDS}:
        made.append(os.posix_spawn("/bin/sleep", ["sleep", "60"], {}))
    print("no end")
except OSError as error:
    print(error.strerror, "within the limit" if len(made) < ${PIDS} else "at %d" % len(made))
finally:
    for pid in made:
        os.kill(pid, 9)
    # Until then they count, and the next attempt would find no room.
    for pid in made:
        os.waitpid(pid, 0)
`;

/** Four busy processes, for two seconds and until they were held back once. */
const BUSY = `import os, time
at = "/sys/fs/cgroup/"
def read(name):
    with open(at + name) as file:
        return file.read()
def seen():
    if os.path.exists(at + "cpu.stat"):
        stat = dict(line.split() for line in read("cpu.stat").splitlines())
        return int(stat["usage_usec"]) / 1e6, int(stat["nr_throttled"])
    stat = dict(line.split() for line in read("cpu/cpu.stat").splitlines())
    return int(read("cpuacct/cpuacct.usage")) / 1e9, int(stat["nr_throttled"])
children = []
for _ in range(4):
    child = os.fork()
    while child == 0:
        pass
    children.append(child)
used, held = seen()
began = time.monotonic()
try:
    while True:
        time.sleep(2)
        (now, times), took = seen(), time.monotonic() - began
        if times > held or took > 12:
            break
finally:
    for child in children:
        os.kill(child, 9)
share = (now - used) / took
print("held back," if times > held else "never held back,", "within the limit" if share <= ${CPUS * TOLERANCE} else "%.2f CPUs" % share)
`;

const carol = (what: string, command: string, expect: Row["expect"]): Row => ({
  ...{ from: "carol", what, command, expect, seconds: 40 },
});

/** One after the other: each takes the processors for itself. */
export const limitRows: readonly Row[] = [
  // Whatever asks berthd on her socket within the next minute is told to wait.
  carol("asks berthd so much in a minute", askMuch(SOCKET, "http://berthd"), WITH_AN_END),
  carol(
    "ends inside when it takes more memory than the limit",
    `/usr/bin/python3 -c 'b"x" * (2 * 1024 ** 3)'; echo "ended with $?"`,
    /ended with 137$/,
  ),
  carol(
    "starts no more processes than the limit",
    `/usr/bin/python3 -c '${FORKS}'`,
    "Resource temporarily unavailable within the limit",
  ),
  carol(
    "puts no more into /dev/shm than its size",
    "head -c 300M /dev/zero >/dev/shm/hostile; code=$?; rm -f /dev/shm/hostile; df -BM --output=size /dev/shm | tail -n 1 | xargs; exit $code",
    "head: error writing 'standard output': No space left on device\n256M\nexit 1",
  ),
  carol("takes no more CPU than the limit", `/usr/bin/python3 -c '${BUSY}'`, "held back, within the limit"),
];

/** Once all that was tried. */
export const afterRows: readonly Row[] = [
  carol(
    "still has all her services",
    'sudo -n supervisorctl status | awk \'$1 != "services" && $2 != "RUNNING"\'',
    "",
  ),
  {
    what: "is answered on his socket, though carol there, and others with his token, asked more than they may",
    from: "bob",
    command: curl("http://berthd/api/whoami", SOCKET),
    expect: "200",
  },
  {
    what: "still works in his notebook",
    from: "bob",
    command: `port=$(sed -n 's/^c.ServerApp.port = //p' /etc/berth/services/jupyter.py)
curl --noproxy '*' -sS -m 10 -o /dev/null -w '%{http_code}\\n' "http://127.0.0.1:$port/api/status"`,
    expect: "403",
  },
  {
    what: "goes on: no workspace on it ended, and berthd is well",
    from: "node",
    command: `docker inspect -f '{{.State.Status}} {{.RestartCount}}' $BOB $CAROL
berth health >/dev/null && echo well`,
    expect: "running 0\nrunning 0\nwell",
  },
];
