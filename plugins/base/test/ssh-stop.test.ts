/**
 * How sessions of a connection are ended, beside a server that needs several tries. Proves: a session that is to end
 * while another one is being ended gets all of its tries, however many the other one took, and also where the other
 * one could not be ended.
 * Does not prove: what the script finds on a real server; sshd.test.ts does.
 */
import { EventEmitter } from "node:events";
import type { Client, ClientChannel } from "ssh2";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Sessions } from "../src/ssh-stop";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "setImmediate"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Answers each script with a status, once it is told to. */
class Server extends EventEmitter {
  readonly scripts: string[] = [];
  private readonly answers: (() => void)[] = [];

  /** @param status 3: ask again, as a server says that has not freed a session yet. */
  constructor(
    private readonly status: number,
    private readonly atOnce = true,
  ) {
    super();
  }

  exec(command: string, told: (error: Error | undefined, channel: EventEmitter) => void): void {
    this.scripts.push(command.slice(command.indexOf("berth-stop ")));
    const channel = Object.assign(new EventEmitter(), {
      stderr: { resume() {} },
      resume() {},
      end() {},
    });
    told(undefined, channel);
    this.answers.push(() => {
      channel.emit("exit", this.status);
      channel.emit("close");
    });
    if (this.atOnce) this.answer();
  }

  answer(): void {
    this.answers.shift()?.();
  }
}

const session = () =>
  Object.assign(new EventEmitter(), { signal() {}, outgoing: {}, _client: {} }) as unknown as ClientChannel;

it("gives each session its tries, whatever the one before it took", async () => {
  const server = new Server(3);
  const sessions = new Sessions(server as unknown as Client);
  const [first, second] = [session(), session()];
  sessions.started(first);
  sessions.started(second);
  void sessions.end(first);
  await vi.advanceTimersByTimeAsync(18 * 200);
  const before = server.scripts.length;
  expect(before).toBeGreaterThan(15);
  const ended = sessions.end(second);
  await vi.advanceTimersByTimeAsync(10_000);
  await ended;
  expect(server.scripts.length - before).toBeGreaterThanOrEqual(20);
});

it("ends a session that came while another one could not be ended", async () => {
  const server = new Server(1, false);
  const sessions = new Sessions(server as unknown as Client);
  const [first, second] = [session(), session()];
  sessions.started(first);
  sessions.started(second);
  const ended = sessions.end(first);
  await vi.advanceTimersByTimeAsync(0);
  void sessions.end(second);
  server.answer();
  await vi.advanceTimersByTimeAsync(1000);
  server.answer();
  await vi.advanceTimersByTimeAsync(1000);
  await ended;
  expect(server.scripts).toEqual(["berth-stop 2 0", "berth-stop 2 1"]);
});
