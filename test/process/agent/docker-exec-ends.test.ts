/**
 * Commands in a container that do not end by themselves, run by a fake dockerd as real processes. Proves: one that is too slow, whose
 * caller has gone, or of which dockerd said nothing leaves no process of its session; one that cannot be killed is said to run.
 */
import { describe, expect, it } from "vitest";
import { type Command, DockerError, Engine } from "../../../agent/src/docker";
import { failureOf } from "../../lib/failure";
import { until } from "../../lib/until";
import {
  begun,
  container,
  dockerd,
  emptied,
  engine,
  engineOf,
  newDockerdForEachTest,
  proc,
  session,
  the,
  UNREAD,
  WAIT_MS,
} from "./exec-rig";

newDockerdForEachTest();

/** How many groups the session's processes are in, as a shell gives its jobs. */
const groups = () =>
  new Set(session().map((pid) => proc.read(pid, "stat")?.split(") ").at(-1)?.split(" ")[2])).size;

describe("a command that does not end", () => {
  const STILL_RUNS = /^run a command in container \w+: it still runs 1 s after it was killed$/;
  /** An engine on whose node no signal helps; its deadline is a second. */
  const unkillable = (look = () => {}) => {
    const signal = async () => {
      look();
      return 1;
    };
    const sessions = { leads: () => true, signal, marked: async () => [] };
    return new Engine({ socket: dockerd.socket, sessions, deadlines: { read: 1000 } });
  };

  /** Processes of several groups of one session; the first ignores what can be ignored. */
  const stubborn: Command = {
    argv: [
      "bash",
      "-c",
      "trap '' HUP TERM INT; set -m; sleep 1000 & sleep 1001 & echo begun; while :; do sleep 0.1; done",
    ],
  };

  it("is killed with all of its session when its time is over, and what it wrote is there", async () => {
    const result = await engine.exec(container, stubborn, { timeoutMs: 2000 });
    expect(result).toEqual({
      exitCode: 137,
      stdout: "begun\n",
      stderr: "",
      truncated: false,
      timedOut: true,
    });
    expect(session()).toEqual([]);
    expect(the().connected).toBe(false);
  });

  it("is killed when its caller has gone, who gets its own reason", async () => {
    const gone = new AbortController();
    const result = engine.exec(container, stubborn, { signal: gone.signal });
    await begun();
    await until("its processes", WAIT_MS, () => groups() >= 3);
    gone.abort(new Error("the caller has gone"));
    await expect(result).rejects.toThrow("the caller has gone");
    expect(session()).toEqual([]);
  });

  it("is not even begun for a caller who has gone before", async () => {
    const signal = AbortSignal.abort(new Error("gone"));
    await expect(engine.exec(container, { argv: ["true"] }, { signal })).rejects.toThrow("gone");
    await expect(engine.execStream(container, { argv: ["true"] }, { signal })).rejects.toThrow("gone");
    expect(dockerd.execs.all).toEqual([]);
  });

  it("is killed when its lines cannot be taken", async () => {
    const onLine = () => {
      throw new Error("the disk is full");
    };
    await expect(engine.exec(container, stubborn, { onLine })).rejects.toThrow("the disk is full");
    expect(session()).toEqual([]);
  });

  it("is killed when nobody was told that it began", async () => {
    const impatient = engineOf(1000);
    dockerd.mood("POST /exec/ID/start", { kind: "deaf" });
    const error = await failureOf(DockerError, impatient.exec(container, stubborn));
    expect(error.outcome).toBe("unknown");
    await emptied();
  });

  it("is killed when the daemon failed to say whether it has ended", async () => {
    dockerd.mood("GET /exec/ID/json", { kind: "status", status: 500, message: "too many open files" }, 1);
    const command = { shell: "exec >/dev/null 2>&1; sleep 1000" };
    const error = await failureOf(DockerError, engine.exec(container, command));
    expect(error.message).toContain("too many open files");
    expect(the().pid).toBeGreaterThan(0);
    expect(session()).toEqual([]);
  });

  it.each([
    ["nothing", {}],
    ["more than it takes", { stdin: UNREAD }],
  ])("is told apart from a daemon that ends while it runs, and has %s to read", async (_what, options) => {
    const result = failureOf(DockerError, engine.exec(container, stubborn, options));
    await begun();
    await dockerd.stop();
    const error = await result;
    expect(error.outcome).toBe("unreachable");
    expect(error.message).toContain("cannot be reached");
  });

  it("and cannot be killed is looked for ever less often, and then said to run", async () => {
    let looks = 0;
    const engine = unkillable(() => looks++);
    const error = await failureOf(DockerError, engine.exec(container, stubborn, { timeoutMs: 100 }));
    expect([error.message, error.outcome]).toEqual([expect.stringMatching(STILL_RUNS), "unknown"]);
    const asked = dockerd.calls.filter((call) => call === "GET /exec/ID/json").length;
    // Each 5 ms it would be 200.
    expect(Math.max(looks, asked)).toBeLessThan(12);
    expect(looks).toBeGreaterThan(0);
  });

  it("and cannot be killed when a call failed is said to run by that error's cause", async () => {
    const engine = unkillable();
    dockerd.mood("POST /exec/ID/start", { kind: "deaf" }, 1);
    const untold = await failureOf(DockerError, engine.exec(container, stubborn));
    expect(untold).toMatchObject({
      message: expect.stringContaining("gave no answer within 1 s"),
      cause: { message: expect.stringMatching(STILL_RUNS) },
    });
    dockerd.mood("GET /exec/ID/json", { kind: "status", status: 500, message: "too many open files" }, 1);
    const command = { shell: "exec >/dev/null 2>&1; sleep 1000" };
    const unasked = await failureOf(DockerError, engine.exec(container, command));
    expect(unasked).toMatchObject({
      message: expect.stringContaining("too many open files"),
      cause: { message: expect.stringMatching(STILL_RUNS) },
    });
  });

  it("ends with its container, and is told apart from one that ended by itself", async () => {
    const result = failureOf(DockerError, engine.exec(container, { argv: ["sleep", "1000"] }));
    const { pid } = await begun();
    dockerd.take(container);
    process.kill(pid, "SIGKILL");
    const error = await result;
    expect([error.outcome, error.status]).toEqual(["refused", 404]);
    expect(error.message).toContain("was removed while a command ran in it");
  });
});
