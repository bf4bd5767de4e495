/**
 * A disk that can lose its power: ext4 on a loop device. `cut` shuts the file system down without flushing its journal
 * (EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH, ext4.h), so that what no program has synced is gone, as it is when
 * a machine loses power. Needs root.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const SHUTDOWN = `
import fcntl, os, struct, sys
folder = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(folder, 0x8004587D, struct.pack("I", 2))
`;

function run(program: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${error?.message ?? stderr}`);
  return stdout.trim();
}

export class PowerCutDisk {
  private readonly parent = mkdtempSync(join(tmpdir(), "berth-disk-"));
  private readonly image = join(this.parent, "image");
  readonly folder = join(this.parent, "disk");

  constructor(mebibytes = 512) {
    mkdirSync(this.folder);
    run("truncate", "-s", `${mebibytes}M`, this.image);
    run("mkfs.ext4", "-q", this.image);
    this.mount();
  }

  /** All that was written until now is on the disk. */
  sync(): void {
    run("sync", "-f", this.folder);
  }

  /** From now on nothing is written, and what was not synced is gone. Who has files open there must end, then `restore`. */
  cut(): void {
    run("python3", "-c", SHUTDOWN, this.folder);
  }

  restore(): void {
    this.unmount();
    this.mount();
  }

  close(): void {
    this.unmount();
    rmSync(this.parent, { recursive: true, force: true });
  }

  /** At once, though a program that was killed may have its files for a moment longer. */
  private unmount(): void {
    run("umount", "-l", this.folder);
  }

  /**
   * By a loop device of its own each time: the file system that was shut down lives on, shut down, where another mount
   * namespace of this computer was made meanwhile. Its journal is written rarely, so that the time at which the power goes
   * does not save what was not synced.
   */
  private mount(): void {
    const device = run("losetup", "-f", "--show", this.image);
    run("mount", "-o", "commit=600", device, this.folder);
    // It goes with the file system.
    run("losetup", "-d", device);
  }
}
