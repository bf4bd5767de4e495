/** @file QEMU's own protocol, over the socket of one machine: a JSON object a line. */
import { createConnection, type Socket } from "node:net";
import { MINUTE } from "../../lib/time";
import { until } from "../../lib/until";

interface Answer {
  return?: unknown;
  error?: { class: string; desc: string };
  event?: string;
}

const ENDED = { class: "GenericError", desc: "QEMU has ended" };

export class Qmp {
  private text = "";
  private readonly waiting: ((answer: Answer) => void)[] = [];

  private constructor(private readonly socket: Socket) {
    socket.setEncoding("utf8").on("data", (part: string) => {
      this.text += part;
      const lines = this.text.split("\n");
      this.text = lines.pop() ?? "";
      for (const line of lines) this.hear(JSON.parse(line));
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      for (const answered of this.waiting.splice(0)) answered({ error: ENDED });
    });
  }

  /** Connects when QEMU listens. @throws when it does not within a minute */
  static async connect(path: string): Promise<Qmp> {
    const socket = await until(`QEMU on ${path}`, MINUTE, () => open(path));
    const qmp = new Qmp(socket);
    await qmp.call("qmp_capabilities");
    return qmp;
  }

  private hear(answer: Answer): void {
    // Its greeting, and what it tells unasked.
    if (answer.return === undefined && answer.error === undefined) return;
    this.waiting.shift()?.(answer);
  }

  /** @throws what QEMU says is wrong */
  async call(execute: string, args: object = {}): Promise<unknown> {
    if (this.socket.destroyed) throw new Error(`QEMU, ${execute}: ${ENDED.desc}`);
    const answer = await new Promise<Answer>((resolve) => {
      this.waiting.push(resolve);
      this.socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    });
    if (answer.error) throw new Error(`QEMU, ${execute}: ${answer.error.desc}`);
    return answer.return;
  }

  /** A command of the monitor for people, which says nothing when all went well. */
  async monitor(line: string): Promise<void> {
    const said = await this.call("human-monitor-command", { "command-line": line });
    if (said !== "") throw new Error(`QEMU, ${line}: ${said}`);
  }

  close(): void {
    this.socket.destroy();
  }
}

const open = (path: string) =>
  new Promise<Socket>((resolve, reject) => {
    const socket = createConnection(path);
    socket.once("connect", () => resolve(socket)).once("error", reject);
  });
