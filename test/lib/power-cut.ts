/**
 * A disk that can lose its power: ext4 on a loop device. `cut` shuts the file system down without flushing its journal
 * (EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH, ext4.h), so that what no program has synced is gone, as it is when
 * a machine loses power. Needs root.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./until";

const SHUTDOWN = `
import fcntl, os, struct, sys
folder = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(folder, 0x8004587D, struct.pack("I", 2))
`;

function run(program: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${error?.message ?? stderr}`);
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

  async restore(): Promise<void> {
    await this.unmount();
    this.mount();
  }

  async close(): Promise<void> {
    await this.unmount();
    rmSync(this.parent, { recursive: true, force: true });
  }

  /** A program that was killed has its files for a moment longer. */
  private async unmount(): Promise<void> {
    await until("the disk can be taken away", 10_000, () => spawnSync("umount", [this.folder]).status === 0);
  }

  /** The journal is written rarely, so that the time at which the power goes does not save what was not synced. */
  private mount(): void {
    run("mount", "-o", "loop,commit=600", this.image, this.folder);
  }
}
