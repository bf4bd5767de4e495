/**
 * @file The disk that all test machines begin from: Debian with its own kernel, and the packages that Berth's stages
 * would install. On an emulated processor an installation takes many times as long as here, and the machines reach no
 * mirror. Made once for a recipe, and kept in the cache.
 */
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ROOTFS } from "../image/catalog.cjs";
import { withLock } from "../image/lock.mjs";
import { mmdebstrap } from "../image/mmdebstrap.mjs";
import { newFolder, placeFolder } from "../lib/files.mjs";
import { places, ROOT } from "../lib/paths.mjs";
import { run } from "../lib/process.mjs";
import { requireRoom } from "../lib/room.mjs";
import { findTool } from "../lib/test-tools.mjs";

/** Kernel, boot and network of a machine. Debian's kernel for clouds has no RDMA, so it is the common one. */
const SYSTEM = [
  ...["linux-image-amd64", "initramfs-tools", "systemd", "systemd-sysv", "dbus", "udev", "kmod", "e2fsprogs"],
  ...["iproute2", "openssh-server", "ca-certificates", "procps", "cloud-init", "cloud-guest-utils", "fdisk"],
];
/** What the stages install: components/host. */
const STAGES = [
  ...["curl", "iptables", "pciutils", "python3", "sudo", "tzdata", "ufw", "systemd-timesyncd"],
  ...["unattended-upgrades", "docker.io", "docker-cli", "lvm2", "xfsprogs", "quota", "nfs-common"],
  ...["nfs-kernel-server", "rdma-core", "ibverbs-providers", "ibverbs-utils", "infiniband-diags", "git"],
];
/** What tests call on a machine: containers are made of busybox. */
const TESTS = ["busybox-static"];

const RECIPE = {
  suite: ROOTFS.suite,
  include: [...SYSTEM, ...STAGES, ...TESTS],
  dpkg: ROOTFS.dpkg,
  /** Of the disk; it takes what is in it. berthd keeps packages where 4 GiB are free. */
  size: "10G",
};

/** The tree, the disk as made, the disk as kept. */
const ROOM_BYTES = 5e9;
/** Two minutes with a near mirror, and two for the kernel's first ramdisk. */
const MAKE_MS = 30 * 60_000;

const FILES = join(ROOT, "scripts/machines/image");

/**
 * @typedef {object} Golden
 * @property {string} folder what is made from it is kept in here too
 * @property {string} disk qcow2, never written to
 * @property {string} kernel
 * @property {string} initrd
 */

/** The hash of the recipe; packages that Debian updates meanwhile do not change it. */
function recipeHash() {
  const hash = createHash("sha256").update(JSON.stringify(RECIPE));
  for (const file of readdirSync(FILES).sort())
    hash.update(`\0${file}\0`).update(readFileSync(join(FILES, file)));
  return hash.digest("hex").slice(0, 12);
}

/**
 * The disk, made where it is missing; those of older recipes go then.
 * @param {(text: string) => void} say
 * @returns {Promise<Golden>}
 * @throws {Error} for want of root or of a program
 */
export async function ensureGolden(say) {
  const parent = join(places().cache, "machines");
  const name = `debian-${RECIPE.suite}-${recipeHash()}`;
  const folder = join(parent, name);
  const golden = {
    folder,
    disk: join(folder, "disk.qcow2"),
    kernel: join(folder, "vmlinuz"),
    initrd: join(folder, "initrd"),
  };
  if (existsSync(golden.disk)) return golden;
  if (process.getuid?.() !== 0)
    throw new Error("The disk of the test machines is made by root alone: run the same command as root.");
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  await withLock(join(parent, "golden.lock"), say, async () => {
    if (existsSync(golden.disk)) return;
    requireRoom([{ path: parent, bytes: ROOM_BYTES, why: "for the disk of the test machines" }]);
    const made = newFolder(parent, "making");
    try {
      await make(made, say);
      placeFolder(made, folder);
    } finally {
      rmSync(made, { recursive: true, force: true });
    }
    for (const other of readdirSync(parent))
      if (/^debian-/.test(other) && other !== name) rmSync(join(parent, other), { recursive: true });
  });
  return golden;
}

/**
 * @param {string} folder
 * @param {(text: string) => void} say
 */
async function make(folder, say) {
  const tree = join(folder, "root");
  const raw = join(folder, "disk.raw");
  await mmdebstrap({ ...RECIPE, customize: [`'${join(FILES, "finish.sh")}' "$1"`] }, tree, {
    ...{ say, deadlineMs: MAKE_MS },
    what: "Test machines begin from Debian's packages",
  });
  const boot = readdirSync(join(tree, "boot"));
  for (const [to, pattern] of /** @type {const} */ ([
    ["vmlinuz", /^vmlinuz-/],
    ["initrd", /^initrd\.img-/],
  ])) {
    const from = boot.find((file) => pattern.test(file));
    if (from === undefined) throw new Error(`The new disk has no /boot/${to}: it holds ${boot.join(", ")}.`);
    copyFileSync(join(tree, "boot", from), join(folder, to));
  }
  say("making the disk");
  const options = { deadlineMs: MAKE_MS };
  const mke2fs = findTool("mke2fs") ?? "mke2fs";
  await run(mke2fs, ["-q", "-t", "ext4", "-L", "root", "-d", tree, raw, RECIPE.size], options);
  await run("qemu-img", ["convert", "-O", "qcow2", raw, join(folder, "disk.qcow2")], options);
  rmSync(raw);
  rmSync(tree, { recursive: true });
}
