/**
 * @file The machines of one test file, and all that they need: the disk that they begin from, a network, their files.
 * A server was booted once, for all tests, and saved; each test goes on from a copy of that, within seconds.
 */
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { must } from "../../lib/run";
import { makeKeys } from "../../lib/ssh-machine";
import { type Hardware, qemuWords } from "./qemu";
import { seedFiles, writeSeed } from "./seed";
import { Server } from "./server";
import { Site, type SiteClient } from "./site";

/** What the disk's maker gives. */
interface Golden {
  folder: string;
  disk: string;
  kernel: string;
  initrd: string;
}

/** Name of the saved state in a server's disk. */
const READY = "ready";
/** A server reads no user data: it is told who it is. */
const NO_USER_DATA = ["cloud-init=disabled"];
/** What a machine's keys are in. */
const KEYS = ["id", "id.pub", "hostkey", "hostkey.pub"];

const say = (text: string) => console.info(text);

export class Machines {
  private readonly servers: Server[] = [];

  private constructor(
    private readonly golden: Golden,
    private readonly site: Site,
    private readonly folder: string,
  ) {}

  static async create(): Promise<Machines> {
    const { FOLDER_PREFIX, sweepMachines } = await import("../../../scripts/machines/sweep.mjs");
    await sweepMachines();
    const { ensureGolden } = await import("../../../scripts/machines/golden.mjs");
    const golden = await ensureGolden(say);
    const site = await Site.create();
    return new Machines(golden, site, mkdtempSync(join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-`)));
  }

  /** A new folder for a test's own files, which goes with the machines. */
  makeFolder(name: string): string {
    const folder = join(this.folder, `files-${name}`);
    mkdirSync(folder);
    return folder;
  }

  client(name: string, host: number): Promise<SiteClient> {
    return this.site.client(name, host);
  }

  /** A server with that host name and the addresses that end with `host`, at work. */
  async server(name: string, host: number): Promise<Server> {
    const from = await this.savedServer(name, host);
    const server = await this.make(name, host, join(from, "keys"), {
      disk: join(from, "disk.qcow2"),
      seed: join(from, "seed.tar"),
      kernelWords: NO_USER_DATA,
    });
    await server.resume(READY);
    return server;
  }

  /**
   * A machine that finds user data at its first boot, which is not begun yet.
   * @param keys folder with `id`, which its user data has to let in, and `hostkey`, which it has to show
   */
  async withUserData(name: string, host: number, keys: string, userData: string): Promise<Server> {
    const disk = join(this.folder, `${name}.qcow2`);
    await this.overlay(disk);
    return this.make(name, host, keys, { disk, userData, kernelWords: [] });
  }

  private async make(
    name: string,
    host: number,
    keys: string,
    { disk, ...more }: Pick<Hardware, "disk" | "seed" | "userData" | "kernelWords">,
  ): Promise<Server> {
    const folder = join(this.folder, name);
    mkdirSync(folder);
    for (const file of KEYS) copyFileSync(join(keys, file), join(folder, file));
    const own = join(folder, "disk.qcow2");
    await must("cp", ["--reflink=auto", "--sparse=always", disk, own]);
    const { kernel, initrd } = this.golden;
    const hardware = { folder, disk: own, kernel, initrd, host, ...more };
    const server = new Server({ site: this.site, name, hardware });
    this.servers.push(server);
    return server;
  }

  private async overlay(disk: string): Promise<void> {
    const { disk: backing } = this.golden;
    await must("qemu-img", ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", backing, disk]);
  }

  /** The folder of the saved server, booted where there is none. */
  private async savedServer(name: string, host: number): Promise<string> {
    const keys = join(this.golden.folder, "keys");
    const { withLock } = await import("../../../scripts/image/lock.mjs");
    const { newFolder, placeFolder } = await import("../../../scripts/lib/files.mjs");
    const lock = join(this.golden.folder, `${name}.lock`);
    mkdirSync(keys, { recursive: true, mode: 0o700 });
    await withLock(join(this.golden.folder, "keys.lock"), say, async () => makeKeys(keys));
    const files = seedFiles(name, host, keys);
    const { stdout: version } = await must("qemu-system-x86_64", ["--version"]);
    const shape = qemuWords(
      { folder: "", disk: "", kernel: "", initrd: "", seed: "", host, kernelWords: NO_USER_DATA },
      { tap: "", disks: [] },
    );
    const made = JSON.stringify([version, shape, files]);
    const hash = createHash("sha256").update(made).digest("hex").slice(0, 12);
    const folder = join(this.golden.folder, `${name}-${hash}`);
    await withLock(lock, say, async () => {
      if (existsSync(folder)) return;
      say(`booting ${name} once, to save it: some minutes`);
      const making = newFolder(this.golden.folder, name);
      try {
        await this.bootAndSave(name, host, { making, keys, files });
        placeFolder(making, folder);
      } finally {
        rmSync(making, { recursive: true, force: true });
      }
      // What was saved by another QEMU, or was told something else, is of no use any more: some GB.
      const saved = new RegExp(`^${name}-[0-9a-f]{12}$`);
      for (const other of readdirSync(this.golden.folder))
        if (saved.test(other) && other !== basename(folder))
          rmSync(join(this.golden.folder, other), { recursive: true });
    });
    return folder;
  }

  private async bootAndSave(
    name: string,
    host: number,
    { making, keys, files }: { making: string; keys: string; files: ReturnType<typeof seedFiles> },
  ): Promise<void> {
    const disk = join(making, "disk.qcow2");
    const seed = join(making, "seed.tar");
    await this.overlay(disk);
    await writeSeed(files, seed);
    mkdirSync(join(making, "keys"), { mode: 0o700 });
    for (const file of KEYS) copyFileSync(join(keys, file), join(making, "keys", file));
    const server = await this.make(name, host, keys, { disk, seed, kernelWords: NO_USER_DATA });
    await server.boot();
    // Less to save, and to read at each start.
    await server.onNode("sync; echo 3 >/proc/sys/vm/drop_caches");
    await server.save(READY);
    await server.quit();
    copyFileSync(server.file("disk.qcow2"), disk);
    this.servers.splice(this.servers.indexOf(server), 1);
    rmSync(server.folder, { recursive: true });
  }

  /** Ends the machines and removes all that they had. */
  async close(): Promise<void> {
    // All of it, also where a machine does not end.
    const ends = await Promise.allSettled(this.servers.splice(0).map((server) => server.cutPower()));
    await this.site.close();
    rmSync(this.folder, { recursive: true, force: true });
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  }
}
