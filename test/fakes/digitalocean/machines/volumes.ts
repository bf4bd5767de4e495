/** Block storage: each volume is a sparse file, and a loop device of this computer while it is attached. */
import { closeSync, openSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { until } from "../../../lib/until";
import type { VolumeInfo } from "../world";
import { docker, lines, must, run } from "./command";
import { isRunning, put } from "./droplet";
import { label, type Naming } from "./names";

const GiB = 2 ** 30;

interface Attached {
  readonly container: string;
  /** `/dev/loop3`. */
  readonly loop: string;
  readonly name: string;
}

export class Volumes {
  private readonly made = new Set<string>();
  private readonly attached = new Map<string, Attached>();

  constructor(
    private readonly naming: Naming,
    private readonly image: string,
    /** Where the files are. */
    private readonly folder: string,
  ) {}

  private file(volume: Readonly<VolumeInfo>): string {
    return join(this.folder, `${volume.id}.img`);
  }

  /** The file with the volume's content, formatted where that was asked for; made when it is first used. */
  private async ensure(volume: Readonly<VolumeInfo>): Promise<string> {
    const file = this.file(volume);
    if (this.made.has(volume.id)) return file;
    if (volume.snapshot !== undefined)
      throw new Error(`volume ${volume.name}: what snapshots hold is not played by the test machines`);
    closeSync(openSync(file, "w", 0o600));
    truncateSync(file, volume.sizeGigabytes * GiB);
    if (volume.filesystemType !== "") {
      const options = volume.filesystemLabel === "" ? [] : ["-L", volume.filesystemLabel];
      // The tools of the image, on the file: this computer needs none.
      await docker(
        ...["run", "--rm", "--network", "none", "--label", label(this.naming)],
        ...["--mount", `type=bind,source=${this.folder},target=/volumes`, this.image],
        ...[`mkfs.${volume.filesystemType}`, "-q", ...options, `/volumes/${volume.id}.img`],
      );
    }
    this.made.add(volume.id);
    return file;
  }

  /** The device appears in the machine, as /dev/disk/by-id/scsi-0DO_Volume_NAME, and each time that it starts. */
  async attach(volume: Readonly<VolumeInfo>, container: string): Promise<void> {
    const file = await this.ensure(volume);
    const loop = await must("losetup", ["--find", "--show", "--partscan", file]);
    try {
      // Kernels for small virtual machines read no partition tables: then it is told what is there.
      const table = await run("blkid", ["--probe", "--match-tag", "PTTYPE", "--output", "value", loop]);
      if (table.stdout.trim() !== "") await must("partx", ["--update", loop]);
      this.attached.set(volume.id, { container, loop, name: volume.name });
      await this.show(container);
    } catch (error) {
      this.attached.delete(volume.id);
      await release(loop, file);
      throw error;
    }
  }

  /** Pulls the disk: what is mounted of it is lost to the machine. */
  async detach(volume: Readonly<VolumeInfo>, container: string): Promise<void> {
    const attached = this.attached.get(volume.id);
    if (attached === undefined) return;
    if (await isRunning(container)) {
      const unmount = `sync; for part in ${attached.loop}*; do umount --all-targets --lazy "$part" 2>/dev/null || true; done`;
      await docker("exec", container, "sh", "-c", unmount);
    }
    this.attached.delete(volume.id);
    await this.show(container);
    await release(attached.loop, this.file(volume));
  }

  async resize(volume: Readonly<VolumeInfo>, sizeGigabytes: number): Promise<void> {
    await this.ensure(volume);
    truncateSync(this.file(volume), sizeGigabytes * GiB);
    const attached = this.attached.get(volume.id);
    if (attached !== undefined) await must("losetup", ["--set-capacity", attached.loop]);
  }

  destroy(volume: Readonly<VolumeInfo>): void {
    rmSync(this.file(volume), { force: true });
    this.made.delete(volume.id);
  }

  /** Tells the machine which volumes it has. */
  private async show(container: string): Promise<void> {
    const own = [...this.attached.values()].filter((attached) => attached.container === container);
    const list = own.map(({ loop, name }) => `${loop.slice("/dev/".length)} ${name}\n`).join("");
    await put(container, "/etc/droplet", { volumes: list });
    if (await isRunning(container)) await docker("exec", container, "/usr/local/lib/droplet/devices");
  }
}

/** Lets a loop device go, and waits until it is gone: it stays for as long as anything has it open. */
async function release(loop: string, file: string): Promise<void> {
  await must("losetup", ["--detach", loop]);
  await until(
    `${loop} is detached and no longer in use`,
    10_000,
    async () => (await must("losetup", ["--associated", file])) === "",
  );
}

/** Lets go of all loop devices that lie on files of these folders. */
export async function releaseAll(folders: readonly string[]): Promise<void> {
  const listed = await must("losetup", ["--list", "--noheadings", "--raw", "--output", "NAME,BACK-FILE"]);
  for (const line of lines(listed)) {
    const [loop = "", ...words] = line.split(" ");
    const file = words.join(" ");
    if (folders.some((folder) => file.startsWith(`${folder}/`))) await release(loop, file);
  }
}
