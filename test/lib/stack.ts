/**
 * @file A stack of a test: its home, its configuration, and the commands that people call. Each has a BERTH_HOME and
 * names of its own, so it stands beside others on the same engine.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { parse, stringify } from "yaml";
import { docker } from "./docker";
import { must, type Ran, type RunOptions, run, tail } from "./run";
import { MINUTE } from "./time";
import { until } from "./until";

const root = dirname(dirname(__dirname));

/** Processes started by `parent`, by /proc. */
export const childrenOf = (parent: number): number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === parent;
      } catch {
        return false; // It ended meanwhile.
      }
    });

export interface Step {
  op: string;
  /** The last part of the resource's URN. */
  name: string;
}

export interface Status {
  stack: string;
  nodes: { name: string; state: string }[];
  users: { name: string; node: string; state: string }[];
  ray: { nodes: number | null } | null;
  /** Containers that should run and do not; `node`: null on the operator's own engine. */
  down: { container: string; node: string | null; state: string; why: string }[];
}

// biome-ignore lint/suspicious/noExplicitAny: configuration as YAML has it, also wrong on purpose
export type Configuration = Record<string, any>;

export class TestStack {
  readonly home: string;
  /** Its keys and known hosts. */
  readonly folder: string;
  readonly file: string;
  readonly env: NodeJS.ProcessEnv;
  /** The environment that `npm run -s env` gives people for plain pulumi. */
  private variables: NodeJS.ProcessEnv | undefined;

  constructor(
    readonly stack: string,
    more: NodeJS.ProcessEnv = {},
  ) {
    this.home = join(tmpdir(), `berth-${stack}`);
    this.folder = join(this.home, "stacks", stack);
    this.file = join(root, `Pulumi.${stack}.yaml`);
    // A backend or a passphrase of the person who runs this would be used instead of the stack's own.
    const foreign =
      /^(PULUMI_(BACKEND_URL|ACCESS_TOKEN|CONFIG_PASSPHRASE|CONFIG_PASSPHRASE_FILE|STACK)|DIGITALOCEAN_.*)$/;
    const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
    const path = [dirname(process.execPath), process.env.PATH].join(delimiter);
    this.env = { ...own, PATH: path, BERTH_HOME: this.home, NO_COLOR: "1", ...more };
  }

  run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
    return run(program, args, { deadline: MINUTE, ...options, env: { ...this.env, ...options.env } });
  }

  /** Runs a program and expects success. */
  ok(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
    return must(program, args, { deadline: MINUTE, ...options, env: { ...this.env, ...options.env } });
  }

  docker(...args: string[]): Promise<string> {
    return docker(...args);
  }

  /** What `npm run preview | up | destroy` calls. */
  berth(
    command: string,
    args: string[] = [],
    deadline = 15 * MINUTE,
    env: NodeJS.ProcessEnv = {},
  ): Promise<Ran> {
    return this.run(process.execPath, ["scripts/pulumi.mjs", command, "--stack", this.stack, ...args], {
      deadline,
      env,
    });
  }

  async up(args: string[] = []): Promise<Ran> {
    const ran = await this.berth("up", ["--yes", ...args], 25 * MINUTE);
    if (ran.code !== 0) throw new Error(`up ended with ${ran.code}:\n${tail(ran.text)}`);
    return ran;
  }

  /** Starts an `up` and gives its process, for a test that kills it. */
  startUp(): ChildProcess {
    return spawn(
      process.execPath,
      ["scripts/pulumi.mjs", "up", "--stack", this.stack, "--yes", "--skip-preview"],
      {
        cwd: root,
        env: this.env,
        stdio: "ignore",
      },
    );
  }

  /** What a preview would do, less what stays as it is, and the stack's outputs. */
  async changes(args: string[] = []): Promise<Step[]> {
    const ran = await this.berth("preview", ["--json", ...args], 5 * MINUTE);
    if (ran.code !== 0) throw new Error(`preview ended with ${ran.code}:\n${tail(ran.text)}`);
    const { steps } = JSON.parse(ran.stdout) as { steps: { op: string; urn: string }[] };
    return steps
      .filter(({ op, urn }) => op !== "same" && !urn.includes("::pulumi:pulumi:Stack::"))
      .map(({ op, urn }) => ({ op, name: urn.split("::").at(-1) ?? urn }));
  }

  /** Fails unless a preview finds nothing to do. */
  async nothingToDo(args: string[] = []): Promise<void> {
    const ran = await this.berth("preview", ["--expect-no-changes", "--diff", ...args], 5 * MINUTE);
    if (ran.code !== 0)
      throw new Error(`a preview that should be empty ended with ${ran.code}:\n${tail(ran.text)}`);
  }

  async pulumi(args: string[], options: { input?: string; deadline?: number } = {}): Promise<string> {
    if (!this.variables) {
      const { toolEnvironment } = await import("../../scripts/lib/pulumi-env.mjs");
      this.variables = toolEnvironment(this.env).env;
    }
    return (await this.ok("pulumi", [...args, "--stack", this.stack], { env: this.variables, ...options }))
      .stdout;
  }

  /** `npm run -s status -- --json`: exit code 0 when all is up. */
  async status(): Promise<{ code: number; status: Status }> {
    const ran = await this.run(process.execPath, ["scripts/status.mjs", "--json", "--stack", this.stack]);
    if (ran.stdout === "") throw new Error(`status ended with ${ran.code}:\n${tail(ran.text)}`);
    return { code: ran.code, status: JSON.parse(ran.stdout) };
  }

  /** Waits until status says that all is up. */
  allUp(deadline: number): Promise<Status> {
    return until(
      "all up",
      deadline,
      async () => {
        const { code, status: now } = await this.status();
        if (code !== 0) throw new Error(JSON.stringify(now));
        return now;
        // Each look starts programs here and asks every node: the nodes need the processors more.
      },
      2500,
    );
  }

  writeConfiguration(config: Configuration): void {
    writeFileSync(this.file, stringify({ config }));
  }

  /** Changes the stack file as an editor would: what else stands in it stays. */
  edit(change: (config: Configuration) => void): void {
    const file = parse(readFileSync(this.file, "utf8"));
    change(file.config);
    writeFileSync(this.file, stringify(file));
  }

  makeHome(): void {
    mkdirSync(this.home, { recursive: true, mode: 0o700 });
  }

  /** Whether an `up` has placed its keys. */
  filesThere(): boolean {
    return existsSync(this.folder);
  }

  /** `docker ps` and its like: what carries the stack's label or name on this engine. */
  async footprint(): Promise<string[]> {
    const label = ["--filter", `label=berth.stack=${this.stack}`];
    const named = ["--filter", `name=^berth-${this.stack}`];
    const found: string[] = [];
    for (const filter of [label, named]) {
      const containers = await this.docker("ps", "--all", ...filter, "--format", "container {{.Names}}");
      const networks = await this.docker("network", "ls", ...filter, "--format", "network {{.Name}}");
      const volumes = await this.docker("volume", "ls", ...filter, "--format", "volume {{.Name}}");
      found.push(...[containers, networks, volumes].flatMap((text) => text.split("\n")));
    }
    const tags = await this.docker("images", "--format", "tag {{.Repository}}:{{.Tag}}");
    found.push(...tags.split("\n").filter((tag) => tag.includes(`:${this.stack}-`)));
    return [...new Set(found.filter(Boolean))].sort();
  }

  /** Takes down what a killed run left, without its state: only what carries this stack's label or name. */
  async removeLeftovers(): Promise<void> {
    for (const kind of ["container", "network", "volume", "tag"]) {
      const names = (await this.footprint()).filter((line) => line.startsWith(`${kind} `));
      for (const name of names.map((line) => line.slice(kind.length + 1))) {
        if (kind === "container") await this.docker("rm", "--force", "--volumes", name);
        else if (kind === "tag") await this.docker("rmi", name);
        else await this.docker(kind, "rm", name);
      }
    }
    this.removeHome();
  }

  /** The home and the stack file, with the state in it. */
  removeHome(): void {
    rmSync(this.home, { recursive: true, force: true });
    rmSync(this.file, { force: true });
  }
}
