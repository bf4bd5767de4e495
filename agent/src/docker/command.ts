/**
 * A command that runs in a container, over a connection that dockerd gives away for it: first the words of HTTP, then what
 * the command writes, and the other way what it reads. Half-closing it ends the command's input, closing it ends nothing.
 */
import type { Socket } from "node:net";
import { setTimeout as after } from "node:timers/promises";
import { DockerError, found, garbage, short, text } from "./errors";
import type { Sessions } from "./sessions";
import type { Transport } from "./transport";

export type Command = (
  | { argv: readonly string[] }
  | {
      /** A line for the container's `/bin/sh`. */
      shell: string;
    }
) & {
  /** Beside what the container has. Docker shows it to nobody; the arguments it shows in its events. */
  env?: Readonly<Record<string, string>>;
  /** `1000`, `1000:1000` or a name of the image's. Default: the container's. */
  user?: string;
  /** Default: the container's. */
  workdir?: string;
};

export interface TerminalSize {
  cols: number;
  rows: number;
}

export interface Wiring {
  /** One output with a terminal's control characters, and no frames. */
  tty: boolean;
  stdin: boolean;
  size?: TerminalSize;
}

/** What a command is run with. */
export interface Host {
  transport: Transport;
  sessions: Sessions;
}

interface State {
  /** dockerd says that a command has not ended only by having no exit code for it. */
  exitCode: number | null;
  /** Of the node; 0 before it has begun. */
  pid: number;
  container: string;
}

/** Docker's own, Ctrl-P Ctrl-Q, takes a key from every shell; nobody types these. */
const DETACH_KEYS = "ctrl-^,ctrl-@,ctrl-^,ctrl-@,ctrl-^";
const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 1000;
const longer = (pause: number) => Math.min(2 * pause, LONGEST_PAUSE_MS);
/** From the hang-up of a terminal until what ignores it is killed. */
export const HANG_UP_MS = 2000;

export async function begin(
  { transport, sessions }: Host,
  container: string,
  command: Command,
  wiring: Wiring,
): Promise<Running> {
  const what = `run a command in container ${short(container)}`;
  const { read } = transport.deadlines;
  const answer = await transport.call<{ Id?: string } | undefined>(what, {
    method: "POST",
    path: `/containers/${encodeURIComponent(container)}/exec`,
    body: described(command, wiring),
    fine: [201],
    deadlineMs: read,
  });
  const id = text(answer?.Id, what, "Id");
  const running = new Running(transport, sessions, id, what);
  await running.start(wiring.tty);
  return running;
}

function described(command: Command, { tty, stdin, size }: Wiring): object {
  return {
    AttachStdin: stdin,
    AttachStdout: true,
    AttachStderr: true,
    Tty: tty,
    Cmd: "shell" in command ? ["/bin/sh", "-c", command.shell] : command.argv,
    Env: Object.entries(command.env ?? {}).map(([name, value]) => `${name}=${value}`),
    ...(command.user !== undefined && { User: command.user }),
    ...(command.workdir !== undefined && { WorkingDir: command.workdir }),
    ...(tty && { DetachKeys: DETACH_KEYS }),
    ...(size !== undefined && { ConsoleSize: [size.rows, size.cols] }),
  };
}

export class Running {
  private connection: Socket | undefined;

  constructor(
    private readonly transport: Transport,
    private readonly sessions: Sessions,
    private readonly id: string,
    readonly what: string,
  ) {}

  get socket(): Socket {
    if (this.connection === undefined) throw new Error("the command was not started");
    return this.connection;
  }

  /** Without the caller's signal: one that was asked to start must be found again, and ended. */
  async start(tty: boolean): Promise<void> {
    try {
      this.connection = await this.transport.call<Socket>(this.what, {
        method: "POST",
        path: `/exec/${this.id}/start`,
        body: { Detach: false, Tty: tty },
        fine: [],
        hijack: true,
        deadlineMs: this.transport.deadlines.read,
      });
    } catch (error) {
      const mayRun = error instanceof DockerError && error.outcome === "unknown";
      throw mayRun ? await this.killAfter(error) : error;
    }
    // Whoever reads from it has the error; later ones say that it is closed.
    this.connection.on("error", () => {});
  }

  /** Undefined: dockerd knows it no more, as when its container is gone. */
  private state(signal?: AbortSignal): Promise<State | undefined> {
    return found(async () => {
      const answer = await this.transport.read<{
        ExitCode?: number | null;
        Running?: boolean;
        Pid?: number;
        ContainerID?: string;
      }>(this.what, `/exec/${this.id}/json`, {}, signal);
      if (typeof answer.Running !== "boolean") throw garbage(this.what, "no Running");
      return {
        exitCode: answer.Running ? null : (answer.ExitCode ?? null),
        pid: answer.Pid ?? 0,
        container: text(answer.ContainerID, this.what, "ContainerID"),
      };
    });
  }

  /** One that has ended meanwhile is fine. */
  async resize(cols: number, rows: number): Promise<void> {
    await this.transport.call(this.what, {
      method: "POST",
      path: `/exec/${this.id}/resize`,
      query: { h: rows, w: cols },
      fine: [200, 201, 404, 409],
      deadlineMs: this.transport.deadlines.read,
    });
  }

  /** When it has ended: the end of its outputs may be earlier. Undefined: dockerd knows it no more. */
  async exitCode(signal: AbortSignal): Promise<number | undefined> {
    for (let pause = FIRST_PAUSE_MS; ; pause = longer(pause)) {
      const state = await this.state(signal);
      if (state === undefined) return undefined;
      if (state.exitCode !== null) return state.exitCode;
      await after(pause, undefined, { signal });
    }
  }

  /** Ends all of its session, whatever it is about. @returns its exit code, as `exitCode` */
  async kill(): Promise<number | undefined> {
    const { read } = this.transport.deadlines;
    const late = AbortSignal.timeout(read);
    try {
      for (let pause = FIRST_PAUSE_MS; ; pause = longer(pause)) {
        const state = await this.state(late);
        if (state === undefined) return undefined;
        const left = state.pid > 0 ? await this.sessions.signal(state.container, state.pid, "SIGKILL") : 0;
        if (state.exitCode !== null && left === 0) return state.exitCode;
        await after(pause, undefined, { signal: late });
      }
    } catch (error) {
      if (!late.aborted) throw error;
      throw new DockerError(`${this.what}: it still runs ${read / 1000} s after it was killed`, "unknown");
    }
  }

  /** After a failure. @returns that failure; its cause is why the command could not be ended, as where dockerd is gone */
  async killAfter(failure: DockerError): Promise<DockerError> {
    await this.kill().catch((cause: unknown) => {
      failure.cause = cause;
    });
    return failure;
  }

  /**
   * As when a terminal's line is cut: all of its session is told, and killed where the first of them stays. What was begun
   * with nohup goes on, and so does what a command left behind that has ended by itself.
   */
  async hangUp(): Promise<number | undefined> {
    const state = await this.state();
    if (state === undefined) return undefined;
    if (state.exitCode !== null) return state.exitCode;
    const { container, pid } = state;
    if (pid > 0 && this.sessions.leads(container, pid)) await this.sessions.signal(container, pid, "SIGHUP");
    const grace = AbortSignal.timeout(HANG_UP_MS);
    try {
      return await this.exitCode(grace);
    } catch (error) {
      if (!grace.aborted) throw error;
      return this.kill();
    }
  }
}
