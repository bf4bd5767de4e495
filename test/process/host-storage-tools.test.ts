/**
 * The storage stage's decisions about devices, with stand-ins for the tools that need real ones (recorded output of
 * lsblk, blkid, wipefs, LVM), run by bash in a folder of its own.
 * Proves: what is refused, each with its signature, before anything is written; LVM calls the right commands in the
 * right order, makes nothing smaller, and leaves what others made alone.
 * Does not prove that those tools do what they are told: file systems are tried for real in test/e2e.
 * Mounts, quotas and the NFS server: host-storage-mounts.test.ts.
 */
import { rmSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parseFacts } from "../../components/host/stage";
import { type StorageOptions, storageLabel } from "../../components/host/storage";
import { asRoot, at, calls, run, tool } from "./host-storage-helpers";

/** A machine with one 100 GiB disk, /dev/sdz, as lsblk, blkid, wipefs and sfdisk tell it. */
interface Disk {
  /** `lsblk -n -r -p -o NAME,TYPE,MOUNTPOINT`, below the disk itself. */
  below?: string[];
  /** `wipefs -n` and `blkid -p`, by device. */
  signature?: Record<string, string>;
  label?: string;
  swap?: boolean;
}
function machine(disk: Disk): void {
  const below = (disk.below ?? []).map((line) => `echo '${line}'`).join("\n");
  const of = (pick: (text: string) => string | undefined) =>
    Object.entries(disk.signature ?? {})
      .map(([name, text]) => `*" ${name}") echo '${pick(text) ?? ""}' ;;`)
      .join("\n");
  tool(
    "lsblk",
    `case "$*" in
  *NAME,SERIAL*) echo '/dev/sdz S6Z1NX0T123456 107374182400' ;;
  *MOUNTPOINT*) echo '/dev/sdz disk ${disk.swap ? "[SWAP]" : ""}'; ${below || ":"} ;;
  *NAME,TYPE*) echo '/dev/sdz disk'; ${below || ":"} ;;
esac`,
  );
  tool("wipefs", `case " $*" in\n${of((text) => text)}\nesac`);
  tool(
    "blkid",
    `case "$*" in *" TYPE "*) ;; *) exit 2 ;; esac\ncase " $*" in\n${of((text) => text.split(" ")[0])}\n*) exit 2 ;;\nesac`,
  );
  tool("sfdisk", `case "$1" in --part-label) echo '${disk.label ?? ""}' ;; *) record "$@" ;; esac`);
  tool("findmnt", "exit 1");
  for (const name of ["mkfs.ext4", "mkfs.xfs", "partx", "pvcreate", "vgcreate"]) tool(name, 'record "$@"');
}

const one: StorageOptions = { devices: [{ match: { serial: "S6Z1NX0T123456" }, mount: "/data" }] };

asRoot("a device that is not empty", () => {
  it.each<[string, Disk, RegExp]>([
    [
      "NTFS on it",
      { signature: { "/dev/sdz": "ntfs Backup 5E3A1C2B" } },
      /not Berth's: ntfs Backup 5E3A1C2B/,
    ],
    ["a LUKS container", { signature: { "/dev/sdz": "crypto_LUKS" } }, /not Berth's: crypto_LUKS/],
    ["ZFS", { signature: { "/dev/sdz": "zfs_member tank" } }, /not Berth's: zfs_member tank/],
    [
      "a RAID member, assembled",
      {
        signature: { "/dev/sdz": "linux_raid_member box:0" },
        below: ["/dev/md0 raid1"],
      },
      /linux_raid_member box:0; \/dev\/md0 \(raid1\) is built on it/,
    ],
    [
      "an LVM volume, mounted",
      {
        signature: { "/dev/sdz": "LVM2_member" },
        below: ["/dev/mapper/vg-root lvm /"],
      },
      /LVM2_member; .*\/dev\/mapper\/vg-root \(lvm\) is built on it;.* is mounted at \//,
    ],
    [
      "partitions of others",
      {
        signature: { "/dev/sdz": "gpt", "/dev/sdz1": "vfat EFI", "/dev/sdz2": "ext4 root" },
        below: ["/dev/sdz1 part /boot/efi", "/dev/sdz2 part"],
      },
      /gpt; \/dev\/sdz1: vfat EFI; \/dev\/sdz2: ext4 root; \/dev\/sdz1 is mounted at \/boot\/efi/,
    ],
    [
      "one partition of another",
      {
        signature: { "/dev/sdz": "gpt", "/dev/sdz1": "xfs data" },
        below: ["/dev/sdz1 part"],
        label: "data",
      },
      /gpt; \/dev\/sdz1: xfs data/,
    ],
    [
      "our partition with another's file system",
      {
        signature: { "/dev/sdz": "gpt", "/dev/sdz1": "xfs data" },
        below: ["/dev/sdz1 part"],
        label: "berth",
      },
      /\/dev\/sdz1\) holds data that is not Berth's: xfs data/,
    ],
    [
      "no signature, but a mapping on it",
      { below: ["/dev/mapper/plain crypt"] },
      /in use: \/dev\/mapper\/plain \(crypt\)/,
    ],
    ["no signature, but swap", { swap: true }, /in use: \/dev\/sdz is swap space in use/],
  ])("is refused: %s", (_, disk, message) => {
    machine(disk);
    const { status, stdout, stderr } = run(one, ["devices"]);
    expect(status).not.toBe(0);
    expect(stdout).toBe("");
    expect(stderr).toMatch(message);
    expect(stderr).toContain("storage.devices[0]: serial S6Z1NX0T123456");
    expect(calls()).toEqual([]);
  });

  it("is told together with every other refusal, before anything is made", () => {
    machine({ signature: { "/dev/sdz": "ntfs" } });
    const two = { devices: [...(one.devices ?? []), { match: { serial: "GONE1" }, mount: "/data2" }] };
    const { stderr } = run(two, ["devices"]);
    expect(stderr).toContain("storage.devices[0]");
    expect(stderr).toContain(
      "storage.devices[1]: no device with serial GONE1. This machine has: /dev/sdz S6Z1NX0T123456",
    );
    expect(calls()).toEqual([]);
  });
});

asRoot("a volume group", () => {
  const lvm: StorageOptions = {
    lvm: {
      group: "fast",
      devices: [{ serial: "S6Z1NX0T123456" }],
      volumes: [{ name: "scratch", size: "50%", filesystem: "xfs", mount: "/data2" }],
    },
  };
  /** 4 MiB extents, 25,000 of them; what exists stands in files. */
  function groups(tags: string): void {
    tool(
      "vgs",
      `[ -e ${at("vg")} ] || exit 5
case "$*" in *vg_name*) echo ' fast' ;; *vg_tags*) echo ' ${tags}' ;; *extent_size*) echo ' 4194304' ;; *extent_count*) echo ' 25000' ;; *free*) echo ' 25000' ;; esac`,
    );
    tool("vgcreate", `record "$@"; touch ${at("vg")}`);
    tool(
      "lvs",
      `[ -e ${at("lv")} ] || exit 5; case "$*" in *lv_size*) cat ${at("lv")} ;; *lv_tags*) echo ' ${tags}' ;; *) echo ' scratch' ;; esac`,
    );
    tool("lvcreate", `record "$@"; echo 52428800000 >${at("lv")}`);
    tool("lvextend", 'record "$@"');
    tool("lvchange", ":");
    tool("pvs", `case "$*" in *vg_name*) echo ' fast' ;; *) echo ' 107369988096' ;; esac`);
    tool("blockdev", "echo 107374182400");
    tool("udevadm", ":");
  }

  it("is made with its volume, and a file system on it, once", () => {
    machine({});
    groups("berth");
    const { status, stderr, stdout } = run(lvm, ["devices"]);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(calls()).toEqual([
      "pvcreate -q -- /dev/sdz",
      "vgcreate -q --addtag berth -- fast /dev/sdz",
      "lvcreate -q -W n -Z n --addtag berth -l 12500 -n scratch -- fast",
      `mkfs.xfs -q -L ${storageLabel("/data2")} /dev/fast/scratch`,
    ]);
    expect(parseFacts(stdout).changed).toEqual([
      at("state/storage/filesystems"),
      "logical volume fast/scratch",
      "volume group fast on /dev/sdz",
      "xfs on /dev/fast/scratch",
    ]);
  });

  it("grows its volume when more is asked, and never makes it smaller", () => {
    machine({ signature: { "/dev/sdz": "LVM2_member" }, below: ["/dev/mapper/fast-scratch lvm"] });
    groups("berth");
    writeFileSync(at("vg"), "");
    for (const [extents, expected] of [
      [5000, ["lvextend -q -l 12500 -- fast/scratch", "mkfs.xfs"]],
      [20000, ["mkfs.xfs"]],
    ] as const) {
      writeFileSync(at("lv"), String(extents * 4194304));
      rmSync(at("calls"), { force: true });
      expect(run(lvm, ["devices"]).stderr).toBe("");
      expect(calls().map((line) => (line.startsWith("mkfs") ? line.split(" ")[0] : line))).toEqual(expected);
    }
  });

  it("of another is refused", () => {
    machine({ signature: { "/dev/sdz": "LVM2_member" }, below: ["/dev/mapper/fast-scratch lvm"] });
    groups("mine");
    writeFileSync(at("vg"), "");
    writeFileSync(at("lv"), "1");
    const { stderr } = run(lvm, ["devices"]);
    expect(stderr).toContain("storage.lvm.group: the volume group fast was not made by Berth");
    expect(stderr).toContain("the logical volume fast/scratch was not made by Berth");
    expect(calls()).toEqual([]);
  });
});
