/**
 * A Pulumi project of its own in a temporary folder, with a file backend, the real CLI and Berth's plugins:
 * what the engine tests run their small programs in.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";

import * as programs from "../lib/run";

const root = dirname(dirname(__dirname));

export interface Ran {
  readonly code: number;
  /** stdout and stderr, in one. */
  readonly text: string;
  readonly stdout: string;
}

export interface Step {
  readonly op: string;
  readonly urn: string;
  readonly detailedDiff?: Record<string, { kind: string }> | null;
  readonly replaceReasons?: string[];
}

export interface ExportedResource {
  readonly urn: string;
  readonly id?: string;
  readonly type: string;
  readonly inputs?: Record<string, unknown>;
  readonly outputs?: Record<string, unknown>;
}

/** Folder of the CLI: what `npm start` keeps in the cache, else the one on PATH. */
function cliFolder(): string | undefined {
  const cache =
    process.env.BERTH_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "berth");
  const folder = join(cache, "pulumi-3.250.0");
  if (existsSync(join(folder, "pulumi"))) return folder;
  const onPath = (process.env.PATH ?? "").split(delimiter).find((part) => existsSync(join(part, "pulumi")));
  return onPath;
}

export class Sandbox {
  readonly folder: string;
  private readonly env: NodeJS.ProcessEnv;
  private readonly cli: string;

  private constructor(plugins: readonly string[], typescript: boolean) {
    const cli = cliFolder();
    if (cli === undefined)
      throw new Error("no Pulumi CLI; `node scripts/engine.mjs` or `npm start` gets one");
    this.cli = join(cli, "pulumi");
    this.folder = mkdtempSync(join(tmpdir(), "berth-sandbox-"));
    for (const name of ["state", "home"]) mkdirSync(join(this.folder, name));
    symlinkSync(join(root, "node_modules"), join(this.folder, "node_modules"));
    writeFileSync(join(this.folder, "package.json"), '{ "name": "sandbox", "main": "index.js" }\n');
    writeFileSync(
      join(this.folder, "Pulumi.yaml"),
      `name: sandbox\nruntime: { name: nodejs, options: { typescript: ${typescript} } }\ndescription: ${plugins.join(" ")}\n`,
    );
    this.env = {
      ...process.env,
      PATH: [cli, dirname(process.execPath), process.env.PATH].join(delimiter),
      BERTH_NODE: process.execPath,
      PULUMI_HOME: join(this.folder, "home"),
      PULUMI_BACKEND_URL: `file://${join(this.folder, "state")}`,
      PULUMI_CONFIG_PASSPHRASE: "test",
      PULUMI_SKIP_UPDATE_CHECK: "true",
      PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
      NO_COLOR: "1",
    };
    delete this.env.SSH_AUTH_SOCK; // the tests say themselves who signs in
  }

  /**
   * Makes the project and a stack, with the named plugins of Berth's own installed.
   *
   * @param typescript false: each run is a second shorter, and the program requires no TypeScript (`@pulumi/cloudinit`).
   */
  static async make(plugins: string[], { typescript = true } = {}): Promise<Sandbox> {
    const sandbox = new Sandbox(plugins, typescript);
    const { ensurePlugins } = await import("../../scripts/plugins.mjs");
    await ensurePlugins({
      cacheDir: sandbox.folder,
      home: join(sandbox.folder, "home"),
      pulumi: sandbox.cli,
      names: plugins,
    });
    await sandbox.ok(["stack", "init", "test"]);
    return sandbox;
  }

  /** Replaces the program: CommonJS text; `pulumi`, `command` and `docker` are there. */
  program(text: string): void {
    const head = `"use strict";
const pulumi = require("@pulumi/pulumi");
const command = require("@pulumi/command");
`;
    writeFileSync(join(this.folder, "index.js"), head + text);
  }

  async run(args: readonly string[], deadline = 120_000): Promise<Ran> {
    const argv = [...args, "--non-interactive", "--color", "never"];
    const options = { cwd: this.folder, env: this.env, deadline };
    const { code, stdout, stderr } = await programs.run(this.cli, argv, options);
    return { code, text: `${stdout}\n${stderr}`, stdout };
  }

  /** Starts the CLI and gives the process, for tests that interrupt it. */
  start(args: readonly string[]): ChildProcess {
    const argv = [...args, "--non-interactive", "--color", "never"];
    return spawn(this.cli, argv, { cwd: this.folder, env: this.env, stdio: ["ignore", "pipe", "pipe"] });
  }

  /** Kills a started CLI with all that it started, plugins included, which have process groups of their own. */
  async kill(child: ChildProcess): Promise<void> {
    const ended = child.exitCode !== null || child.signalCode !== null ? undefined : once(child, "exit");
    for (const pid of familyOf(child.pid as number)) {
      try {
        process.kill(pid, "SIGKILL");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error; // ended by itself meanwhile
      }
    }
    await ended;
  }

  /**
   * After a kill: takes the lock away and forgets what was under way, as Berth's own `up` does. Where the kill came
   * while the state was written, the file with its attributes may be cut off; without it the state is read all the same.
   *
   * @returns the types of the resources that were being made.
   */
  async recover(): Promise<string[]> {
    for (const name of readdirSync(join(this.folder, "state"), { recursive: true, encoding: "utf8" })) {
      const file = join(this.folder, "state", name);
      if (name.endsWith(".attrs") && readFileSync(file).length === 0) rmSync(file);
    }
    await this.ok(["cancel", "--yes"]);
    const { stdout } = await this.ok(["stack", "export"]);
    const state = JSON.parse(stdout);
    const pending: { type: string; resource: { type: string } }[] = state.deployment.pending_operations ?? [];
    if (pending.length === 0) return [];
    state.deployment.pending_operations = [];
    const file = join(this.folder, "recovered.json");
    writeFileSync(file, JSON.stringify(state));
    await this.ok(["stack", "import", "--file", file]);
    return pending.filter(({ type }) => type === "creating").map(({ resource }) => resource.type);
  }

  /** Runs and expects success. */
  async ok(args: readonly string[]): Promise<Ran> {
    const ran = await this.run(args);
    if (ran.code !== 0) throw new Error(`pulumi ${args.join(" ")} ended with ${ran.code}:\n${ran.text}`);
    return ran;
  }

  up(): Promise<Ran> {
    return this.ok(["up", "--yes", "--skip-preview"]);
  }

  /** Fails unless a preview finds nothing to do. */
  async quiet(): Promise<void> {
    await this.ok(["preview", "--expect-no-changes", "--diff"]);
  }

  /** The steps of a preview that are not `same`, without the stack itself. */
  async preview(): Promise<Step[]> {
    const { stdout } = await this.ok(["preview", "--json"]);
    const { steps } = JSON.parse(stdout) as { steps: Step[] };
    return steps.filter((step) => step.op !== "same" && !step.urn.includes("pulumi:pulumi:Stack"));
  }

  async outputs(): Promise<Record<string, unknown>> {
    const { stdout } = await this.ok(["stack", "output", "--json", "--show-secrets"]);
    return JSON.parse(stdout) as Record<string, unknown>;
  }

  async resources(): Promise<ExportedResource[]> {
    const { stdout } = await this.ok(["stack", "export"]);
    const { deployment } = JSON.parse(stdout) as { deployment: { resources?: ExportedResource[] } };
    return deployment.resources ?? [];
  }

  /** All text that the backend has on disk, history and backups included. */
  stateOnDisk(): string {
    const files = readdirSync(join(this.folder, "state"), { recursive: true, withFileTypes: true });
    return files
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8"))
      .join("\n");
  }

  /** Destroys what is left and removes the folder. */
  async remove(): Promise<void> {
    try {
      await this.run(["destroy", "--yes", "--skip-preview"]);
    } finally {
      rmSync(this.folder, { recursive: true, force: true });
    }
  }
}

/** A process and all below it, children last. */
function familyOf(root: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    try {
      // "PID (NAME) STATE PPID …"; the name may hold anything.
      const fields = readFileSync(`/proc/${name}/stat`, "utf8").split(") ").pop()?.split(" ");
      parents.set(Number(name), Number(fields?.[1]));
    } catch {
      // Gone meanwhile.
    }
  }
  const family = [root];
  for (const pid of family)
    for (const [child, parent] of parents) if (parent === pid && !family.includes(child)) family.push(child);
  return family;
}
