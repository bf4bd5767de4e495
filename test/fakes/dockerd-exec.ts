/**
 * The commands of the fake dockerd: real processes, each in a session of its own as runc begins it, over the connection that
 * dockerd gives away. Bytes as Docker 26 sends them; a terminal is a pipe without frames.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { Socket } from "node:net";
import { constants } from "node:os";
import type { Readable, Writable } from "node:stream";
import { procSessions } from "../../agent/src/docker/sessions";
import { Proc } from "../../agent/src/proc";
import type { Mood } from "./dockerd";

export interface ExecBody {
  AttachStdin?: boolean;
  Tty?: boolean;
  Cmd: string[];
  Env?: string[];
  User?: string;
  WorkingDir?: string;
  DetachKeys?: string;
  ConsoleSize?: [number, number];
}

export interface FakeExec {
  id: string;
  container: string;
  body: ExecBody;
  /** As dockerd has it: false before the command has begun, too. */
  running: boolean;
  exitCode: number | null;
  pid: number;
  /** `24x80`: rows and columns, as they were asked for. */
  sizes: string[];
  /** Bytes of its outputs. */
  sent: number;
  /** Whether the connection is still there. */
  connected: boolean;
}

/** What the daemon does with an output's rest, once the command has ended and another process still holds it. */
const REST_MS = 2000;

/** dockerd's frame: the output, three zeros, the length in four bytes, and the bytes. */
export function frame(output: 1 | 2 | 3, bytes: Buffer | string): Buffer {
  const header = Buffer.alloc(8);
  header[0] = output;
  const body = Buffer.from(bytes);
  header.writeUInt32BE(body.length, 4);
  return Buffer.concat([header, body]);
}

export class FakeExecs {
  readonly all: FakeExec[] = [];
  /** What a text of a container's commands is here, where containers have folders of this machine. @default as it is */
  inside = (_container: string, text: string): string => text;
  private readonly sessions = procSessions(new Proc(), () => true);

  create(container: string, body: ExecBody): string {
    const id = (this.all.length + 1).toString(16).padStart(64, "e");
    const state = { running: false, exitCode: null, pid: 0, sizes: [], sent: 0, connected: false };
    this.all.push({ id, container, body, ...state });
    return id;
  }

  find(id: string): FakeExec | undefined {
    return this.all.find((exec) => exec.id === id);
  }

  inspect({ id, container, body, running, exitCode, pid }: FakeExec): object {
    const [entrypoint, ...rest] = body.Cmd;
    return {
      ID: id,
      Running: running,
      ExitCode: exitCode,
      ProcessConfig: { tty: body.Tty, entrypoint, arguments: rest, privileged: false },
      OpenStdin: body.AttachStdin,
      OpenStderr: true,
      OpenStdout: true,
      CanRemove: false,
      ContainerID: container,
      DetachKeys: "",
      Pid: pid,
    };
  }

  /** What asks for a command's connection. */
  hijack(id: string, socket: Socket, mood: Mood | undefined, api: string): unknown {
    if (mood?.kind === "hang") return undefined;
    if (mood?.kind === "drop") return socket.destroy();
    if (mood?.kind === "status") return refuse(socket, mood.status, mood.message);
    const exec = this.find(id);
    if (exec === undefined) return refuse(socket, 404, `No such exec instance: ${id}`);
    const begin = () => this.start(exec, mood?.kind === "deaf" ? new Socket() : socket, api);
    return mood?.kind === "slow" ? setTimeout(begin, mood.ms) : begin();
  }

  /** Begins the command on a connection, whose first words it says. */
  private start(exec: FakeExec, socket: Socket, api: string): void {
    const { Tty = false, Env = [], WorkingDir, AttachStdin = false } = exec.body;
    const here = (text: string) => this.inside(exec.container, text);
    const Cmd = exec.body.Cmd.map(here);
    socket.write(upgraded(Tty, api));
    exec.connected = true;
    socket
      .on("error", () => {})
      .on("close", () => {
        exec.connected = false;
      });
    const child = spawn(Cmd[0] ?? "", Cmd.slice(1), {
      // No home: a shell would read what whoever runs the tests has there.
      env: Object.fromEntries(
        [`PATH=${process.env.PATH}`, "HOME=/nonexistent", ...Env].map((one) => cut(one)),
      ),
      cwd: here(WorkingDir ?? "/"),
      detached: true,
      stdio: [AttachStdin ? "pipe" : "ignore", "pipe", "pipe"],
    });
    exec.running = true;
    child.on("error", () => fail(exec, socket));
    if (child.pid === undefined) return;
    exec.pid = child.pid;
    child.stdin?.on("error", () => {});
    if (child.stdin !== null) wireInput(socket, child.stdin, Tty);
    const { stdout, stderr } = child as ChildProcess & { stdout: Readable; stderr: Readable };
    const outputs = Promise.all([
      send(exec, stdout, socket, Tty ? 0 : 1),
      send(exec, stderr, socket, Tty ? 0 : 2),
    ]);
    child.on("exit", (code, signal) => {
      exec.running = false;
      exec.exitCode = code ?? 128 + constants.signals[signal ?? "SIGKILL"];
      const rest = new Promise((resolve) => setTimeout(resolve, REST_MS).unref());
      void Promise.race([outputs, rest]).then(() => socket.destroySoon());
    });
    // One that closes its outputs and runs on ends the connection, and nothing else.
    void outputs.then(() => socket.destroySoon());
  }

  /** Ends all that was begun, with whatever it runs in groups of its own. */
  close(): void {
    for (const { pid } of this.all) if (pid > 0) this.sessions.signal("", pid, "SIGKILL");
  }
}

function refuse(socket: Socket, status: number, message: string): void {
  const body = JSON.stringify({ message });
  socket.end(`HTTP/1.1 ${status} No\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n${body}`);
}

function upgraded(tty: boolean, api: string): string {
  const framed = !tty && Number(api.split(".")[1]) >= 42;
  return [
    "HTTP/1.1 101 UPGRADED",
    `Content-Type: application/vnd.docker.${framed ? "multiplexed" : "raw"}-stream`,
    "Connection: Upgrade",
    "Upgrade: tcp",
    `Api-Version: ${api}`,
    "Docker-Experimental: false",
    "Ostype: linux",
    "Server: Docker/26.1.5 (linux)",
    "\r\n",
  ].join("\r\n");
}

function cut(entry: string): [string, string] {
  const at = entry.indexOf("=");
  return [entry.slice(0, at), entry.slice(at + 1)];
}

function fail(exec: FakeExec, socket: Socket): void {
  Object.assign(exec, { running: false, exitCode: 127 });
  const why = `OCI runtime exec failed: exec failed: unable to start container process: exec: "${exec.body.Cmd[0]}": executable file not found in $PATH: unknown\r\n`;
  socket.write(exec.body.Tty ? why : frame(1, why));
  socket.destroySoon();
}

/** As fast as the command reads. What it leaves stays in the connection, which breaks when it is closed. */
function wireInput(socket: Socket, stdin: Writable, tty: boolean): void {
  socket.on("data", (bytes: Buffer) => {
    if (!stdin.write(bytes)) socket.pause();
  });
  socket.resume();
  stdin.on("drain", () => socket.resume()).on("close", () => socket.pause());
  // Of a terminal dockerd closes the outputs instead.
  socket.on("end", () => (tty ? socket.end() : stdin.end()));
}

/** Waits for a slow client as dockerd does; goes on reading when it is gone. */
async function send(exec: FakeExec, from: Readable, socket: Socket, output: 0 | 1 | 2): Promise<void> {
  for await (const bytes of from) {
    const taken = socket.write(output === 0 ? bytes : frame(output, bytes as Buffer));
    exec.sent += (bytes as Buffer).length;
    if (!taken && !socket.destroyed) await room(socket);
  }
}

function room(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      socket.off("drain", go).off("close", go);
      resolve();
    };
    socket.on("drain", go).on("close", go);
  });
}
