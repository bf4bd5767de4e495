/** @file A machine that tests reach by SSH, whatever it is made of: its keys, commands on it, and host stages. */
import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseFacts } from "../../components/host/stage";
import { must, type Ran, run } from "./run";
import { sshArgs } from "./ssh";
import { MINUTE } from "./time";

export interface Command {
  /** Milliseconds. @default ten minutes */
  deadline?: number;
  input?: string;
  /** @default "root" */
  user?: string;
}

export interface SshMachineOptions {
  /** For messages. */
  name: string;
  address: string;
  /** With the keys: `id`, `hostkey`, `known_hosts`. Machines of one folder share their keys. */
  folder: string;
  /**
   * False: each command makes a connection of its own. For tests that prove SSH, a firewall or what an update of
   * sshd does: a connection that stays open would hide that no new one can be made. @default true
   */
  multiplex?: boolean;
  /** Seconds that a connection may take. @default 10 */
  connectSeconds?: number;
}

/** Makes the keys of a folder where they are missing: `id` opens the machines, `hostkey` is shown by them. */
export function makeKeys(folder: string): void {
  for (const name of ["id", "hostkey"]) {
    const file = join(folder, name);
    if (!existsSync(file)) execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", file]);
  }
}

export class SshMachine {
  readonly name: string;
  readonly address: string;
  readonly folder: string;

  constructor(private readonly reached: SshMachineOptions) {
    this.name = reached.name;
    this.address = reached.address;
    this.folder = reached.folder;
  }

  /** The private key that opens it; once its keys were made. */
  get keyFile(): string {
    return join(this.folder, "id");
  }

  /** `ssh-ed25519 BASE64`; once its keys were made. */
  get hostKey(): string {
    return readFileSync(join(this.folder, "hostkey.pub"), "utf8").split(" ").slice(0, 2).join(" ");
  }

  private get knownHosts(): string {
    return join(this.folder, "known_hosts");
  }

  private get multiplex(): boolean {
    return this.reached.multiplex ?? true;
  }

  /** Makes the keys, and notes the host key that the machine will show. */
  protected prepareKeys(): void {
    makeKeys(this.folder);
    appendFileSync(this.knownHosts, `${this.address} ${this.hostKey}\n`);
  }

  /** What `ssh` is called with to run this on the machine. */
  sshArgs(command: string, user = "root"): string[] {
    return [...this.sshTarget(user), command];
  }

  private sshTarget(user = "root"): string[] {
    const { folder, keyFile: key, address, knownHosts } = this;
    const { connectSeconds = 10 } = this.reached;
    const options = { ConnectTimeout: String(connectSeconds) };
    return sshArgs({
      address,
      user,
      key,
      knownHosts,
      options,
      ...(this.multiplex ? { shared: folder } : {}),
    });
  }

  ssh(command: string, { user, deadline = 10 * MINUTE, input }: Command = {}): Promise<Ran> {
    return run("ssh", this.sshArgs(command, user), { deadline, ...(input === undefined ? {} : { input }) });
  }

  /** Standard output of a command that ends well. */
  async onNode(command: string, { user, deadline = 10 * MINUTE }: Command = {}): Promise<string> {
    return (await must("ssh", this.sshArgs(command, user), { deadline })).stdout;
  }

  /** Runs a host stage as the command provider does, and gives its facts. */
  async stage(text: string, input?: string): Promise<ReturnType<typeof parseFacts>> {
    const { code, stdout, stderr } = await this.ssh(text, input === undefined ? {} : { input });
    if (code !== 0 || stderr !== "") throw new Error(`a stage on ${this.name} ended with ${code}: ${stderr}`);
    return parseFacts(stdout);
  }

  /** Ends the shared connection: one that the machine's end cuts off would keep later commands waiting. */
  protected async hangUp(): Promise<void> {
    if (this.multiplex) await run("ssh", ["-O", "exit", ...this.sshTarget()]);
  }

  /** Removes the keys, after the last command. */
  async removeFiles(): Promise<void> {
    if (existsSync(this.keyFile)) await this.hangUp();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
