/**
 * @file The stack of the end-to-end test: its configuration, the commands that people call, and what it leaves.
 *
 * The stack has a BERTH_HOME, a network and names of its own, so it stands beside others on the same engine. With
 * BERTH_E2E_KEEP=1 it is neither taken down before nor after, for work on the test itself: what makes and what
 * removes the stack is left out where it is there.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { parse, stringify } from "yaml";

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const STACK = "e2e";
export const KEEP = process.env.BERTH_E2E_KEEP === "1";
export const NODES = { "node-0": "10.91.0.10", "node-1": "10.91.0.11" } as const;
export const HEAD = NODES["node-0"];
export const WORKER = NODES["node-1"];
/** Configured as a secret, so that its way through the file, the state and the node is seen too. */
export const CREDENTIAL = "e2e-credential-9d41c7";

const root = dirname(dirname(__dirname));
export const home = join(tmpdir(), "berth-e2e");
export const folder = join(home, "stacks", STACK);
const stackFile = join(root, `Pulumi.${STACK}.yaml`);

export const env = environment();

function environment(): NodeJS.ProcessEnv {
  // A backend or a passphrase of the person who runs this would be used instead of the stack's own.
  const foreign = /^PULUMI_(BACKEND_URL|ACCESS_TOKEN|CONFIG_PASSPHRASE|CONFIG_PASSPHRASE_FILE|STACK)$/;
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
  const path = [dirname(process.execPath), process.env.PATH].join(delimiter);
  return { ...own, PATH: path, BERTH_HOME: home, NO_COLOR: "1" };
}

export interface Ran {
  code: number;
  stdout: string;
  /** Both streams. */
  text: string;
}

/** What went wrong, with the end of what was said. */
const tail = (text: string) => text.trimEnd().split("\n").slice(-40).join("\n");

/** Runs a program to its end; rejects when it takes longer than `deadline` ms. */
export function run(
  program: string,
  args: readonly string[],
  { deadline = MINUTE, input = "", with: more = {} as NodeJS.ProcessEnv } = {},
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: root, env: { ...env, ...more } });
    let stdout = "";
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (part: string) => {
      stdout += part;
      text += part;
    });
    child.stderr.setEncoding("utf8").on("data", (part: string) => {
      text += part;
    });
    child.stdin.on("error", () => {}); // It may end without reading.
    child.stdin.end(input);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGTERM"); // Handed on to pulumi, which ends in order.
      setTimeout(() => child.kill("SIGKILL"), 20 * SECOND).unref();
    }, deadline);
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(timer);
      const what = `${program} ${args.join(" ")}`;
      if (late) reject(new Error(`${what}: not done after ${deadline / SECOND} s\n${tail(text)}`));
      else resolve({ code: code ?? -1, stdout, text });
    });
  });
}

/** Runs a program and expects success. */
export async function ok(program: string, args: readonly string[], options = {}): Promise<Ran> {
  const ran = await run(program, args, options);
  if (ran.code !== 0)
    throw new Error(`${program} ${args.join(" ")} ended with ${ran.code}:\n${tail(ran.text)}`);
  return ran;
}

export const docker = async (...args: string[]) =>
  (await ok("docker", args, { deadline: 2 * MINUTE })).stdout.trim();

/** What `npm run preview | up | destroy` calls. */
export const berth = (command: string, args: string[] = [], deadline = 15 * MINUTE) =>
  run(process.execPath, ["scripts/pulumi.mjs", command, "--stack", STACK, ...args], { deadline });

export async function up(args: string[] = []): Promise<Ran> {
  const ran = await berth("up", ["--yes", ...args], 25 * MINUTE);
  if (ran.code !== 0) throw new Error(`up ended with ${ran.code}:\n${tail(ran.text)}`);
  return ran;
}

/** Starts an `up` and gives its process, for a test that kills it. */
export const startUp = (): ChildProcess =>
  spawn(process.execPath, ["scripts/pulumi.mjs", "up", "--stack", STACK, "--yes", "--skip-preview"], {
    cwd: root,
    env,
    stdio: "ignore",
  });

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

/** What a preview would do, less what stays as it is, and the stack's outputs. */
export async function changes(): Promise<Step[]> {
  const ran = await berth("preview", ["--json"], 5 * MINUTE);
  if (ran.code !== 0) throw new Error(`preview ended with ${ran.code}:\n${tail(ran.text)}`);
  const { steps } = JSON.parse(ran.stdout) as { steps: { op: string; urn: string }[] };
  return steps
    .filter(({ op, urn }) => op !== "same" && !urn.includes("::pulumi:pulumi:Stack::"))
    .map(({ op, urn }) => ({ op, name: urn.split("::").at(-1) ?? urn }));
}

/** Fails unless a preview finds nothing to do. */
export async function nothingToDo(): Promise<void> {
  const ran = await berth("preview", ["--expect-no-changes", "--diff"], 5 * MINUTE);
  if (ran.code !== 0)
    throw new Error(`a preview that should be empty ended with ${ran.code}:\n${tail(ran.text)}`);
}

/** The environment that `npm run -s env` gives people for plain pulumi. */
let variables: NodeJS.ProcessEnv | undefined;

export async function pulumi(args: string[], options: { input?: string } = {}): Promise<string> {
  if (!variables) {
    const { toolEnvironment } = await import("../../scripts/lib/pulumi-env.mjs");
    variables = toolEnvironment(env).env;
  }
  return (await ok("pulumi", [...args, "--stack", STACK], { with: variables, ...options })).stdout;
}

export interface Status {
  stack: string;
  nodes: { name: string; state: string }[];
  users: { name: string; node: string; state: string }[];
  ray: { nodes: number | null } | null;
}

/** `npm run -s status -- --json`: exit code 0 when all is up. */
export async function status(): Promise<{ code: number; status: Status }> {
  const args = ["scripts/status.mjs", "--json", "--stack", STACK];
  const ran = await run(process.execPath, args, { deadline: MINUTE });
  if (ran.stdout === "") throw new Error(`status ended with ${ran.code}:\n${tail(ran.text)}`);
  return { code: ran.code, status: JSON.parse(ran.stdout) };
}

/** Asks every second until it is so, at most `deadline` ms; the last answer is in the error. */
export async function until<T>(what: string, deadline: number, probe: () => Promise<T | false>): Promise<T> {
  const end = Date.now() + deadline;
  let last = "";
  for (;;) {
    const answer = await probe().catch((error: Error) => {
      last = error.message;
      return false as const;
    });
    if (answer !== false) return answer;
    if (Date.now() > end) throw new Error(`${what}: not so after ${deadline / SECOND} s. ${last}`);
    await new Promise((wake) => setTimeout(wake, 1000));
  }
}

/** Waits until status says that all is up. */
export const allUp = (deadline: number) =>
  until("all up", deadline, async () => {
    const { code, status: now } = await status();
    if (code !== 0) throw new Error(JSON.stringify(now));
    return now;
  });

// biome-ignore lint/suspicious/noExplicitAny: configuration as YAML has it, also wrong on purpose
export type Configuration = Record<string, any>;

/** The configuration to begin with. */
export function configuration(): Configuration {
  const node = (name: keyof typeof NODES, role: string) => ({
    name,
    kind: "local",
    role,
    address: NODES[name],
    cpus: 2,
    memory: "6GiB",
  });
  return {
    "berth:nodes": [node("node-0", "head"), node("node-1", "worker")],
    "berth:users": [
      {
        name: "alice",
        node: "node-0",
        index: 0,
        setup: {
          git: { name: "Alice Example", email: "alice@example.org" },
          services: [{ name: "server", command: "exec python -m http.server --bind 127.0.0.1 9000" }],
        },
      },
      { name: "bob", node: "node-1", index: 1 },
    ],
    "berth:network": { cidr: "10.91.0.0/24" },
    "berth:registryPort": 5911,
    "pulumi:disable-default-providers": ["docker", "digitalocean"],
  };
}

export function writeConfiguration(config: Configuration): void {
  writeFileSync(stackFile, stringify({ config }));
}

/** Changes the stack file as an editor would: what else stands in it stays. */
export function edit(change: (config: Configuration) => void): void {
  const file = parse(readFileSync(stackFile, "utf8"));
  change(file.config);
  writeFileSync(stackFile, stringify(file));
}

/** `docker ps` and its like: what carries the stack's label or name on this engine. */
export async function footprint(): Promise<string[]> {
  const label = ["--filter", `label=berth.stack=${STACK}`];
  const named = ["--filter", `name=^berth-${STACK}`];
  const found: string[] = [];
  for (const filter of [label, named]) {
    const containers = await docker("ps", "--all", ...filter, "--format", "container {{.Names}}");
    const networks = await docker("network", "ls", ...filter, "--format", "network {{.Name}}");
    const volumes = await docker("volume", "ls", ...filter, "--format", "volume {{.Name}}");
    found.push(...[containers, networks, volumes].flatMap((text) => text.split("\n")));
  }
  const tags = await docker("images", "--format", "tag {{.Repository}}:{{.Tag}}");
  found.push(...tags.split("\n").filter((tag) => tag.includes(":5911/") || tag.includes(`:${STACK}-`)));
  return [...new Set(found.filter(Boolean))].sort();
}

/** Takes down what a killed run left, without its state: only what carries this stack's label or name. */
export async function removeLeftovers(): Promise<void> {
  for (const kind of ["container", "network", "volume", "tag"]) {
    const names = (await footprint()).filter((line) => line.startsWith(`${kind} `));
    for (const name of names.map((line) => line.slice(kind.length + 1))) {
      if (kind === "container") await docker("rm", "--force", "--volumes", name);
      else if (kind === "tag") await docker("rmi", name);
      else await docker(kind, "rm", name);
    }
  }
  rmSync(home, { recursive: true, force: true });
  rmSync(stackFile, { force: true });
}

export function makeHome(): void {
  mkdirSync(home, { recursive: true, mode: 0o700 });
}

export const stackFilesThere = () => existsSync(folder);

/** Whether the stack of an earlier run is gone on with. */
export const RESUMED = KEEP && stackFilesThere();
