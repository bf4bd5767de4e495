/** @file berthd's life on the node of agent-rig.ts: each case goes on where the one before ended. */
import { beforeAll, expect, it } from "vitest";
import type { AgentDocuments } from "../../../components/agent";
import { renderRetire } from "../../../components/host/retire";
import { MINUTE, SECOND } from "../../lib/time";
import { until } from "../../lib/until";
import {
  berth,
  berthd,
  machine,
  mainPid,
  node,
  OWN_FILES,
  onNode,
  override,
  publish,
  ready,
  runStage,
  type Stage,
  ssh,
  stage,
  versionOf,
} from "./agent-rig";

const alice = { name: "alice", uid: 20000, group: "student" };
const bob = { name: "bob", uid: 20001, group: "student" };
const documents: AgentDocuments = {
  node: {
    ...{ stack: "hosttest", node, strategy: "least-allocated", allocation: "exclusive", users: [alice] },
    ...{ listen: "loopback", port: 9700 },
  },
  limits: { groups: { student: { max_mig_instances: 2 } } },
  gpus: {
    node,
    gpus: [{ model: "NVIDIA H100 80GB HBM3", memoryMiB: 81559, count: 1, mig: { "1g.10gb": 7 } }],
  },
};
const plain = (): Stage => ({ image: berthd.image, documents });

/** Runs in a container of alice's that was started before everything else and is never touched. */
const inside = (command: string, user = alice.uid) =>
  onNode(`docker exec -u ${user} work ${command}`).then((text) => text.trim());
const berthInside = "/usr/local/lib/berth/agent/current/bin/berth";
const workPid = () => onNode("docker inspect -f '{{.State.Pid}}' work");

/** The cases, in their order. The container `work` runs until `leaving`. */
export function agentCases(): void {
  beforeAll(() => onNode(`${OWN_FILES} | docker import - self:1`));

  it("is installed, started and ready under its unit", async () => {
    const { facts, changed } = await stage(plain());
    expect(facts).toEqual({ version: versionOf(plain().image), ready: true, problem: "", gpus: 1 });
    expect(changed).toContain("berthd started");
    const shown = await onNode(
      "systemctl show -p ActiveState,UnitFileState,NRestarts,WatchdogUSec,ProtectSystem,NoNewPrivileges berthd.service",
    );
    expect(shown.trim().split("\n").sort()).toEqual([
      "ActiveState=active",
      "NRestarts=0",
      "NoNewPrivileges=yes",
      "ProtectSystem=strict",
      "UnitFileState=enabled",
      "WatchdogUSec=30s",
    ]);
    expect(await onNode("systemctl --failed --no-legend")).toBe("");
    // Nothing of the image stays but the files.
    expect(await onNode("docker image ls -q; docker container ls -a -q")).toBe(
      `${(await onNode("docker image ls -q self")).trim()}\n`,
    );
  });

  it("runs with little memory", async () => {
    const status = await onNode(`cat /proc/${await mainPid()}/status`);
    expect(Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1])).toBeLessThan(120 * 1024);
  });

  it("changes nothing the second time", async () => {
    const before = await mainPid();
    expect((await stage(plain())).changed).toEqual([]);
    expect(await mainPid()).toBe(before);
  });

  it("shows the declared GPUs to nvidia-smi and gives one to a container", async () => {
    expect(await onNode("nvidia-smi -L")).toMatch(
      /^GPU 0: NVIDIA H100 80GB HBM3 .*\n(.*MIG 1g\.10gb.*\n){7}$/,
    );
    const { gpus } = await berth("gpu status");
    const uuid = gpus[0].instances[0].uuid;
    const devices = `docker run --rm --device nvidia.com/gpu=${uuid} self:1 sh -c 'ls /dev | grep nvidia'`;
    expect(await onNode(devices)).toContain("nvidia0");
  });

  it("is reached from a container by its user alone", async () => {
    await onNode(
      "docker run -d --restart unless-stopped --name work -v /usr/local/lib/berth/agent:/usr/local/lib/berth/agent:ro " +
        "--label berth.component=workspace --label berth.owner=alice " +
        `-v /run/berth/users/alice:/run/berthd:ro --user ${alice.uid} "$(docker image inspect -f '{{.Id}}' self:1)" sleep infinity`,
    );
    const asked = JSON.parse(await inside(`${berthInside} gpu status --json`));
    expect(asked.gpus).toHaveLength(1);
    expect(JSON.parse(await inside(`${berthInside} whoami --json`))).toMatchObject({ user: "alice" });
    // As root: the folder itself is nobody's to list.
    expect(await inside("ls /run/berthd", 0)).toBe("berth.sock");
  });

  it("gives a person what they asked for in a container of their own, by the command, and takes it back", async () => {
    const granted = JSON.parse(await inside(`${berthInside} gpu request --profile 1g.10gb --json`));
    const create = `${berthInside} container create --grant ${granted.id} --name own --json -- sleep infinity`;
    const made = JSON.parse(await inside(create));
    expect(made).toMatchObject({
      name: "berth-hosttest-alice.own",
      grant: { id: granted.id, state: "bound", container: made.id },
    });
    const asked = [
      `docker exec ${made.name} sh -c 'ls /dev | grep nvidia'`,
      `docker inspect -f '{{.HostConfig.NetworkMode}} {{.HostConfig.CgroupParent}} {{.HostConfig.Privileged}}' ${made.name}`,
    ];
    const [devices = "", how = ""] = await Promise.all(asked.map((command) => onNode(command)));
    expect(devices).toContain("nvidia0");
    expect(how.trim()).toBe(
      "berth-containers /berth.slice/berth-student.slice/berth-student-alice.slice false",
    );
    const { containers } = JSON.parse(await inside(`${berthInside} container list --json`));
    expect(containers.map(({ name }: { name: string }) => name).sort()).toEqual([made.name, "work"]);
    await inside(`${berthInside} container remove ${made.name}`);
    expect(JSON.stringify((await berth("gpu status")).gpus)).not.toContain(granted.id);
    expect(await onNode("docker ps -a --format '{{.Names}}'")).toBe("work\n");
  });

  it("takes other limits and other people over while it runs", async () => {
    const before = await mainPid();
    const limits = { groups: { student: { max_mig_instances: 3 } } };
    const more = { ...documents, limits, node: { ...documents.node, users: [alice, bob] } };
    await stage({ ...plain(), documents: more });
    await until("the new limit", 20 * SECOND, async () =>
      JSON.stringify(await berth("limits show alice")).includes('"max_mig_instances":{"value":3'),
    );
    expect(await onNode("ls /run/berth/users")).toBe("alice\nbob\n");
    await stage(plain());
    expect(await onNode("ls /run/berth/users")).toBe("alice\n");
    expect(await mainPid()).toBe(before);
    expect(JSON.parse(await inside(`${berthInside} whoami --json`))).toMatchObject({ user: "alice" });
  });

  it("is started again after a kill, and the container finds it by the same folder", async () => {
    const before = await mainPid();
    await onNode(`kill -9 ${before}`);
    await until(
      "another berthd is ready",
      60 * SECOND,
      async () => (await mainPid()) !== before && (await ready()),
    );
    expect(JSON.parse(await inside(`${berthInside} whoami --json`))).toMatchObject({ user: "alice" });
  });

  it("is started again when it hangs", async () => {
    // Its own half a minute is looked at above.
    await override("WatchdogSec=8");
    await onNode("systemctl restart berthd.service");
    await until("it has that watchdog", 60 * SECOND, ready);
    const before = await mainPid();
    await onNode(`kill -STOP ${before}`);
    await until(
      "the watchdog has replaced it",
      120 * SECOND,
      async () => !["0", before].includes(await mainPid()),
    );
    await override();
    await until("it is ready", 60 * SECOND, ready);
    expect(await onNode("journalctl -u berthd.service --no-pager -o cat -n 100")).toMatch(/[Ww]atchdog/);
  });

  it("refuses a second one", async () => {
    const { code, stderr, stdout } = await ssh("berthd", MINUTE);
    expect(code).toBe(75);
    expect(stdout + stderr).toMatch(/berthd/);
    expect(await ready()).toBe(true);
  });

  it("is upgraded under a running container and a grant", async () => {
    const pid = await workPid();
    const granted = JSON.parse(await inside(`${berthInside} gpu request --profile 1g.10gb --json`));
    const id = granted.grant?.id ?? granted.id;
    expect(id).toBeTruthy();
    const before = await mainPid();
    const newer = { ...plain(), image: await publish("newer", {}) };
    const { facts, changed } = await stage(newer);
    expect(facts).toMatchObject({ version: versionOf(newer.image), ready: true });
    expect(changed).toContain("berthd started");
    expect(await mainPid()).not.toBe(before);
    expect(await workPid()).toBe(pid);
    expect(await onNode("ls /usr/local/lib/berth/agent")).toBe(
      `${[versionOf(newer.image), "current"].sort().join("\n")}\n`,
    );
    expect(JSON.stringify(await berth("gpu status"))).toContain(id);
    expect(JSON.parse(await inside(`${berthInside} whoami --json`))).toMatchObject({ user: "alice" });
    berthd.image = newer.image;
  });

  it("takes a version back that does not start, with its ledger", async () => {
    const pid = await workPid();
    const held = JSON.stringify((await berth("gpu status")).gpus);
    const program = `#!/bin/sh
if [ "\${1:-}" = --check ]; then exit 0; fi
echo garbage >/var/lib/berth/agent/ledger.db
echo 'this version is broken on purpose' >&2
exit 1
`;
    const image = await publish("broken", { "bin/berthd": program });
    const { code, stderr } = await runStage({ ...plain(), image });
    expect(code).not.toBe(0);
    expect(stderr).toContain("this version is broken on purpose");
    expect(stderr).toContain(
      `The one before, ${versionOf(plain().image)}, runs again with its own files and ledger`,
    );
    expect((await onNode("readlink /usr/local/lib/berth/agent/current")).trim()).toBe(
      versionOf(plain().image),
    );
    expect(await ready()).toBe(true);
    expect(JSON.stringify((await berth("gpu status")).gpus)).toBe(held);
    expect(await workPid()).toBe(pid);
    expect((await stage(plain())).changed).toEqual([`/usr/local/lib/berth/agent/${versionOf(image)}`]);
  });

  it("comes back with the node, before the containers that mount its folders", async () => {
    await machine.restart(10);
    await until("berthd is ready", 120 * SECOND, ready);
    await until("the container runs", 60 * SECOND, async () =>
      (await onNode("docker inspect -f '{{.State.Running}}' work")).includes("true"),
    );
    expect(JSON.parse(await inside(`${berthInside} whoami --json`))).toMatchObject({ user: "alice" });
    expect((await stage(plain())).changed).toEqual([]);
  });
}

/** The last one: nothing of Berth's is on the node afterwards. */
export function leaving(): void {
  it("leaves nothing behind on a server that goes", async () => {
    await onNode("docker rm -f work");
    const { changed } = await machine.stage(renderRetire({ node, stack: "hosttest" }));
    expect(changed).toContain("/etc/systemd/system/berthd.service");
    expect(
      await onNode(
        "ls -d /etc/berth /usr/local/lib/berth /run/berth /var/lib/berth /var/log/berth /etc/tmpfiles.d/berth* " +
          "/etc/cdi/berth* /usr/local/bin/berth* /usr/local/bin/nvidia-smi /etc/systemd/system/berth* " +
          "/etc/systemd/system/*.wants/berth* /usr/local/share/*/*/*berth* 2>/dev/null || true",
      ),
    ).toBe("");
    expect(
      await onNode("systemctl list-units --all --no-legend 'berth*' ; pgrep -f '[b]erthd.cjs' || true"),
    ).toBe("");
  });
}
