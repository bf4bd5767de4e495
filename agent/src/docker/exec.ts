/** A command in a container, from its start to its end. */
import { begin, type Command, type Host } from "./command";
import { raced } from "./dial";
import { DockerError, short } from "./errors";
import { type Output, readFrames } from "./frames";
import { sendInput, untilBroken } from "./input";
import { Kept } from "./kept";
import { type Line, LineCutter } from "./lines";

export interface ExecOptions {
  /** What it reads; then its input ends. It need not read it all. Default: nothing to read. */
  stdin?: string | Buffer;
  /** With a terminal: what it writes is all in `stdout`. @default false */
  tty?: boolean;
  /** Then it and all of its session are killed. @default 60 000 */
  timeoutMs?: number;
  /** Of each output that are kept; it may write more. @default 1 MiB */
  maxBytes?: number;
  /** Each line as it comes, the last one too if it has no end. The command waits where this does. */
  onLine?: (line: ExecLine) => void | Promise<void>;
  /** Kills it; the signal's reason is then thrown. */
  signal?: AbortSignal;
}

export interface ExecLine extends Line {
  stream: Output;
}

export interface ExecResult {
  /**
   * 126 and 127 also where it could not be started; `stdout` then says why. Undefined only with `timedOut`, where its
   * container was gone before it could be asked.
   */
  exitCode: number | undefined;
  stdout: string;
  stderr: string;
  /** More was written than is here. */
  truncated: boolean;
  timedOut: boolean;
}

const TIMEOUT_MS = 60_000;
const MAX_BYTES = 2 ** 20;

export async function exec(
  host: Host,
  container: string,
  command: Command,
  options: ExecOptions,
): Promise<ExecResult> {
  const { stdin, tty = false, timeoutMs = TIMEOUT_MS, signal } = options;
  signal?.throwIfAborted();
  const running = await begin(host, container, command, { tty, stdin: stdin !== undefined });
  const timeout = AbortSignal.timeout(timeoutMs);
  const stop = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
  const outputs = new Outputs(options);
  try {
    const { socket, what } = running;
    if (stdin !== undefined) sendInput(socket, stdin);
    await raced(outputs.read(stdin === undefined ? socket : untilBroken(socket), tty, what), stop);
    const exitCode = await running.exitCode(stop);
    if (exitCode === undefined) throw gone(container);
    return { exitCode, ...outputs.result(), timedOut: false };
  } catch (error) {
    if (error instanceof DockerError) throw await running.killAfter(error);
    const exitCode = await running.kill();
    signal?.throwIfAborted();
    if (!stop.aborted) throw error;
    return { exitCode, ...outputs.result(), timedOut: true };
  } finally {
    running.socket.destroy();
  }
}

const gone = (container: string) =>
  new DockerError(`container ${short(container)} was removed while a command ran in it`, "refused", 404);

class Outputs {
  private readonly kept: Record<Output, Kept>;
  private readonly cutters = { stdout: new LineCutter(), stderr: new LineCutter() };
  private readonly onLine: ExecOptions["onLine"];

  constructor({ maxBytes = MAX_BYTES, onLine }: ExecOptions) {
    this.kept = { stdout: new Kept(maxBytes), stderr: new Kept(maxBytes) };
    this.onLine = onLine;
  }

  async read(stream: AsyncIterable<unknown>, tty: boolean, what: string): Promise<void> {
    if (tty) for await (const bytes of stream) await this.take("stdout", bytes as Buffer);
    // What dockerd itself has to say is about this command.
    else
      for await (const { from, bytes } of readFrames(stream, what))
        await this.take(from === "stdout" ? from : "stderr", bytes);
    for (const stream of ["stdout", "stderr"] as const) await this.tell(stream, this.cutters[stream].rest());
  }

  private async take(stream: Output, bytes: Buffer): Promise<void> {
    this.kept[stream].add(bytes);
    if (this.onLine !== undefined) await this.tell(stream, this.cutters[stream].push(bytes));
  }

  private async tell(stream: Output, lines: Iterable<Line>): Promise<void> {
    for (const line of lines) await this.onLine?.({ stream, ...line });
  }

  result(): { stdout: string; stderr: string; truncated: boolean } {
    const { stdout, stderr } = this.kept;
    return { stdout: String(stdout), stderr: String(stderr), truncated: stdout.cut || stderr.cut };
  }
}
