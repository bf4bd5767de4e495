/**
 * Every command of `berth gpu` against recorded answers of berthd: what it asks, prints and ends with; and that wrong
 * words, of other commands too, ask nobody.
 */
import { describe, expect, it } from "vitest";
import { berth, berthd, berthdForEachTest, NOW, unit } from "./commands-helpers";
import { refusal } from "./helpers";

berthdForEachTest();

const grant = {
  id: "g1",
  token: 7,
  user: "alice",
  group: "student",
  ask: { kind: "mig", count: 1, profile: "1g.10gb" },
  units: [unit],
  state: "reserved",
  purpose: "berth gpu request",
  createdAt: NOW - 60_000,
  reservedUntil: NOW + 540_000,
};
const h100 = { model: "NVIDIA H100 80GB HBM3", memoryMiB: 81_559, nvlink: [], instances: [] };
const gpus = {
  source: "declared",
  gpus: [
    {
      ...h100,
      uuid: "GPU-1",
      index: 1,
      mig: false,
      utilisation: 42,
      memoryUsedMiB: 2048,
      holders: [{ mine: false, state: "held", unit: "GPU-1", memoryMiB: 20_480 }],
    },
    {
      ...h100,
      uuid: "GPU-0",
      index: 0,
      mig: true,
      instances: [
        { uuid: "MIG-1", profile: "1g.10gb", memoryMiB: 9728, gi: 9, ci: 0 },
        { uuid: "MIG-2", profile: "1g.10gb", memoryMiB: 9728, gi: 10, ci: 0 },
      ],
      holders: [
        { grant: "g1", user: "alice", mine: true, state: "bound", unit: "MIG-1", memoryMiB: 9728 },
        { mine: false, state: "bound", unit: "MIG-gone", memoryMiB: 9728 },
      ],
    },
    { ...h100, uuid: "GPU-2", index: 2, mig: false, quarantined: "Xid 79\u001b[2J", holders: [] },
    { ...h100, uuid: "GPU-3", index: 3, mig: true, holders: [] },
  ],
};

describe("gpu status", () => {
  it("shows each GPU, instance and part, by whom it is held, and obeys nothing in it", async () => {
    berthd.routes = { "GET /api/gpus": () => ({ body: gpus }) };
    const { code, out, err } = await berth("gpu status");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatchInlineSnapshot(`
      "GPU  UNIT  MODEL                  PROFILE  MEMORY    HOLDER      STATE                     USED
      ---  ----  ---------------------  -------  --------  ----------  ------------------------  -----------
      0    0:0   NVIDIA H100 80GB HBM3  1g.10gb  9.5 GiB   alice (g1)  bound
      0    0:1   NVIDIA H100 80GB HBM3  1g.10gb  9.5 GiB               free
      0    0:?   NVIDIA H100 80GB HBM3  -        9.5 GiB   in use      bound
      1    1     NVIDIA H100 80GB HBM3  -        20 GiB    in use      held                      42 %, 2 GiB
      1    1     NVIDIA H100 80GB HBM3  -        59.6 GiB              free
      2    2     NVIDIA H100 80GB HBM3  -        79.6 GiB              quarantined: Xid 79\\e[2J
      3    -     NVIDIA H100 80GB HBM3  -        -                     no instances
      "
    `);
  });

  it("gives programs what berthd said", async () => {
    berthd.routes = { "GET /api/gpus": () => ({ body: gpus }) };
    const { out } = await berth("gpu status --json");
    expect(JSON.parse(out)).toEqual(gpus);
    expect(out).not.toContain("\u001b");
  });

  it("says that there are none, and why nothing is granted", async () => {
    berthd.routes = {
      "GET /api/gpus": () => ({ body: { source: "none", gpus: [], closed: "Docker does not answer" } }),
    };
    expect((await berth("gpu status")).out).toBe(
      "This node has no GPUs.\n\nNothing new is granted: Docker does not answer\n",
    );
  });
});

describe("gpu request", () => {
  it("prints what was granted, for how long, and how to give it back", async () => {
    berthd.routes = { "POST /api/grants": () => ({ status: 201, body: grant }) };
    const { code, out, err } = await berth("gpu request --profile 1g.10gb --purpose train --user alice");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatchInlineSnapshot(`
      "Granted: g1
      UNIT  MODEL                  PROFILE  MEMORY   UUID
      ----  ---------------------  -------  -------  -----
      0:0   NVIDIA H100 80GB HBM3  1g.10gb  9.5 GiB  MIG-1
      Kept for 9 min, then free again unless a container has it.
      Use it: berth container create --grant g1 --user alice -- COMMAND
      Give it back: berth gpu release g1
      "
    `);
    expect(berthd.seen).toHaveLength(1);
    expect(berthd.seen[0]?.body).toEqual({
      user: "alice",
      ask: { kind: "mig", count: 1, profile: "1g.10gb" },
      purpose: "train",
      idempotency_key: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
  });

  it("tells which rule refused it", async () => {
    const error = {
      code: "over-limit",
      message: "alice has 2 of 2 instances: 0:0 (g1), 0:1 (g2).",
      rule: "groups.student.max_mig_instances",
    };
    berthd.routes = { "POST /api/grants": () => refusal(422, error) };
    expect(await berth("gpu request --kind mig")).toEqual({
      code: 1,
      out: "",
      err: "berth: alice has 2 of 2 instances: 0:0 (g1), 0:1 (g2).\n  rule     groups.student.max_mig_instances\n",
    });
    const asJson = await berth("gpu request --kind mig --json");
    expect({ ...asJson, out: JSON.parse(asJson.out) }).toEqual({ code: 1, out: { error }, err: "" });
  });

  it.each([
    ["gpu request --kind tpu", "Allowed choices are gpu, mig, share"],
    ["gpu request --count none", "--count none"],
    ["gpu request --wait soon", "--wait soon"],
    ["gpu request --wait 25h", "at most 1 d"],
    ["gpu request H100", "too many arguments"],
    ["gpu reqest", "unknown command 'reqest'"],
    ["gpu release", "missing required argument 'id'"],
    ["gpu history --limit 1001", "at most 1000"],
    ["token create --role user", "needs --user"],
    ["token create", "--role"],
    ["token create --role tenant", "needs --tenant"],
    ["token create --role tenant --tenant ide --user alice", "--user is not of --role tenant"],
    ["token create --role service --tenant ide", "--tenant is of --role tenant, not of service"],
    ["token rotate", "missing required argument 'token'"],
    ["token rotate ab12 --keep soon", "--keep soon: 0, or a time with its unit"],
    ["token rotate ab12 --keep 721h", "at most 30d"],
    ["token rotate ab12 --keep -1", "--keep -1"],
    ["completion fish", "Allowed choices are bash, zsh"],
    ["gpu status --colour", "unknown option '--colour'"],
  ])("berth %s asks nobody, and ends with 2", async (words, told) => {
    const { code, out, err } = await berth(words);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain(told);
    expect(berthd.seen).toEqual([]);
    const json = await berth(`${words} --json`);
    if (!words.startsWith("completion")) expect(JSON.parse(json.out).error.code).toBe("bad-request");
    expect(json.code).toBe(2);
  });
});

describe("mistyped words", () => {
  it.each([
    ["toke", "unknown command 'toke'", "Did you mean token? See --help"],
    ["pool plan", "berth pool is called berth declared now", "berth declared plan, apply, show"],
    ["pool apply", "berth pool is called berth declared now", "berth declared plan, apply, show"],
    ["pool show", "berth pool is called berth declared now", "berth declared plan, apply, show"],
    ["gpu reqest", "unknown command 'reqest'", "Did you mean request? See --help"],
    ["gpu statsu", "unknown command 'statsu'", "Did you mean status? See --help"],
    ["gpu request --profil 1g.10gb", "unknown option '--profil'", "Did you mean --profile? See --help"],
    ["xyzzyxyzzy", "unknown command 'xyzzyxyzzy'", "see --help"],
  ])("berth %s says what was meant, on lines of its own", async (words, message, fix) => {
    expect(await berth(words)).toEqual({ code: 2, out: "", err: `berth: ${message}\n  to mend  ${fix}\n` });
    expect(JSON.parse((await berth(`${words} --json`)).out).error).toEqual({
      code: "bad-request",
      message,
      fix,
    });
  });
});

describe("gpu release", () => {
  it("gives a grant back", async () => {
    berthd.routes = { "DELETE /api/grants/g1": () => ({ body: { ...grant, state: "released" } }) };
    expect(await berth("gpu release g1")).toEqual({ code: 0, out: "Released: g1 (0:0)\n", err: "" });
  });

  it("withdraws what waits, where there is no grant of that id", async () => {
    berthd.routes = {
      "DELETE /api/grants/q1": () => refusal(404, { code: "not-found", message: "There is no grant q1." }),
      "DELETE /api/queue/q1": () => ({ body: { id: "q1" } }),
    };
    expect(await berth("gpu release q1")).toEqual({
      code: 0,
      out: "Withdrawn from the queue: q1\n",
      err: "",
    });
  });

  it("tells of the grant when there is neither", async () => {
    berthd.routes = {
      "DELETE /api/grants/x": () => refusal(404, { code: "not-found", message: "There is no grant x." }),
      "DELETE /api/queue/x": () => refusal(404, { code: "not-found", message: "Nothing waits as x." }),
    };
    expect(await berth("gpu release x")).toEqual({ code: 1, out: "", err: "berth: There is no grant x.\n" });
  });

  it("does not take a refusal for a grant that is not there", async () => {
    berthd.routes = { "DELETE /api/grants/g1": () => refusal(409, { code: "conflict", message: "bound" }) };
    expect((await berth("gpu release g1")).code).toBe(1);
    expect(berthd.asked("DELETE", "/api/queue/g1")).toEqual([]);
  });

  it("sends force, and keeps an id in its place in the path", async () => {
    berthd.routes = { "*": () => ({ status: 204 }) };
    expect((await berth("gpu release ../tokens/a?b --force")).out).toBe("Released: ../tokens/a?b\n");
    expect(berthd.seen[0]?.path).toBe("/api/grants/..%2Ftokens%2Fa%3Fb?force=true");
  });
});

describe("gpu queue and history", () => {
  it("shows who waits, for what and why", async () => {
    const busy = { code: "busy", message: "all 7 instances of 1g.10gb are held" };
    const entry = { group: "student", since: NOW - 65_000, deadline: NOW + 300_000, reason: busy };
    const body = {
      queue: [
        { ...entry, id: "q1", mine: false, position: 1, ask: { kind: "gpu", count: 4, model: "H100" } },
        { ...entry, id: "q2", mine: true, user: "alice", purpose: "x", position: 2, ask: grant.ask },
      ],
    };
    berthd.routes = { "GET /api/queue": () => ({ body }) };
    expect((await berth("gpu queue")).out).toMatchInlineSnapshot(`
      "NO  REQUEST  USER      GROUP    ASKS FOR         SINCE          UNTIL     WHY IT WAITS
      --  -------  --------  -------  ---------------  -------------  --------  -----------------------------------
      1   q1       somebody  student  4 x GPU on H100  1 min 5 s ago  in 5 min  all 7 instances of 1g.10gb are held
      2   q2       alice     student  1 x MIG 1g.10gb  1 min 5 s ago  in 5 min  all 7 instances of 1g.10gb are held
      "
    `);
    berthd.routes = { "GET /api/queue": () => ({ body: { queue: [] } }) };
    expect((await berth("gpu queue")).out).toBe("Nobody waits.\n");
  });

  it("shows grants that are over, page by page", async () => {
    const released = {
      ...grant,
      state: "released",
      releasedAt: NOW,
      reason: "gpu lost",
      key: "workspace/alice",
    };
    berthd.routes = { "GET /api/history": () => ({ body: { grants: [released, grant] } }) };
    const { out } = await berth("gpu history --user alice --limit 2 --before 9");
    expect(berthd.seen[0]?.path).toBe("/api/history?user=alice&limit=2&before=9");
    expect(out.split("\n")[0]).toMatch(/^NO {2}GRANT .*REASON$/);
    expect(out.split("\n")[2]).toMatch(
      /^7 {3}workspace\/alice {2}alice {2}0:0 {4}released {2}.* 1 min .*gpu lost$/,
    );
    await berth("gpu history");
    expect(berthd.seen[1]?.path).toBe("/api/history?limit=50");
  });
});
