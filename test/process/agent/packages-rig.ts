/** What the tests of kept packages share: a node and containers, each of them a mount namespace of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import { type Kept, PackageCaches, type PackageCachesOptions } from "../../../agent/src/packages";
import type { PackagesOf } from "../../../core/manager";
import { must, run } from "../../lib/run";

/** Where the kernel has no overlays, only copies are tested. */
const OVERLAY = /\boverlay$/m.test(readFileSync("/proc/filesystems", "utf8"));
export type Way = "overlay" | "copy";
export const WAYS: Way[] = OVERLAY ? ["overlay", "copy"] : ["copy"];
export const isRoot = process.getuid?.() === 0;

/** Its mounts go with its last process. */
class Namespace {
  private constructor(private readonly child: ChildProcess) {}

  /** @param script what is done in it first; its end is a line `ready` */
  static async make(enter: readonly string[], script: string): Promise<Namespace> {
    const [program = "", ...args] = [...enter, "bash", "-ec", `${script}\necho ready\nread -r _`];
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
    await Promise.race([
      once(child.stdout, "data"),
      once(child, "close").then(() => Promise.reject(new Error("the namespace was not made"))),
    ]);
    return new Namespace(child);
  }

  get enter(): string[] {
    return ["nsenter", `--mount=/proc/${this.child.pid}/ns/mnt`];
  }

  async end(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const closed = once(this.child, "close");
    this.child.stdin?.end("\n");
    await closed;
  }
}

export let folder: string;
export let node: Namespace;
export const warnings: string[] = [];
const containers: Namespace[] = [];
let way: Way;

const kept = () => join(folder, "packages");

/** A node whose kept packages are in a shared mount, as systemd makes all of them; the one for copies has it not. */
async function startNode(): Promise<void> {
  const share = way === "overlay" ? `mount --make-shared "${kept()}"` : "true";
  node = await Namespace.make(
    ["unshare", "--mount", "--propagation", "private"],
    `mount --bind "${kept()}" "${kept()}"; ${share}`,
  );
}

export function nodeForEachTest(one: Way): void {
  beforeEach(async () => {
    way = one;
    folder = mkdtempSync(join(tmpdir(), "berth-packages-"));
    mkdirSync(kept());
    warnings.length = 0;
    await startNode();
  });
  afterEach(async () => {
    await Promise.all(containers.splice(0).map((container) => container.end()));
    await node.end();
    // Some of it is deeper than a path can say.
    await must("rm", ["-rf", folder]);
  });
}

/** All processes and mounts of the node end; what is on its disk stays. */
export async function reboot(): Promise<void> {
  await Promise.all(containers.splice(0).map((container) => container.end()));
  await node.end();
  await startNode();
}

export async function cachesOf(
  ids: readonly string[] = [],
  more: Partial<PackageCachesOptions> = {},
): Promise<PackageCaches> {
  const warn = (data: object, message: string) => {
    warnings.push(`${message}: ${JSON.stringify(data)}`);
  };
  const caches = new PackageCaches({
    folder: kept(),
    prefix: node.enter,
    limits: { freeBytes: 0, treeBytes: 2 ** 26 },
    log: { info: () => {}, warn },
    ...more,
  });
  await caches.recover(ids);
  return caches;
}

/** A container that runs already: a shell's lines are run in its folder `app`, and give what they print. */
export class Container {
  private constructor(
    readonly id: string,
    readonly app: string,
    private readonly namespace: Namespace,
  ) {}

  static async start(caches: PackageCaches, id: string): Promise<Container> {
    const { source, propagation } = caches.mountFor(id);
    const app = join(folder, `container-${id}`, "app");
    mkdirSync(join(app, "node_modules"), { recursive: true });
    const namespace = await Namespace.make(
      [...node.enter, "unshare", "--mount", "--propagation", "slave"],
      `mount --rbind "${source}" "${app}/node_modules"; mount --make-${propagation} "${app}/node_modules"`,
    );
    containers.push(namespace);
    return new Container(id, app, namespace);
  }

  stop(): Promise<void> {
    return this.namespace.end();
  }

  get enter(): string[] {
    return this.namespace.enter;
  }

  async sh(script: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
    const [program = "", ...args] = this.enter;
    const line = [...args, "bash", "-ec", `cd "${this.app}"\n${script}`];
    return (await must(program, line, { env: { ...outer(), ...env } })).stdout.trim();
  }

  /** Goes on until the container ends. */
  begin(script: string): ChildProcess {
    const [program = "", ...args] = this.enter;
    return spawn(program, [...args, "bash", "-c", `cd "${this.app}"\n${script}`], { stdio: "pipe" });
  }
}

export const PACKAGES: PackagesOf = {
  owner: "acme",
  repository: { host: "github.com", owner: "o", name: "r", url: "https://github.com/o/r.git" },
  branch: "main",
  image: "node:24-slim",
};

/** What a first container installed by `script` is kept. */
export async function keepFirst(
  caches: PackageCaches,
  script: string,
  { id = "00000001", of = PACKAGES, fingerprint = "lock-1" } = {},
): Promise<Container> {
  const container = await Container.start(caches, id);
  await caches.attach(id, of);
  await container.sh(script);
  await keepOf(caches, id, of, fingerprint);
  return container;
}

export async function keepOf(
  caches: PackageCaches,
  id: string,
  of = PACKAGES,
  fingerprint = "lock-1",
): Promise<Kept> {
  const result = await caches.keep(id, of, { fingerprint });
  if (!result.ok) throw new Error(result.refusal.message);
  return result.value;
}

/** Each file, folder and link below: type, mode, owner, name, links' ends and files' sums. */
export async function listing(path: string, enter: readonly string[] = node.enter): Promise<string[]> {
  const script = `cd "$1" && find . -printf '%y %m %U:%G %n %p %l\\n' | sort; find . -type f -exec sha256sum {} + | sort`;
  const [program = "", ...args] = [...enter, "bash", "-c", script, "listing", path];
  return (await must(program, args)).stdout.trim().split("\n");
}

/** The folders of generations that are kept: `CACHE/NUMBER`. */
export async function generations(): Promise<string[]> {
  const { stdout } = await run("find", [
    join(kept(), "caches"),
    "-mindepth",
    "2",
    "-maxdepth",
    "2",
    "-printf",
    "%P\n",
  ]);
  return stdout.trim().split("\n").filter(Boolean).sort();
}

export const treeOf = (generation: string) => join(kept(), "caches", generation, "tree");

/** Where something is mounted in the node's folder of packages. */
export async function mounts(): Promise<string[]> {
  const [program = "", ...args] = [...node.enter, "cat", "/proc/self/mountinfo"];
  const lines = (await must(program, args)).stdout.split("\n");
  return lines.map((line) => line.split(" ")[4] ?? "").filter((at) => at.startsWith(`${kept()}/`));
}

/** What `npm test` sets for its own scripts would be read by the container's npm. */
const outer = () => Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)));
