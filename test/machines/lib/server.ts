/** @file A virtual machine that is reached by SSH. */
import { join } from "node:path";
import { run } from "../../lib/run";
import { SshMachine } from "../../lib/ssh-machine";
import { MINUTE, SECOND } from "../../lib/time";
import { until } from "../../lib/until";
import { type Hardware, Qemu } from "./qemu";
import { address6Of, addressOf, type Site } from "./site";

/** An emulated processor boots in two minutes; other programs may take the processors meanwhile. */
const BOOT = 10 * MINUTE;

/** Identifies one boot. */
const BOOT_ID = "cat /proc/sys/kernel/random/boot_id";

/** Where a machine has a disk. */
export const diskPath = (serial: string) => `/dev/disk/by-id/virtio-${serial}`;

export interface ServerOptions {
  site: Site;
  name: string;
  hardware: Hardware;
}

export class Server extends SshMachine {
  readonly address6: string;
  private readonly qemu: Qemu;

  /** Its folder, `hardware.folder`, has or gets the keys. */
  constructor({ site, name, hardware }: ServerOptions) {
    const { host, folder } = hardware;
    super({ name, address: addressOf(host), folder, connectSeconds: 30 });
    this.address6 = address6Of(host);
    this.qemu = new Qemu(site, hardware);
    this.prepareKeys();
  }

  /** Boots, and waits until all has started. @throws when a service failed */
  async boot(): Promise<void> {
    await this.qemu.start();
    await this.started();
  }

  /** Goes on where it was saved. */
  async resume(snapshot: string): Promise<void> {
    await this.qemu.start(snapshot);
    await this.reachable(2 * MINUTE);
    // Its clock stood still while it was saved.
    await this.onNode(`date -u -s @${Math.round(Date.now() / 1000)}`);
  }

  /** Waits until SSH lets in and all has started. */
  async started(): Promise<void> {
    await this.reachable(BOOT);
    const state = await this.ssh(
      `systemctl is-system-running --wait; systemctl --failed --plain --no-legend
for unit in $(systemctl --failed --plain --no-legend | awk '{print $1}'); do journalctl -b --no-pager -o short-monotonic -u "$unit"; done`,
      {
        deadline: BOOT,
      },
    );
    if (state.stdout.trim() !== "running") throw new Error(`${this.name} is ${state.stdout}${state.stderr}`);
  }

  private async reachable(deadline: number): Promise<void> {
    const look = async () => {
      const { code, stderr } = await this.ssh("true", { deadline: 40 * SECOND });
      if (code !== 0) throw new Error(stderr);
      return true;
    };
    await until(`SSH to ${this.name}`, deadline, look, 2 * SECOND).catch((error: Error) => {
      throw new Error(`${error.message}\nIts console ends with:\n${this.qemu.consoleTail()}`);
    });
  }

  /** Restarts itself, as somebody at its prompt would, and waits until all has started. */
  async reboot(): Promise<void> {
    const before = await this.onNode(BOOT_ID);
    // The session ends with the machine.
    await run("ssh", this.sshArgs("systemctl reboot"), { deadline: MINUTE });
    await this.hangUp();
    await until(`the restart of ${this.name}`, BOOT, async () => {
      await this.reachable(BOOT);
      return (await this.onNode(BOOT_ID)) !== before;
    });
    await this.started();
  }

  /** Cuts its power, in the middle of whatever it does. */
  async cutPower(): Promise<void> {
    await this.qemu.cut();
    await this.hangUp();
  }

  /** Adds an empty disk, and waits until the machine has it. @param size as qemu-img takes it, such as "1G" */
  async addDisk(serial: string, size: string): Promise<void> {
    await this.qemu.addDisk(serial, size);
    await this.sees(serial);
  }

  /** Adds a file of this computer as a disk, and waits until the machine has it. */
  async attach(serial: string, file: string): Promise<void> {
    await this.qemu.attach(serial, file);
    await this.sees(serial);
  }

  private async sees(serial: string): Promise<void> {
    const look = async () => (await this.ssh(`test -e ${diskPath(serial)}`)).code === 0;
    await until(`disk ${serial} on ${this.name}`, MINUTE, look);
  }

  save(name: string): Promise<void> {
    return this.qemu.save(name);
  }

  async quit(): Promise<void> {
    await this.hangUp();
    await this.qemu.quit();
  }

  /** A file of this machine's on this computer. */
  file(name: string): string {
    return join(this.folder, name);
  }
}
