/**
 * Proves: the processes of a container are those that its cgroup lists, in each form that a cgroup has, without a look at the
 * node's other processes; where it does not tell, all are looked at; and which of them were exec'd with berthd's variable.
 */
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ContainerCgroups } from "../../../../agent/src/docker/cgroup";
import { procSessions } from "../../../../agent/src/docker/sessions";
import { Proc } from "../../../../agent/src/proc";

const ONE = "1".repeat(64);
const OTHER = "2".repeat(64);
/** Numbers that no process has. */
const FIRST = 4_200_000;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-cgroup-"));
  mkdirSync(join(folder, "proc"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Process {
  cgroup: string;
  session?: number;
  parent?: number;
  environ?: string[];
}
function put(pid: number, { cgroup, session = pid, parent = 1, environ = [] }: Process): void {
  const at = join(folder, "proc", String(pid));
  mkdirSync(at);
  writeFileSync(join(at, "stat"), `${pid} (a) S ${parent} ${pid} ${session} 0 -1 4194560 0\n`);
  writeFileSync(join(at, "cgroup"), cgroup);
  writeFileSync(join(at, "environ"), environ.map((one) => `${one}\0`).join(""));
}
function list(path: string, pids: number[]): void {
  mkdirSync(join(folder, "cgroup", path), { recursive: true });
  writeFileSync(join(folder, "cgroup", path, "cgroup.procs"), pids.map((pid) => `${pid}\n`).join(""));
}
const proc = () => new Proc(join(folder, "proc"));
const cgroups = () => new ContainerCgroups(proc(), join(folder, "cgroup"));

describe("the processes of a container", () => {
  it.each([
    ["version 2", `0::/docker/${ONE}\n`, `docker/${ONE}`],
    ["version 2 under systemd", `0::/berth.slice/docker-${ONE}.scope\n`, `berth.slice/docker-${ONE}.scope`],
    [
      "version 1",
      `12:cpu,cpuacct:/docker/${ONE}\n1:name=systemd:/docker/${ONE}\n`,
      `cpu,cpuacct/docker/${ONE}`,
    ],
    [
      "version 1, of which systemd's alone is there",
      `2:pids:/docker/${ONE}\n1:name=systemd:/docker/${ONE}\n`,
      `systemd/docker/${ONE}`,
    ],
    ["version 2, a process in a group below", `0::/docker/${ONE}/below/it\n`, `docker/${ONE}`],
  ])("are those of its cgroup and of the groups below it: %s", (_form, cgroup, path) => {
    put(FIRST, { cgroup });
    list(path, [FIRST, FIRST + 1]);
    list(join(path, "below"), []);
    list(join(path, "below", "it"), [FIRST + 2]);
    expect(cgroups().pids(ONE, FIRST)).toEqual([FIRST, FIRST + 1, FIRST + 2]);
  });

  it("are known while one that was asked for before has ended, and no more when the cgroup is gone", () => {
    put(FIRST, { cgroup: `0::/docker/${ONE}\n` });
    list(`docker/${ONE}`, [FIRST, FIRST + 1]);
    const known = cgroups();
    expect(known.pids(ONE, FIRST)).toHaveLength(2);
    rmSync(join(folder, "proc", String(FIRST)), { recursive: true });
    list(`docker/${ONE}`, [FIRST + 1]);
    expect(known.pids(ONE, FIRST)).toEqual([FIRST + 1]);
    rmSync(join(folder, "cgroup"), { recursive: true });
    expect(known.pids(ONE, FIRST)).toBeUndefined();
  });

  it("are not told by a process of another container, of none, or by a path that leads away", () => {
    list(`docker/${OTHER}`, [FIRST]);
    for (const [n, cgroup] of [
      `0::/docker/${OTHER}\n`,
      "0::/\n",
      "garbage",
      `0::/../../docker/${ONE}\n`,
      "",
    ].entries()) {
      put(FIRST + n, { cgroup });
      expect(cgroups().pids(ONE, FIRST + n)).toBeUndefined();
    }
    expect(cgroups().pids(ONE, FIRST + 99)).toBeUndefined();
  });

  it("are looked for among them alone; among all of the node's where the cgroup does not tell", async () => {
    const looked: number[] = [];
    class Seen extends Proc {
      override kinOf(pid: number) {
        looked.push(pid);
        return super.kinOf(pid);
      }
    }
    const seen = new Seen(join(folder, "proc"));
    const one = { cgroup: `0::/docker/${ONE}\n`, session: FIRST };
    for (const pid of [FIRST, FIRST + 1]) put(pid, one);
    for (let n = 10; n < 20; n++) put(FIRST + n, { cgroup: `0::/docker/${OTHER}\n` });
    const sessions = procSessions(seen, undefined, new ContainerCgroups(seen, join(folder, "cgroup")));
    expect(await sessions.signal(ONE, FIRST, "SIGCONT")).toBe(2);
    expect(looked.length).toBe(12);
    list(`docker/${ONE}`, [FIRST, FIRST + 1]);
    looked.length = 0;
    expect(await sessions.signal(ONE, FIRST, "SIGCONT")).toBe(2);
    expect(looked.length).toBe(2);
  });
});

describe("the commands that were exec'd with a variable", () => {
  it("are those that nothing in the container has begun", async () => {
    const cgroup = `0::/docker/${ONE}\n`;
    const main = FIRST;
    put(main, { cgroup, environ: ["BERTH_COMMAND=not-exec"] });
    put(FIRST + 1, { cgroup, environ: ["PATH=/bin", "BERTH_COMMAND=before", "X="] });
    // Of its session; one that left the session, and one whose parent has ended: the container's first process has them.
    put(FIRST + 2, { cgroup, session: FIRST + 1, parent: FIRST + 1, environ: ["BERTH_COMMAND=before"] });
    put(FIRST + 3, { cgroup, parent: FIRST + 1, environ: ["BERTH_COMMAND=before"] });
    put(FIRST + 4, { cgroup, parent: main, environ: ["BERTH_COMMAND=before"] });
    // Exec'd by others, and in another container.
    put(FIRST + 5, { cgroup, environ: ["XBERTH_COMMAND=before", "BERTH_COMMANDS=1"] });
    put(FIRST + 6, { cgroup: `0::/docker/${OTHER}\n`, environ: ["BERTH_COMMAND=before"] });
    put(FIRST + 7, { cgroup, environ: ["BERTH_COMMAND="] });
    const sessions = procSessions(proc(), undefined, cgroups());
    expect(await sessions.marked(ONE, main, "BERTH_COMMAND")).toEqual([
      { leader: FIRST + 1, value: "before" },
      { leader: FIRST + 7, value: "" },
    ]);
  });

  it("are found where a process says that its variables are all of its memory", async () => {
    const cgroup = `0::/docker/${ONE}\n`;
    const main = FIRST;
    put(main, { cgroup });
    for (const [n, environ] of [["BERTH_COMMAND=before", "PATH=/bin"], ["PATH=/bin"]].entries()) {
      put(FIRST + 1 + n, { cgroup, environ });
      truncateSync(join(folder, "proc", String(FIRST + 1 + n), "environ"), 3 * 2 ** 30);
    }
    const sessions = procSessions(proc(), undefined, cgroups());
    expect(await sessions.marked(ONE, main, "BERTH_COMMAND")).toEqual([
      { leader: FIRST + 1, value: "before" },
    ]);
  });
});
