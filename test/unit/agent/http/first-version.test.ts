/**
 * The first version of the API, `/v1`, which a `berth` of that time still asks: one left in a workspace that runs on, or
 * called by a script of somebody's.
 * Proves: each of its routes is answered with where it is now, which is a route of this API, and is not carried out; that
 * `berth` says so and ends with exit code 1.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { describe as described, exit, failureOf } from "../../../../agent/src/cli/failure";
import { type Api, makeApi } from "./rig";

/** All routes of the first version, and what its `berth` sent to them. */
const ROUTES: [method: string, path: string, body?: object][] = [
  ["GET", "/v1/whoami"],
  ["GET", "/v1/gpus"],
  ["POST", "/v1/gpus/GPU-0/quarantine", { reason: "by hand" }],
  ["DELETE", "/v1/gpus/GPU-0/quarantine"],
  ["GET", "/v1/grants?user=alice"],
  ["POST", "/v1/grants", { ask: { kind: "mig", count: 1 }, idempotency_key: "k" }],
  ["GET", "/v1/grants/g1"],
  ["DELETE", "/v1/grants/g1"],
  ["POST", "/v1/grants/g1/bind", { token: 1, container: "c1" }],
  ["GET", "/v1/queue"],
  ["DELETE", "/v1/queue/q1"],
  ["GET", "/v1/history?limit=20"],
  ["GET", "/v1/limits"],
  ["GET", "/v1/limits/alice"],
  ["POST", "/v1/limits/check", { user: "alice", ask: { kind: "mig", count: 1 } }],
  ["GET", "/v1/tokens"],
  ["POST", "/v1/tokens", { role: "service", name: "scheduler" }],
  ["DELETE", "/v1/tokens/t1"],
  ["GET", "/v1/pool"],
  ["POST", "/v1/pool/plan", { declared: [] }],
  ["POST", "/v1/pool", { declared: [], expect: {} }],
  ["POST", "/v1/containers", { user: "alice", image: "x" }],
  ["DELETE", "/v1/containers/c1"],
];

let made: Api;
beforeAll(async () => {
  made = await makeApi();
});
afterAll(() => made.close());

it.each(ROUTES)("%s %s says where it is now", async (method, path, body) => {
  const [old = ""] = path.split("?");
  const now = old.replace("/v1/pool", "/api/declared").replace("/v1/", "/api/");
  const known = Object.entries(made.contract.document.paths).some(
    ([pattern, methods]) =>
      new RegExp(`^${pattern.replace(/\{\w+\}/g, "[^/]+")}$`).test(now) && method.toLowerCase() in methods,
  );
  expect(known, `${method} ${now}`).toBe(true);

  const headers = { host: "berthd", accept: "application/json" };
  const answer = await made.call(method, path, { socket: made.main, body, headers });
  expect(answer.status, answer.text).toBe(410);
  // What `berth` of that time makes of an answer is what it makes of one today (agent/src/cli/failure.ts).
  const failure = failureOf(answer.status, answer.body, made.main);
  expect(`berth: ${described(failure.refusal)}`).toBe(`berth: ${old} is ${now} now.\n  allowed  ${now}`);
  expect(failure.exitCode).toBe(exit.refused);
  expect([made.ledger.grants(), made.tokens.list(), made.created]).toEqual([[], [], []]);
});
