/**
 * The storage stage's mounts, quotas and NFS server, with stand-ins for the tools that need real devices (recorded
 * output of lsblk, blkid, quota tools), run by bash in a folder of its own.
 * Proves: mounts, NFS and quotas call the right commands in the right order, and nothing the second time; lines of the
 * operator stay; what cannot be is refused, with what to do.
 * Does not prove that those tools do what they are told: file systems are tried for real in test/e2e.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parseFacts } from "../../components/host/stage";
import type { StorageOptions } from "../../components/host/storage";
import { asRoot, at, calls, read, run, tool } from "./host-storage-helpers";

const home = (user: string, uid: number, soft = "40GiB", hard = "50GiB") => ({ user, uid, soft, hard });

asRoot("mounts", () => {
  /** Mounts stand in files; the device is 259:77, and its ext4 was made without quotas. */
  function mounts(): void {
    tool(
      "findmnt",
      `for last; do :; done
case "$*" in *--mountpoint*) ;; *) exit 0 ;; esac
f=${at("mounted-")}$(basename "$last"); [ -e "$f" ] || exit 1
case "$*" in *MAJ:MIN*) echo 259:77 ;; *FSROOT*) echo / ;; *OPTIONS*) cat "$f" ;; *SOURCE*) echo 10.0.0.5:/shared ;; esac`,
    );
    tool("lsblk", "echo '259:77'");
    tool("blkid", "echo 0b7cf3d4-2f7c-4d7c-8f57-0a3cbe0f2f11");
    tool(
      "dumpe2fs",
      `echo "Filesystem features:      has_journal$(cat ${at("features")} 2>/dev/null) extent"`,
    );
    tool("tune2fs", `record "$@"; echo ' quota project' >${at("features")}`);
    tool("e2fsck", 'record "$@"');
    tool("fuser", "exit 1");
    tool(
      "mount",
      `record "$@"; for last; do :; done; awk -v t="$last" '$2 == t {print $4}' ${at("etc/fstab")} >${at("mounted-")}$(basename "$last")`,
    );
    tool("umount", `record "$@"; for last; do :; done; rm -f ${at("mounted-")}$(basename "$last")`);
    tool("systemctl", "exit 3");
    tool("dockerd", "exit 1");
    tool("docker", "exit 1");
    // The guard, which mounts nothing here.
    tool("guard", 'record "$@"');
  }
  const spec = (quotas: StorageOptions["quotas"]): StorageOptions => ({
    devices: [{ match: { serial: "S6Z1NX0T123456" }, mount: "/mnt/storage" }],
    nfs: { mounts: [{ from: "10.0.0.5:/shared", mount: "/srv/share", options: ["ro"] }] },
    quotas,
  });
  const go = (quotas: StorageOptions["quotas"]) => {
    rmSync(at("calls"), { force: true });
    const places = `printf '%s %s\\n' 'storage.devices[0]' /dev/sdz1 >"$work/places"`;
    return run(spec(quotas), ["mounts"], places, {
      "/srv/share": at("share"),
      "/usr/local/lib/berth/guard-storage": at("bin/guard"),
    });
  };

  it("are lines of fstab that a boot can do without, next to the operator's", () => {
    mounts();
    writeFileSync(at("etc/fstab"), "UUID=1 / ext4 defaults 0 1\n");
    expect(go([]).stderr).toBe("");
    const local = "noatime,nosuid,nodev,nofail,x-systemd.device-timeout=5min,x-systemd.before=docker.service";
    expect(read("etc/fstab")).toBe(
      `UUID=1 / ext4 defaults 0 1
# Berth storage: begin. Rendered: a change here is lost.
10.0.0.5:/shared ${at("share")} nfs nosuid,nodev,_netdev,nofail,x-systemd.before=docker.service,hard,timeo=600,retrans=2,nfsvers=4.2,noatime,ro 0 0
UUID=0b7cf3d4-2f7c-4d7c-8f57-0a3cbe0f2f11 ${at("tree")} ext4 ${local} 0 2
# Berth storage: end
`,
    );
    expect(calls()).toEqual([`mount -- ${at("share")}`, `mount -- ${at("tree")}`]);
    // What is mounted rightly is no affair of the guard's.
    const again = go([]);
    expect(parseFacts(again.stdout).changed).toEqual([]);
    expect(calls()).toEqual([]);
  });

  it("get project quotas before fstab asks for them, and only when nothing uses the file system", () => {
    mounts();
    expect(go([]).stderr).toBe("");
    tool("fuser", "echo ' 4242c'");
    const refused = go([home("alice", 21001)]);
    expect(refused.stderr).toContain(
      `quotas on ${at("tree")} start with a fresh mount, and it is in use by process 4242`,
    );
    expect(calls()).toEqual(["guard start"]);
    expect(read("etc/fstab")).not.toContain("prjquota");
    mounts();
    expect(go([home("alice", 21001)]).stderr).toBe("");
    expect(calls()).toEqual([
      `guard off ${at("tree")}`,
      `umount -- ${at("tree")}`,
      "e2fsck -p /dev/sdz1",
      "tune2fs -O project,quota -Q prjquota /dev/sdz1",
      `mount -- ${at("tree")}`,
    ]);
    expect(read("etc/fstab")).toContain(",prjquota 0 2");
    expect(parseFacts(go([home("alice", 21001)]).stdout).changed).toEqual([]);
  });

  it.each(["@/", "//@", "@/.", "/nowhere/..@", "@x\\040y"])(
    "are not made where the operator has a line for %s",
    (place) => {
      mounts();
      const blank = place.includes("040");
      const line = `UUID=cccc ${place.replace("@", at("tree"))} xfs defaults 0 0\n`;
      writeFileSync(
        at("etc/fstab"),
        `# UUID=x ${at("tree")} ext4 defaults 0 0\nUUID=y none swap sw 0 0\n${line}`,
      );
      const ran = go([]);
      if (blank) expect(ran.stderr).toBe("");
      else {
        expect(ran.stderr).toContain(
          `/etc/fstab has a line for ${at("tree")} that is not Berth's`.replace("/etc", at("etc")),
        );
        expect(read("etc/fstab")).toContain(line);
        expect(calls()).toEqual(["guard start"]);
      }
    },
  );

  it("are not touched where half of Berth's lines were lost from fstab", () => {
    mounts();
    writeFileSync(
      at("etc/fstab"),
      "# Berth storage: begin. Rendered: a change here is lost.\nUUID=1 /precious ext4 defaults 0 1\n",
    );
    expect(go([]).stderr).toContain("has lost one of Berth's two marks");
    expect(read("etc/fstab")).toContain("/precious");
    expect(calls()).toEqual(["guard start"]);
  });

  it.each<[string, string, boolean]>([
    ["below the mount", "@/docker", false],
    ["the mount itself", "@", false],
    ["around the mount", "@/..", false],
    ["elsewhere", "/var/lib/docker", true],
    ["beside it, with the same beginning", "@-docker", true],
  ])("leave Docker's own data as it is: %s", (_, place, guarded) => {
    mounts();
    const root = place.replace("@/..", at("")).replace("@", at("tree")).replace(/\/$/, "");
    const line = () => new RegExp(`${at("tree")} ext4 (\\S+)`).exec(read("etc/fstab"))?.[1];
    mkdirSync(at("etc/docker"));
    writeFileSync(at("etc/docker/daemon.json"), `\uFEFF{"data-root": "${root}"}`);
    expect(go([]).stderr).toBe("");
    expect(line()?.includes("nosuid,nodev,")).toBe(guarded);
    // A dockerd that runs knows best.
    tool("systemctl", '[ "$*" = "is-active -q docker.service" ]');
    tool(
      "docker",
      `[ "$*" = "info -f {{.DockerRootDir}}" ] && echo ${guarded ? at("tree/docker") : "/elsewhere"}`,
    );
    expect(go([]).stderr).toBe("");
    expect(line()?.includes("nosuid,nodev,")).toBe(!guarded);
  });

  it.each(["@", "@/docker/people"])(
    "are not bound from %s, where Docker has its data in @/docker",
    (from) => {
      mounts();
      mkdirSync(at("etc/docker"));
      writeFileSync(at("etc/docker/daemon.json"), JSON.stringify({ "data-root": at("disk/docker") }));
      const ran = run({ bind: { homes: "/srv/from" } }, ["mounts"], "", {
        "/srv/from": from.replace("@", at("disk")),
      });
      expect(ran.stderr).toContain(`and Docker's own data, ${at("disk/docker")}, are one in the other`);
      expect(calls()).toEqual([]);
    },
  );
});

asRoot("limits of homes", () => {
  /** A file system that keeps limits and project numbers in files, as the tools report them. */
  function quotas(kind: "ext4" | "xfs", options = "rw,noatime,prjquota"): void {
    tool(
      "findmnt",
      `case "$*" in *FSTYPE*) echo ${kind} ;; *OPTIONS*) echo ${options} ;; *SOURCE*) echo /dev/sdz1 ;; *TARGET*) echo ${at("tree")} ;; esac`,
    );
    tool(
      "setquota",
      `record "$@"; grep -v "^#$2 " ${at("limits")} >${at("l")} 2>/dev/null; echo "#$2 -- 20 $3 $4 5 0 0" >>${at("l")}; mv ${at("l")} ${at("limits")}`,
    );
    tool(
      "repquota",
      `echo '*** Report for project quotas on device /dev/sdz1'; cat ${at("limits")} 2>/dev/null || true`,
    );
    tool(
      "xfs_quota",
      `case "$3" in
  report*) cat ${at("limits")} 2>/dev/null || true ;;
  limit*) record "$@"; set -- $3; grep -v "^#$5 " ${at("limits")} >${at("l")} 2>/dev/null
    s=\${3#bsoft=} h=\${4#bhard=}; echo "#$5 20 \${s%k} \${h%k} 00 [--------]" >>${at("l")}; mv ${at("l")} ${at("limits")} ;;
esac`,
    );
    tool(
      "lsattr",
      `f=${at("project-")}$(basename "$3"); if [ -e "$f" ]; then cat "$f"; else echo "    0 --------------e------- $3"; fi`,
    );
    tool(
      "chattr",
      `record "$1" "$2" "$3" "$(basename "$4")"
case $1 in
  +P) echo " $3 --------------e----P-- $4" >${at("project-")}$(basename "$4") ;;
  -P) rm -f ${at("project-")}$(basename "$4") ;;
esac`,
    );
  }
  const two: StorageOptions = { quotas: [home("alice", 21001), home("bob", 21002)] };
  const step = ["quotas of homes"];

  it.each(["ext4", "xfs"] as const)("on %s are set once, changed in place, and taken away", (kind) => {
    quotas(kind);
    const first = run(two, step);
    expect(first.stderr).toBe("");
    expect(parseFacts(first.stdout).quotas).toEqual([
      { user: "alice", softBytes: 40 * 2 ** 30, hardBytes: 50 * 2 ** 30 },
      { user: "bob", softBytes: 40 * 2 ** 30, hardBytes: 50 * 2 ** 30 },
    ]);
    const limit = (uid: number, soft: number, hard: number) =>
      kind === "ext4"
        ? `setquota -P ${uid} ${soft} ${hard} 0 0 /dev/sdz1`
        : `xfs_quota -x -c limit -p bsoft=${soft}k bhard=${hard}k ${uid} ${at("tree")}`;
    expect(calls()).toEqual([
      "chattr +P -p 21001 alice",
      limit(21001, 41943040, 52428800),
      "chattr +P -p 21002 bob",
      limit(21002, 41943040, 52428800),
    ]);
    expect(read("etc/projects")).toBe(`21001:${at("tree/homes/alice")}\n21002:${at("tree/homes/bob")}\n`);
    expect(read("etc/projid")).toBe("berth-alice:21001\nberth-bob:21002\n");
    // The workspace's own set-up wants the home to belong to its user.
    expect(spawnSync("stat", ["-c", "%a %u", at("tree/homes/alice")], { encoding: "utf8" }).stdout).toBe(
      "700 21001\n",
    );

    rmSync(at("calls"));
    expect(parseFacts(run(two, step).stdout).changed).toEqual([]);
    expect(calls()).toEqual([]);

    // The operator's own projects stay.
    writeFileSync(at("etc/projects"), `${read("etc/projects")}7:/srv/theirs\n`);
    expect(run({ quotas: [home("alice", 21001, "80GiB", "90GiB")] }, step).stderr).toBe("");
    expect(calls()).toEqual([limit(21001, 83886080, 94371840), limit(21002, 0, 0), "chattr -P -p 0 bob"]);
    expect(read("etc/projects")).toBe(`7:/srv/theirs\n21001:${at("tree/homes/alice")}\n`);
    expect(existsSync(at("tree/homes/bob"))).toBe(true);
    expect(run({ quotas: [] }, step).stderr).toBe("");
    expect(read("etc/projects")).toBe("7:/srv/theirs\n");
    expect(read("etc/projid")).toBe("");
    expect(parseFacts(run({ quotas: [] }, step).stdout)).toMatchObject({ changed: [], quotas: [] });
  });

  it("are refused where the file system has none, with what to do", () => {
    quotas("ext4", "rw,relatime");
    expect(run(two, step).stderr).toContain(
      "mounted without prjquota. Declare that device in storage.devices",
    );
    quotas("xfs");
    tool("findmnt", "echo btrfs");
    expect(run(two, step).stderr).toContain("is on btrfs, which has no project quotas");
    expect(calls()).toEqual([]);
  });
});

asRoot("the NFS server", () => {
  it("exports by a file of its own, reloads only on a change, and takes its files back", () => {
    tool("systemctl", 'case "$1" in is-*) ;; *) record "$@" ;; esac');
    tool("exportfs", 'record "$@"');
    const given = (path: string): StorageOptions => ({
      nfs: { server: { exports: [{ path, to: ["10.0.0.0/24"] }] } },
    });
    const step = ["NFS exports"];
    expect(run(given("/mnt/storage"), step).stderr).toBe("");
    expect(read("etc/exports.d/berth.exports")).toMatch(
      /^\S+ 10\.0\.0\.0\/24\(rw,sync,no_subtree_check,root_squash\)\n$/,
    );
    expect(read("etc/nfs.conf.d/berth.conf")).toContain("vers3=n");
    expect(calls()).toEqual(["systemctl restart nfs-server.service", "exportfs -ra"]);
    rmSync(at("calls"));
    expect(parseFacts(run(given("/mnt/storage"), step).stdout).changed).toEqual([]);
    expect(calls()).toEqual([]);
    expect(run({ nfs: {} }, step).stderr).toBe("");
    expect(existsSync(at("etc/exports.d/berth.exports"))).toBe(false);
    expect(calls()).toEqual(["exportfs -ra", "systemctl restart nfs-server.service"]);
    expect(run(given("/nowhere/at/all"), step).stderr).toContain("there is no such directory");
  });
});
