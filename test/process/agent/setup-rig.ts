/** What the tests of set-ups share: a fake dockerd whose commands are real processes, a Git host, and a server for messages. */
import { randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import type { ManagedContainer } from "../../../agent/src/manager";
import type { SetupRequest, SetupsOptions } from "../../../agent/src/setup";
import { FakeDockerd } from "../../fakes/dockerd";
import { must } from "../../lib/run";
import { until } from "../../lib/until";
import { Receiver } from "./callback-rig";
import { GitHost } from "./git-host";
import { SetupNode } from "./setup-node";

export const OWNER = "acme-ide";
export const SECRET = "s3cret-of-the-back-end";
export const SOON = 60_000;

export let folder: string;
export let dockerd: FakeDockerd;
export let host: GitHost;
export let receiver: Receiver;
export let nodes: SetupNode[] = [];
/** What the containers printed, by which dockerd's log of them is fed. */
let pump: NodeJS.Timeout;
let pumped = 0;

export function setupsForEachTest(): void {
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "berth-setup-"));
    writeFileSync(join(folder, "output"), "");
    nodes = [];
    dockerd = new FakeDockerd();
    await dockerd.start();
    dockerd.data.unpackTo = (path, bytes) => unpack(path, bytes);
    host = new GitHost();
    await host.start();
    receiver = await new Receiver().listen();
  });
  afterEach(async () => {
    clearInterval(pump);
    for (const node of nodes) await node.close();
    await dockerd.close();
    await endSupervisors();
    await host.close();
    await receiver.close();
    rmSync(folder, { recursive: true, force: true });
  });
}

async function unpack(path: string, bytes: Buffer): Promise<void> {
  const file = join(folder, `archive-${randomBytes(4).toString("hex")}.tar`);
  writeFileSync(file, bytes);
  await must("tar", ["--extract", `--file=${file}`, "--no-same-owner", `--directory=${path}`]);
  rmSync(file);
}

/** Those that tests left running, by the processes' own folder. */
async function endSupervisors(): Promise<void> {
  for (const pid of supervisors()) {
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // It has ended in the meantime.
    }
  }
}

/** The processes that keep a start command running. */
export function supervisors(id = ""): number[] {
  const mark = `\0berth-start\0${folder}/.berth-start-${id}`;
  const pids = readdirProc();
  return pids.filter((pid) => commandLine(pid).includes(mark) && !commandLine(pid).includes("\0berth\0"));
}

const readdirProc = () => readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

/** Of all processes that are there now. */
export const commandLines = () => readdirProc().map(commandLine);

/** dockerd's log of the container has what its processes print from now on. */
export function pumpOutput(container: string): void {
  pumped = 0;
  pump = setInterval(() => {
    const lines = readFileSync(join(folder, "output"), "utf8").split("\n").slice(0, -1);
    for (const line of lines.slice(pumped)) printed(container, line);
    pumped = lines.length;
  }, 20);
}

let nanos = 0;
/** One line of a container's main output. */
export function printed(container: string, line: string): void {
  const stamp = new Date().toISOString().replace("Z", `${String(nanos++ % 1_000_000).padStart(6, "0")}Z`);
  dockerd.data.log(container, 1, stamp, `${line}\n`);
}

/** A container that runs, whose folder for repositories is one of the test's. */
export function aContainer(more: Partial<ManagedContainer> = {}): ManagedContainer & { workdir: string } {
  const id = randomBytes(4).toString("hex");
  const container = dockerd.put({ Config: { Labels: { "berth.owner": OWNER }, Env: ["PATH=/bin"] } });
  const workdir = join(folder, id, "app");
  mkdirSync(workdir, { recursive: true });
  return {
    ...{
      id,
      owner: OWNER,
      name: `c-${id}`,
      container,
      image: "sha256:base",
      hostPort: 20_000,
      ports: {},
      env: {},
    },
    ...{ state: "ready", workdir },
    ...more,
  };
}

export async function aNode(
  containers: ManagedContainer[],
  more: Partial<SetupsOptions> = {},
): Promise<SetupNode> {
  const node = new SetupNode({ folder, socket: dockerd.socket, hosts: [host.host], containers, more });
  nodes.push(node);
  return node.start();
}

export const request = (
  name: string,
  { workdir }: { workdir: string },
  more: Partial<SetupRequest> = {},
): SetupRequest => ({
  ...{ repo: `acme/${name}`, workdir, installCommand: "", startCommand: "" },
  ...{ callbackUrl: `http://127.0.0.1:${receiver.port}/hook`, callbackSecret: SECRET },
  ...more,
});

/** The phases that were told, of all containers or of one. */
export const told = (id?: string): string[] =>
  receiver.got
    .filter(({ message }) => id === undefined || message.containerId === id)
    .map(({ message }) => message.phase);

export const lastOf = (id: string) =>
  receiver.got.findLast(({ message }) => message.containerId === id)?.message;

/** Asks, and waits for the end that is told. */
export async function setUp(
  node: SetupNode,
  container: ManagedContainer,
  body: SetupRequest,
): Promise<{ phase: string; message: string }> {
  const before = receiver.got.length;
  const asked = await node.setups.ask(container.owner, container.id, body);
  if (!asked.ok) throw new Error(asked.refusal.message);
  return ended(container.id, before);
}

export const ended = (id: string, before = 0) =>
  until(`the set-up of ${id} has ended`, SOON, () =>
    receiver.got
      .slice(before)
      .map(({ message }) => message)
      .find(({ containerId, phase }) => containerId === id && (phase === "ready" || phase === "failed")),
  );

export async function linesOf(node: SetupNode, id: string): Promise<string[]> {
  const lines: string[] = [];
  for await (const item of node.logs.read(id)) if ("line" in item) lines.push(`${item.source}: ${item.line}`);
  return lines;
}

export const fileIn = ({ workdir }: { workdir: string }, name: string): string | undefined =>
  existsSync(join(workdir, name)) ? readFileSync(join(workdir, name), "utf8") : undefined;

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A line that listens on a port, and answers nothing. */
export const listenOn = (port: number) =>
  `echo "in $(pwd) with $GREETING"; exec node -e 'require("net").createServer().listen(${port})'`;

/** Waits until the file is there, as a command of its own would. */
export const waitFor = (path: string) => `until [ -e ${path} ]; do sleep 0.05; done`;
