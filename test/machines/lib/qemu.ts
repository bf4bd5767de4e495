/** @file One QEMU process: what it is called with, its disks, and its end. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { must } from "../../lib/run";
import { SECOND } from "../../lib/time";
import { Qmp } from "./qmp";
import type { Site } from "./site";

/** Of each machine, MiB; two run at a time. */
const MEMORY = 1536;

/**
 * The processor is emulated: KVM is not to be had on most computers that run tests, and what these test does not depend
 * on it. 57-bit addresses only slow it down.
 */
const PROCESSOR = ["-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,la57=off", "-smp", "1"];

export interface Hardware {
  /** Files of this machine: its disks, console, socket. */
  folder: string;
  /** qcow2 with the system. */
  disk: string;
  kernel: string;
  initrd: string;
  /** The last part of its addresses and of its network card's. */
  host: number;
  /** Words for the kernel beside those that every machine gets. */
  kernelWords: readonly string[];
  /** A tar that the machine unpacks once; see scripts/machines/image. */
  seed?: string;
  /** A folder that the machine sees as a disk with the label of user data, CIDATA. */
  userData?: string;
}

export const macOf = (host: number) => `52:54:00:98:00:${host.toString(16).padStart(2, "0")}`;

/** What the machine writes on its console, in its folder. */
const CONSOLE = "console.log";

interface Disk {
  serial: string;
  file: string;
}

/** What QEMU is called with. */
export function qemuWords(
  { folder, disk, kernel, initrd, host, kernelWords, seed, userData }: Hardware,
  { tap, disks, snapshot }: { tap: string; disks: readonly Disk[]; snapshot?: string | undefined },
): string[] {
  const drive = (id: string, options: string) => ["-drive", `if=none,id=${id},${options}`];
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", ...PROCESSOR],
    ...["-m", String(MEMORY), "-rtc", "base=utc", "-device", "virtio-rng-pci"],
    ...["-kernel", kernel, "-initrd", initrd],
    ...["-append", ["root=LABEL=root", "ro", "console=ttyS0", "net.ifnames=0", ...kernelWords].join(" ")],
    ...["-chardev", `file,id=console,append=on,path=${join(folder, CONSOLE)}`, "-serial", "chardev:console"],
    ...["-qmp", `unix:${join(folder, "qmp")},server=on,wait=off`],
    ...["-netdev", `tap,id=net,ifname=${tap},script=no,downscript=no`],
    ...["-device", `virtio-net-pci,netdev=net,mac=${macOf(host)},romfile=`],
    ...drive("system", `format=qcow2,file=${disk}`),
    ...["-device", "virtio-blk-pci,drive=system,serial=SYSTEM"],
    ...(seed === undefined ? [] : ["-fw_cfg", `name=opt/berth/seed,file=${seed}`]),
    ...(userData === undefined
      ? []
      : [
          ...drive(
            "userdata",
            `format=raw,readonly=on,file.driver=vvfat,file.label=CIDATA,file.dir=${userData}`,
          ),
          ...["-device", "virtio-blk-pci,drive=userdata"],
        ]),
    ...disks.flatMap(({ serial, file }) => [
      ...drive(serial, `format=raw,file=${file}`),
      ...["-device", `virtio-blk-pci,drive=${serial},serial=${serial}`],
    ]),
    ...(snapshot === undefined ? [] : ["-loadvm", snapshot]),
  ];
}

export class Qemu {
  private process: ChildProcess | undefined;
  private monitor: Qmp | undefined;
  private tap: string | undefined;
  private readonly disks: Disk[] = [];

  constructor(
    private readonly site: Site,
    private readonly of: Hardware,
  ) {}

  /** @param snapshot one in its disk, with which it goes on. Left out, it boots */
  async start(snapshot?: string): Promise<void> {
    this.tap ??= await this.site.tap();
    rmSync(join(this.of.folder, "qmp"), { force: true });
    const errors = openSync(join(this.of.folder, "qemu.log"), "a");
    // It dies with this process, however that ends.
    const [program = "", ...words] = [
      ...["setpriv", "--pdeathsig", "KILL", ...this.site.inside, "qemu-system-x86_64"],
      ...qemuWords(this.of, { tap: this.tap, disks: this.disks, snapshot }),
    ];
    const child = spawn(program, words, { stdio: ["ignore", errors, errors] });
    closeSync(errors);
    this.process = child;
    const failed = new Promise<never>((_, reject) => {
      child.once("error", (error) => {
        // It never was: there is no end to wait for.
        this.process = undefined;
        reject(error);
      });
      child.once("exit", () => reject(new Error(`QEMU ended: ${this.said("qemu.log")}`)));
    });
    failed.catch(() => {});
    this.monitor = await Promise.race([Qmp.connect(join(this.of.folder, "qmp")), failed]);
  }

  /** The end of one of its logs. */
  private said(file: string): string {
    const path = join(this.of.folder, file);
    return existsSync(path) ? readFileSync(path, "utf8").slice(-2000) : "";
  }

  /** What the machine wrote last on its console, for errors. */
  consoleTail(): string {
    return this.said(CONSOLE);
  }

  private get qmp(): Qmp {
    if (!this.monitor) throw new Error("the machine does not run");
    return this.monitor;
  }

  /** Adds an empty disk, as somebody would plug one in. @param size as qemu-img takes it */
  async addDisk(serial: string, size: string): Promise<void> {
    const file = join(this.of.folder, `${serial}.img`);
    await must("qemu-img", ["create", "-q", "-f", "raw", file, size]);
    await this.attach(serial, file);
  }

  /** Adds a file of this computer as a disk. */
  async attach(serial: string, file: string): Promise<void> {
    await this.qmp.call("blockdev-add", {
      ...{ driver: "raw", "node-name": serial },
      file: { driver: "file", filename: file },
    });
    await this.qmp.call("device_add", {
      driver: "virtio-blk-pci",
      id: `disk-${serial}`,
      drive: serial,
      serial,
    });
    this.disks.push({ serial, file });
  }

  /** Saves all of it under that name, in its disk; it goes on. */
  async save(name: string): Promise<void> {
    await this.qmp.monitor(`savevm ${name}`);
  }

  /** Ends the process as QEMU likes it: the disk is whole. */
  async quit(): Promise<void> {
    const ended = this.ended();
    await this.qmp.call("quit").catch(() => {});
    await ended;
  }

  /** As a pulled plug: what the machine had not handed to its disk is gone. */
  async cut(): Promise<void> {
    const ended = this.ended();
    this.process?.kill("SIGKILL");
    await ended;
  }

  private async ended(): Promise<void> {
    const child = this.process;
    if (!child) return;
    if (child.exitCode === null && child.signalCode === null) {
      await new Promise<void>((resolve, reject) => {
        const late = setTimeout(() => reject(new Error("QEMU did not end within 60 s")), 60 * SECOND);
        child.once("exit", () => {
          clearTimeout(late);
          resolve();
        });
      });
    }
    this.monitor?.close();
    this.monitor = undefined;
    this.process = undefined;
  }
}
