/** How `berth` reaches berthd, and what it makes of what it hears. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Client, findSocket, piece, query, Unreachable } from "../../../../agent/src/cli/client";
import { describe as describeRefusal, Failure } from "../../../../agent/src/cli/failure";
import { failureOf } from "../../../lib/failure";
import { FakeBerthd, refusal } from "./helpers";

let berthd: FakeBerthd;
beforeEach(async () => {
  berthd = await new FakeBerthd().start();
});
afterEach(() => berthd.end());

const failing = (work: Promise<unknown>) => failureOf(Failure, work);

describe("the socket", () => {
  let root = "";
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "berth-cli-root-"));
    mkdirSync(join(root, "run/berth"), { recursive: true });
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  it("is BERTH_SOCKET, whatever else is there", () => {
    expect(findSocket({ BERTH_SOCKET: "/x/y.sock", BERTH_AGENT_ROOT: root })).toBe("/x/y.sock");
  });

  it("is that of the workspace before that of the node", () => {
    mkdirSync(join(root, "run/berthd"));
    const [own, inside, node] = ["berthd/berth.sock", "berth/berth.sock", "berth/berthd.sock"].map((name) =>
      join(root, "run", name),
    ) as [string, string, string];
    for (const path of [node, inside, own]) {
      writeFileSync(path, "");
      expect(findSocket({ BERTH_AGENT_ROOT: root })).toBe(path);
    }
  });

  it("is missed with all places and what to do", () => {
    expect(() => findSocket({ BERTH_AGENT_ROOT: root })).toThrow(
      `there is none of ${root}/run/berthd/berth.sock, ${root}/run/berth/berth.sock, ${root}/run/berth/berthd.sock`,
    );
  });
});

it("sends and reads JSON", async () => {
  berthd.routes = { "POST /api/grants": ({ body }) => ({ status: 201, body: { got: body } }) };
  expect(await new Client(berthd.socket).post("/api/grants", { purpose: "a\u001b" })).toEqual({
    got: { purpose: "a\u001b" },
  });
  expect(berthd.seen).toEqual([{ method: "POST", path: "/api/grants", body: { purpose: "a\u001b" } }]);
});

it("takes an answer without a body", async () => {
  berthd.routes = { "DELETE /api/grants/g1": () => ({ status: 204 }) };
  expect(await new Client(berthd.socket).delete("/api/grants/g1")).toBeUndefined();
});

it("writes queries and pieces of paths so that they stay what they are", () => {
  expect(query("/api/history", { user: "a&b=c", limit: 5, before: undefined })).toBe(
    "/api/history?user=a%26b%3Dc&limit=5",
  );
  expect(query("/api/grants", {})).toBe("/api/grants");
  expect(piece("../tokens")).toBe("..%2Ftokens");
});

describe.each([
  [400, { code: "bad-request", message: "no" }, 2],
  [400, { code: "unknown-profile", message: "no", allowed: "1g.10gb" }, 1],
  [401, { code: "not-allowed", message: "no" }, 4],
  [403, { code: "not-allowed", message: "no" }, 4],
  [403, { code: "not-allowed", message: "no", rule: "groups.student.allow_full_gpu" }, 1],
  [404, { code: "not-found", message: "no" }, 1],
  [409, { code: "busy", message: "no" }, 1],
  [409, { code: "conflict", message: "no" }, 1],
  [422, { code: "over-limit", message: "no", rule: "defaults.max_mig_instances" }, 1],
  [429, { code: "busy", message: "no" }, 1],
  [500, { code: "conflict", message: "no" }, 3],
  [503, { code: "closed", message: "no" }, 3],
])("HTTP %d %j", (status, error, exitCode) => {
  it(`ends with ${exitCode}`, async () => {
    berthd.routes = { "*": () => refusal(status, error) };
    const failure = await failing(new Client(berthd.socket).get("/api/gpus"));
    expect(failure.refusal).toEqual(error);
    expect(failure.exitCode).toBe(exitCode);
    expect(failure).not.toBeInstanceOf(Unreachable);
  });
});

describe("something else than berthd", () => {
  it.each([
    ["a page", { status: 200, text: "<html>" }],
    ["an error page", { status: 502, text: "bad gateway" }],
    ["an error without a reason", { status: 500, body: { error: "x" } }],
    ["an error of another shape", { status: 404, body: { message: "x" } }],
  ])("%s is not believed", async (_, answer) => {
    berthd.routes = { "*": () => answer };
    const failure = await failing(new Client(berthd.socket).get("/api/gpus"));
    expect(failure.exitCode).toBe(3);
    expect(failure.message).toMatch(/not as berthd does/);
  });
});

describe("berthd away", () => {
  it("is told when there is no socket", async () => {
    const failure = await failing(new Client(join(berthd.folder, "none.sock")).get("/health"));
    expect(failure).toBeInstanceOf(Unreachable);
    expect(failure).toMatchObject({ exitCode: 3, sent: false });
    expect(failure.message).toContain("there is no such socket");
  });

  it("is told when nothing listens", async () => {
    const path = join(berthd.folder, "dead.sock");
    // Left behind, as after kill -9.
    const { spawnSync } = await import("node:child_process");
    spawnSync(process.execPath, [
      "-e",
      `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`,
    ]);
    const failure = await failing(new Client(path).get("/health"));
    expect(failure).toMatchObject({ exitCode: 3, sent: false });
    expect(failure.message).toContain("nothing listens on it");
  });

  it("is told when it goes in the middle", async () => {
    berthd.routes = { "*": (_seen, request) => void request.socket.destroy() };
    const failure = await failing(new Client(berthd.socket).post("/api/grants", {}));
    expect(failure).toMatchObject({ exitCode: 3, sent: true });
  });

  it("is told when it goes in the middle of its answer", async () => {
    berthd.routes = {
      "*": (_seen, _request, response) => {
        response.writeHead(200, { "content-length": "100" });
        response.write('{"a":');
        response.socket?.end();
        return undefined;
      },
    };
    expect((await failing(new Client(berthd.socket).get("/health"))).exitCode).toBe(3);
  });

  it("is told when it says nothing", async () => {
    berthd.routes = { "*": () => undefined };
    const failure = await failing(new Client(berthd.socket).get("/health", { timeoutMs: 50 }));
    expect(failure.message).toContain("no answer within 0.05 s");
  });

  it("is told when what answers is no HTTP", async () => {
    const path = join(berthd.folder, "other.sock");
    const server = createServer((socket) => socket.end("SSH-2.0-OpenSSH\r\n"));
    await new Promise<void>((done) => server.listen(path, done));
    try {
      expect((await failing(new Client(path).get("/health"))).exitCode).toBe(3);
    } finally {
      server.close();
    }
  });
});

it("ends a call when it is told to, and the server sees it", async () => {
  const gone = new Promise<void>((done) => {
    berthd.routes = { "*": (_seen, request) => void request.socket.once("close", () => done()) };
  });
  const cut = new AbortController();
  const call = new Client(berthd.socket).post("/api/grants", {}, { signal: cut.signal });
  const ended = expect(call).rejects.toThrow("enough");
  await expect.poll(() => berthd.seen.length).toBe(1);
  cut.abort(new Error("enough"));
  await Promise.all([ended, gone]);
});

it("tells people the rule, what is allowed and how to mend it, and no order for their terminal", () => {
  expect(
    describeRefusal({
      code: "over-limit",
      message: "alice has 2 of 2\u001b[2J",
      rule: "groups.student.max_mig_instances",
      allowed: "2",
      fix: "release one",
    }),
  ).toBe(
    [
      "alice has 2 of 2\\e[2J",
      "  rule     groups.student.max_mig_instances",
      "  allowed  2",
      "  to mend  release one",
    ].join("\n"),
  );
});
