/** `berth gpu request --wait`: what it says while it waits, and that Ctrl-C leaves nothing granted and nothing in the queue. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { until } from "../../../lib/until";
import { FakeBerthd, type RunningCli, refusal, startBerth } from "./helpers";

const unit = { uuid: "MIG-1", gpu: "GPU-0", name: "0:0", model: "H100", memoryMiB: 9728, shared: false };
const grant = { id: "g1", token: 7, user: "alice", group: "student", units: [unit], state: "reserved" };
const ask = { kind: "mig", count: 1, profile: "1g.10gb" };
const other = {
  id: "q0",
  mine: false,
  group: "student",
  ask,
  position: 1,
  since: 0,
  deadline: 9e15,
  idempotency_key: null,
};
const busy = (message: string) => ({ code: "busy", message });

interface Queued {
  id: string;
  mine: boolean;
  reason: { code: string; message: string };
  [field: string]: unknown;
}

let berthd: FakeBerthd;
let queue: Queued[] = [];
/** Answers the request that waits. */
let answer: ((status: number, body: unknown) => void) | undefined;
/** Callers that hung up while they waited. */
let gone = 0;

beforeEach(async () => {
  queue = [{ ...other, reason: busy("first in line") }];
  answer = undefined;
  gone = 0;
  berthd = new FakeBerthd({
    "GET /api/queue": () => ({ body: { queue } }),
    "POST /api/grants": (seen, _request, response) =>
      new Promise((done) => {
        const { purpose, idempotency_key } = seen.body as { purpose: string; idempotency_key: string };
        queue.push({
          ...other,
          id: "q1",
          mine: true,
          user: "alice",
          purpose,
          idempotency_key,
          position: 2,
          since: 5,
          reason: busy("all 7 are held\u001b[2J"),
        });
        response.once("close", () => {
          if (!response.writableEnded) gone++;
          done(undefined);
        });
        answer = (status, body) => {
          queue = queue.filter(({ id }) => id !== "q1");
          done({ status, body });
        };
      }),
    "DELETE /api/queue/q1": () => {
      answer?.(409, { error: { code: "conflict", message: "withdrawn" } });
      return { body: { id: "q1" } };
    },
    "DELETE /api/grants/g1": () => ({ body: { ...grant, state: "released" } }),
  });
  await berthd.start();
});
afterEach(() => berthd.end());

function waiting(words = "--wait 5m --profile 1g.10gb", live = false): RunningCli {
  return startBerth(["gpu", "request", ...words.split(" ")], { env: { BERTH_SOCKET: berthd.socket }, live });
}

describe("while it waits", () => {
  it("says its place and the reason on standard error, once, and then what was granted", async () => {
    const run = waiting();
    await until("its place is told", 30_000, () => run.err.includes("number 2 of 2"));
    const looks = berthd.asked("GET", "/api/queue").length;
    await until("it looked again", 30_000, () => berthd.asked("GET", "/api/queue").length > looks);
    expect(run.err).toBe("Waiting: number 2 of 2. all 7 are held\\e[2J\n");
    expect(run.out).toBe("");
    answer?.(201, grant);
    const { code, out } = await run.done;
    expect(code).toBe(0);
    expect(out).toContain("Granted: g1");
    expect(berthd.asked("POST", "/api/grants")[0]?.body).toMatchObject({ ask, wait_seconds: 300 });
  });

  it("says a new reason on a new line", async () => {
    const run = waiting();
    await until("its place is told", 30_000, () => run.err.includes("number 2 of 2"));
    queue = queue
      .filter(({ id }) => id === "q1")
      .map((own) => ({ ...own, position: 1, reason: busy("nearly") }));
    await until("the new place is told", 30_000, () => run.err.includes("number 1 of 1. nearly"));
    answer?.(201, grant);
    expect((await run.done).err).toBe(
      "Waiting: number 2 of 2. all 7 are held\\e[2J\nWaiting: number 1 of 1. nearly\n",
    );
  });

  it("redraws one line on a terminal, with the time that is left", async () => {
    const run = waiting(undefined, true);
    await until("its place is told", 30_000, () => run.err.includes("number 2 of 2"));
    expect(run.err.slice(0, 5)).toBe("\r\u001b[2K");
    expect(run.err).toMatch(/Waiting: number 2 of 2\. .* \((5 min|4 min \d+ s) left\)/);
    expect(run.err).not.toContain("\n");
    answer?.(201, grant);
    expect((await run.done).err.endsWith("\n")).toBe(true);
  });

  it("takes no other request of the same person and purpose for its own, whichever came later", async () => {
    const twin = {
      ...other,
      mine: true,
      user: "alice",
      purpose: "berth gpu request",
      reason: busy("a twin"),
    };
    queue.push({ ...twin, id: "q8" });
    const run = waiting();
    await until("it waits", 30_000, () => answer !== undefined);
    queue.push({ ...twin, id: "q9", idempotency_key: "of another terminal", position: 3, since: 9 });
    await until("its place is told", 30_000, () => run.err.includes("number 2 of 4. all 7 are held"));
    const looks = berthd.asked("GET", "/api/queue").length;
    await until("it looked again", 30_000, () => berthd.asked("GET", "/api/queue").length > looks + 1);
    expect(run.err).not.toContain("a twin");
    run.interrupt();
    await run.done;
    expect(berthd.asked("DELETE", "/api/queue/q1")).toHaveLength(1);
    expect(queue.map(({ id }) => id)).toEqual(["q0", "q8", "q9"]);
  });

  it("keeps standard output for the answer alone, with --json too", async () => {
    const run = waiting("--wait --json");
    await until("it waits", 30_000, () => answer !== undefined);
    answer?.(201, grant);
    const { code, out } = await run.done;
    expect({ code, out: JSON.parse(out) }).toEqual({ code: 0, out: grant });
    expect(berthd.asked("POST", "/api/grants")[0]?.body).toMatchObject({ wait_seconds: 3600 });
  });

  it("ends with 1 at its deadline", async () => {
    const run = waiting();
    await until("it waits", 30_000, () => answer !== undefined);
    answer?.(409, { error: busy("Nothing became free for alice within 300 s.") });
    expect(await run.done).toMatchObject({ code: 1, out: "" });
    expect(run.err).toContain("Nothing became free for alice");
  });
});

describe("Ctrl-C", () => {
  it("withdraws the request, and ends with 130", async () => {
    const run = waiting();
    await until("its place is told", 30_000, () => run.err.includes("number 2 of 2"));
    run.interrupt();
    const { code, out, err } = await run.done;
    expect({ code, out }).toEqual({ code: 130, out: "" });
    expect(err).toContain("Ended by Ctrl-C: the request is withdrawn.");
    expect(berthd.asked("DELETE", "/api/queue/q1")).toHaveLength(1);
    expect(queue.map(({ id }) => id)).toEqual(["q0"]);
  });

  it("gives back what was granted in that moment", async () => {
    berthd.routes["DELETE /api/queue/q1"] = () => {
      answer?.(201, grant);
      return refusal(404, { code: "not-found", message: "Nothing waits under q1." });
    };
    const run = waiting();
    await until("its place is told", 30_000, () => run.err.includes("number 2 of 2"));
    run.interrupt();
    const { code, err } = await run.done;
    expect(code).toBe(130);
    expect(err).toContain("what was granted in that moment is free again");
    expect(berthd.asked("DELETE", "/api/grants/g1")).toHaveLength(1);
  });

  it("says so when that cannot be given back", async () => {
    berthd.routes["DELETE /api/queue/q1"] = () => {
      answer?.(201, grant);
      return refusal(404, { code: "not-found", message: "Nothing waits under q1." });
    };
    berthd.routes["DELETE /api/grants/g1"] = () =>
      refusal(503, { code: "closed", message: "the disk is full" });
    const run = waiting();
    await until("its place is told", 30_000, () => run.err.includes("number 2 of 2"));
    run.interrupt();
    const { code, err } = await run.done;
    expect(code).toBe(130);
    expect(err).toContain("g1 was granted in that moment, and is not given back: the disk is full");
  });

  it("looks for its place in the queue before the first look has told it", async () => {
    const run = waiting();
    await until("it waits", 30_000, () => answer !== undefined);
    run.interrupt();
    expect((await run.done).code).toBe(130);
    expect(berthd.asked("DELETE", "/api/queue/q1")).toHaveLength(1);
  });

  it("hangs up on a berthd that cannot withdraw it", async () => {
    berthd.routes["DELETE /api/queue/q1"] = () => refusal(503, { code: "closed", message: "stopping" });
    const run = waiting();
    await until("its place is told", 30_000, () => run.err.includes("number 2 of 2"));
    run.interrupt();
    expect((await run.done).code).toBe(130);
    await until("berthd sees that the caller is gone", 30_000, () => gone === 1);
  });

  it("hangs up at once when it comes twice", async () => {
    berthd.routes["DELETE /api/queue/q1"] = () => undefined;
    const run = waiting();
    await until("its place is told", 30_000, () => run.err.includes("number 2 of 2"));
    run.interrupt();
    run.interrupt();
    const { code, err } = await run.done;
    expect(code).toBe(130);
    expect(err).toContain("not withdrawn for certain");
  });
});

describe("a berthd that tells no keys, as older ones do", () => {
  beforeEach(() => {
    berthd.routes["GET /api/queue"] = () => ({
      body: { queue: queue.map(({ idempotency_key: _, ...entry }) => entry) },
    });
  });

  it("is said to be older, in place of somebody's number, and is waited for", async () => {
    const run = waiting();
    await until("it says so", 30_000, () => run.err.includes("berthd is older than this command"));
    const looks = berthd.asked("GET", "/api/queue").length;
    await until("it looked again", 30_000, () => berthd.asked("GET", "/api/queue").length > looks);
    expect(run.err).toMatch(/^Waiting\. berthd is older .*: see berth gpu queue\.\n$/);
    answer?.(201, grant);
    expect((await run.done).code).toBe(0);
  });

  it("is hung up on by Ctrl-C, which withdraws nobody else's request", async () => {
    const run = waiting();
    await until("it waits", 30_000, () => answer !== undefined);
    run.interrupt();
    expect((await run.done).code).toBe(130);
    await until("berthd sees that the caller is gone", 30_000, () => gone === 1);
    expect(berthd.seen.filter(({ method }) => method === "DELETE")).toEqual([]);
  });
});

describe("berthd that goes while it waits", () => {
  it("is asked again with the same key when it is back", async () => {
    const run = waiting();
    await until("its place is told", 30_000, () => run.err.includes("number 2 of 2"));
    await berthd.stop();
    await until("it says that berthd went", 30_000, () => run.err.includes("Asking again."));
    queue = [];
    answer = undefined;
    await berthd.start();
    await until("it asks again", 30_000, () => answer !== undefined);
    (answer as unknown as (status: number, body: unknown) => void)(201, grant);
    expect((await run.done).code).toBe(0);
    const keys = berthd
      .asked("POST", "/api/grants")
      .map(({ body }) => (body as { idempotency_key: string }).idempotency_key);
    expect(keys).toHaveLength(2);
    expect(new Set(keys).size).toBe(1);
  });

  it("is waited for while it grants nothing", async () => {
    const waits = berthd.routes["POST /api/grants"];
    berthd.routes["POST /api/grants"] = () => refusal(503, { code: "closed", message: "nvidia-smi hangs" });
    const run = waiting();
    await until("it says why", 30_000, () => run.err.includes("nvidia-smi hangs Asking again."));
    if (waits) berthd.routes["POST /api/grants"] = waits;
    await until("it asks again", 30_000, () => answer !== undefined);
    answer?.(201, grant);
    expect((await run.done).code).toBe(0);
  });

  it("is not waited for when a rule refuses", async () => {
    berthd.routes["POST /api/grants"] = () =>
      refusal(422, { code: "over-limit", message: "2 of 2", rule: "defaults.max_mig_instances" });
    expect((await waiting().done).code).toBe(1);
    expect(berthd.asked("POST", "/api/grants")).toHaveLength(1);
  });
});
