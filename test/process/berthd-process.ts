/** berthd as a process of its own, from a bundle, with its files under a folder and a dockerd that has no containers. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { build } from "esbuild";
import { agentPaths } from "../../agent/src/paths";
import { until } from "../lib/until";
import { type Answer, type CallOptions, call } from "../unit/agent/http/rig";

const root = resolve(__dirname, "../..");

/** Bundles berthd and the stand-ins into a folder; done once by each test file. */
export async function bundle(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "berth-bundle-"));
  await build({
    absWorkingDir: root,
    entryPoints: { berthd: "agent/src/main.ts", "stand-ins": "agent/src/stand-ins.ts" },
    outdir: folder,
    outExtension: { ".js": ".cjs" },
    bundle: true,
    platform: "node",
    target: "node24",
    format: "cjs",
    // Its native part is found beside it.
    external: ["koffi", "*.node", "cpu-features"],
    logLevel: "silent",
  });
  return folder;
}

export interface Node {
  folder: string;
  paths: ReturnType<typeof agentPaths>;
  /** What dockerd lists: ids with labels. */
  containers: { Id: string; labels: Record<string, string> }[];
  writeNode(more?: object): void;
  writeLimits(document: unknown): void;
  spawn(args?: string[], env?: NodeJS.ProcessEnv): Berthd;
  /** Starts berthd, and returns when it grants. */
  start(env?: NodeJS.ProcessEnv): Promise<Berthd>;
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  close(): Promise<void>;
}

export interface Berthd {
  child: ChildProcess;
  output(): string;
  /** The exit code, or the signal's name. */
  ended: Promise<number | string>;
}

/** A node with so many declared GPUs of seven instances each. */
export async function makeNode(programs: string, gpus = 2): Promise<Node> {
  const folder = mkdtempSync(join(tmpdir(), "bd-"));
  const paths = agentPaths(folder);
  mkdirSync(paths.configFolder, { recursive: true });
  // As a node's stage makes it, and git's account passes through all that is above it.
  mkdirSync(dirname(paths.repositories), { recursive: true });
  chmodSync(folder, 0o711);
  const env = {
    ...process.env,
    NODE_PATH: join(root, "node_modules"),
    BERTH_AGENT_ROOT: folder,
    BERTH_DOCKER_SOCKET: join(folder, "docker.sock"),
  };
  const containers: Node["containers"] = [];
  const docker = await dockerd(env.BERTH_DOCKER_SOCKET, containers);
  const children: ChildProcess[] = [];
  const node: Node = {
    folder,
    paths,
    containers,
    writeNode: (more = {}) =>
      writeFileSync(
        paths.nodeFile,
        JSON.stringify({
          stack: "test",
          node: "n1",
          users: [
            { name: "alice", group: "staff" },
            { name: "bob", group: "staff" },
          ],
          listen: "off",
          ...more,
        }),
      ),
    writeLimits: (document) =>
      writeFileSync(paths.limitsFile, typeof document === "string" ? document : JSON.stringify(document)),
    spawn: (args = [], more = {}) => {
      const child = spawn(process.execPath, [join(programs, "berthd.cjs"), ...args], {
        env: { ...env, ...more },
        stdio: ["ignore", "pipe", "pipe"],
      });
      children.push(child);
      let text = "";
      for (const stream of [child.stdout, child.stderr]) {
        stream.on("data", (part: Buffer) => {
          text += part.toString();
        });
      }
      const ended = new Promise<number | string>((done) => {
        child.once("close", (code, signal) => done(signal ?? code ?? -1));
      });
      return { child, output: () => text, ended };
    },
    start: async (more) => {
      const berthd = node.spawn([], more);
      let over: number | string | undefined;
      void berthd.ended.then((how) => {
        over = how;
      });
      await until("berthd is ready", 60_000, async () => {
        return over !== undefined || (await node.call("GET", "/ready")).status === 200;
      });
      if (over !== undefined) throw new Error(`berthd ended with ${over}: ${berthd.output()}`);
      return berthd;
    },
    call: (method, path, options = {}) =>
      call(method, path, {
        ...(options.socket === undefined && options.port === undefined && { socket: paths.socket }),
        ...options,
      }),
    close: async () => {
      for (const child of children)
        if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      docker.closeAllConnections();
      await new Promise((done) => docker.close(done));
      rmSync(folder, { recursive: true, force: true });
    },
  };
  node.writeNode();
  node.writeLimits({
    groups: {
      staff: { max_mig_instances: null, max_containers_per_user: null, max_gpus_per_container: null },
    },
  });
  writeFileSync(
    paths.gpusFile,
    JSON.stringify({
      node: "n1",
      gpus: [{ model: "NVIDIA H100 80GB HBM3", memoryMiB: 81_559, count: gpus, mig: { "1g.10gb": 7 } }],
    }),
  );
  const made = spawnSync(process.execPath, [join(programs, "stand-ins.cjs")], { env, encoding: "utf8" });
  if (made.status !== 0) throw new Error(made.stderr);
  return node;
}

/** As much of dockerd as berthd asks at rest, and what it takes to remove a container. */
function dockerd(socket: string, containers: Node["containers"]): Promise<Server> {
  const server = createServer((request, response) => {
    const path = (request.url ?? "").replace(/^\/v[\d.]+/, "").replace(/\?.*/, "");
    const id = /^\/containers\/([^/]+)\/json$/.exec(path)?.[1];
    response.setHeader("content-type", "application/json");
    response.setHeader("api-version", "1.45");
    if (path === "/events") {
      response.flushHeaders();
      return;
    }
    const found = containers.find(({ Id }) => Id === id);
    const changed = /^\/containers\/([^/]+)(?:\/stop)?$/.exec(path)?.[1];
    const at = containers.findIndex(({ Id }) => Id === changed);
    if (at >= 0 && request.method !== "GET") {
      if (request.method === "DELETE") containers.splice(at, 1);
      response.writeHead(204).end();
      return;
    }
    const answers: Record<string, unknown> = {
      "/_ping": "OK",
      "/version": { Version: "26.1.5", ApiVersion: "1.45", MinAPIVersion: "1.24" },
      "/info": {
        ID: "test",
        ServerVersion: "26.1.5",
        CgroupDriver: "cgroupfs",
        CgroupVersion: "2",
        CDISpecDirs: ["/etc/cdi"],
      },
      "/containers/json": containers.map(({ Id, labels }) => ({
        Id,
        Names: [`/${Id}`],
        Labels: labels,
        State: "running",
        Status: "Up",
      })),
    };
    const body = found
      ? {
          Id: found.Id,
          Name: `/${found.Id}`,
          State: { Status: "running", Running: true, Restarting: false, Dead: false, Pid: 0 },
          Config: { Labels: found.labels, Env: [] },
          HostConfig: { DeviceRequests: [], Devices: [] },
        }
      : answers[path];
    response.statusCode = body === undefined ? 404 : 200;
    response.end(JSON.stringify(body ?? { message: "no such thing" }));
  });
  return new Promise((resolve_) => server.listen(socket, () => resolve_(server)));
}
