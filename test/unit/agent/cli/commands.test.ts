/**
 * Every command of `berth` but for `berth gpu` (cli-gpu.test.ts) against recorded answers of berthd: what it asks, prints
 * and ends with. Of all commands: --help, and a berthd that is not there.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { berth, berthd, berthdForEachTest, NOW, unit } from "./commands-helpers";
import { refusal, berth as run } from "./helpers";

berthdForEachTest();

const limits = {
  user: "alice",
  group: "student",
  explain: [
    {
      field: "max_mig_instances",
      value: 2,
      text: "2",
      rule: "groups.student",
      overrides: [{ rule: "defaults", value: 1, text: "1", why: "groups.student is nearer to the user" }],
    },
    { field: "idle_timeout", value: null, text: "never", rule: "defaults", overrides: [] },
  ],
};

describe("limits", () => {
  beforeEach(() => {
    berthd.routes = {
      "GET /api/whoami": () => ({ body: { role: "user", user: "alice", actor: "user:alice" } }),
      "GET /api/limits/alice": () => ({ body: limits }),
    };
  });

  it("are those of whoever asks", async () => {
    expect((await berth("limits show")).out).toMatchInlineSnapshot(`
      "alice, group student
      LIMIT              VALUE  RULE
      -----------------  -----  --------------
      max_mig_instances  2      groups.student
      idle_timeout       never  defaults
      "
    `);
    expect((await berth("limits explain")).out).toBe(
      [
        "alice, group student",
        "max_mig_instances: 2, by groups.student",
        "  not 1 of defaults: groups.student is nearer to the user",
        "idle_timeout: never, by defaults",
        "",
      ].join("\n"),
    );
  });

  it("are those of somebody named, without asking who one is", async () => {
    expect(JSON.parse((await berth("limits show alice --json")).out)).toEqual(limits);
    expect(berthd.asked("GET", "/api/whoami")).toEqual([]);
  });

  it("are asked of a user, for an operator has none", async () => {
    berthd.routes = { "GET /api/whoami": () => ({ body: { role: "admin", actor: "root" } }) };
    expect(await berth("limits show")).toMatchObject({ code: 2, out: "" });
  });

  it("say whether something would be granted, and end accordingly", async () => {
    berthd.routes = { "POST /api/limits/check": () => ({ body: { granted: true, units: [unit] } }) };
    expect(await berth("limits check --profile 1g.10gb --user alice")).toEqual({
      code: 0,
      out: "Would be granted: 1 x MIG 1g.10gb, now 0:0\n",
      err: "",
    });
    expect(berthd.seen[0]?.body).toEqual({
      user: "alice",
      ask: { kind: "mig", count: 1, profile: "1g.10gb" },
    });
    const why = { code: "over-limit", message: "2 of 2", rule: "defaults.max_mig_instances" };
    berthd.routes = { "POST /api/limits/check": () => ({ body: { granted: false, refusal: why } }) };
    const no = await berth("limits check --count 3");
    expect(no).toMatchObject({ code: 1, err: "" });
    expect(no.out).toBe("Would not be granted: 3 x GPU\n2 of 2\n  rule     defaults.max_mig_instances\n");
    expect(JSON.parse((await berth("limits check --json")).out)).toEqual({ granted: false, refusal: why });
  });

  it("say by the exit code that nothing is granted to anybody at the moment", async () => {
    const why = { code: "closed", message: "the GPUs cannot be read" };
    berthd.routes = { "POST /api/limits/check": () => ({ body: { granted: false, refusal: why } }) };
    expect(await berth("limits check")).toMatchObject({
      code: 3,
      out: "Would not be granted: 1 x GPU\nthe GPUs cannot be read\n",
    });
    expect((await berth("limits check --json")).code).toBe(3);
  });
});

describe("declared", () => {
  const declared = [{ key: "workspace/alice", user: "alice", ask: { kind: "mig", count: 1 } }];
  const plan = { assignment: { "workspace/alice": [unit] }, kept: [], added: ["workspace/alice"] };

  it("sends what it reads and prints one document", async () => {
    berthd.routes = {
      "POST /api/declared/plan": () => ({ body: plan }),
      "POST /api/declared": () => ({ body: plan }),
    };
    const planned = await berth("declared plan", JSON.stringify({ declared }));
    expect({ ...planned, out: JSON.parse(planned.out) }).toEqual({ code: 0, out: plan, err: "" });
    const expected = { declared, expect: plan.assignment };
    expect((await berth("declared apply --json", JSON.stringify(expected))).code).toBe(0);
    expect(berthd.seen.map(({ path, body }) => [path, body])).toEqual([
      ["/api/declared/plan", { declared }],
      ["/api/declared", expected],
    ]);
  });

  it("shows the pool", async () => {
    berthd.routes = { "GET /api/declared": () => ({ body: { assignment: {} } }) };
    expect(JSON.parse((await berth("declared show")).out)).toEqual({ assignment: {} });
  });

  it("is refused as one document on standard output, without --json too", async () => {
    const error = { code: "conflict", message: "the plan is another one by now" };
    berthd.routes = { "POST /api/declared": () => refusal(409, error) };
    const { code, out, err } = await berth("declared apply", JSON.stringify({ declared }));
    expect({ code, out: JSON.parse(out), err }).toEqual({ code: 1, out: { error }, err: "" });
  });

  it.each([
    ["", "it is empty"],
    ['{"declared": [', "not JSON"],
    ["[]", "not a JSON object"],
    ["{}", 'no list "declared"'],
    ['{"declared": {}}', 'no list "declared"'],
    ['{"declared": [], "expects": {}}', "unknown fields: expects"],
  ])("takes no %j", async (stdin, told) => {
    const { code, out } = await berth("declared apply", stdin);
    expect(code).toBe(2);
    expect(JSON.parse(out).error).toMatchObject({
      code: "bad-request",
      message: expect.stringContaining(told),
    });
    expect(berthd.seen).toEqual([]);
  });
});

describe("token", () => {
  const token = {
    id: "ab12",
    role: "user",
    owner: "alice",
    createdAt: NOW - 1000,
    expiresAt: NOW + 86_400_000,
  };

  it("is made, and printed alone, so that it can be piped", async () => {
    berthd.routes = {
      "POST /api/tokens": () => ({ status: 201, body: { ...token, token: "berth_secret" } }),
    };
    const { code, out, err } = await berth(
      "token create --role user --user alice --expires 1d --name laptop --rate 600",
    );
    expect({ code, out }).toEqual({ code: 0, out: "berth_secret\n" });
    expect(err).toContain("berth token revoke ab12");
    expect(err).not.toContain("berth_secret");
    expect(berthd.seen[0]?.body).toEqual({
      role: "user",
      owner: "alice",
      name: "laptop",
      expires_in_seconds: 86_400,
      requests_per_minute: 600,
    });
  });

  it("is made for a tenant, by its name", async () => {
    const made = { ...token, role: "tenant", owner: "web-ide", token: "berth_secret" };
    berthd.routes = { "POST /api/tokens": () => ({ status: 201, body: made }) };
    expect((await berth("token create --role tenant --tenant web-ide")).out).toBe("berth_secret\n");
    expect(berthd.seen[0]?.body).toEqual({ role: "tenant", owner: "web-ide" });
    const help = (await berth("token create --help")).out.replace(/\s+/g, " ");
    expect(help).toContain("node.json, which no setting of the stack writes yet");
  });

  it("is listed and ended by its id", async () => {
    const revoked = {
      ...token,
      id: "cd34",
      expiresAt: undefined,
      revokedAt: NOW - 5000,
      lastUsedAt: NOW - 60_000,
    };
    const replaced = { ...token, id: "ef56", replacedBy: "ab12" };
    berthd.routes = {
      "GET /api/tokens": () => ({ body: { tokens: [token, revoked, replaced] } }),
      "DELETE /api/tokens/ab12": () => ({ body: token }),
    };
    expect((await berth("token list")).out).toMatchInlineSnapshot(`
      "TOKEN  ROLE  OWNER  NAME  MADE     USED       ENDS
      -----  ----  -----  ----  -------  ---------  ------------------------
      ab12   user  alice  -     1 s ago  never      in 1 d
      cd34   user  alice  -     1 s ago  1 min ago  revoked 5 s ago
      ef56   user  alice  -     1 s ago  never      in 1 d, replaced by ab12
      "
    `);
    expect((await berth("token revoke ab12")).out).toBe("Token ab12 is ended.\n");
  });

  it.each([
    ["token rotate ab12", 86_400, "Token ab12 ends in 1 d; to end it now: berth token revoke ab12\n"],
    ["token rotate ab12 --keep 90m", 5400, "Token ab12 ends in 1 h 30 min; to end it now:"],
    ["token rotate ab12 --keep 30d", 30 * 86_400, "Token ab12 ends in 30 d; to end it now:"],
    ["token rotate ab12 --keep 0", 0, "Token ab12 is ended.\n"],
  ])("is replaced by berth %s, and only the new one is printed", async (words, seconds, told) => {
    const made = {
      ...{ ...token, id: "cd34", token: "berth_secret" },
      replaces: { ...token, replacedBy: "cd34", expiresAt: NOW + seconds * 1000 },
    };
    berthd.routes = { "POST /api/tokens/ab12/rotate": () => ({ status: 201, body: made }) };
    const { code, out, err } = await berth(words);
    expect({ code, out }).toEqual({ code: 0, out: "berth_secret\n" });
    expect(berthd.seen[0]?.body).toEqual({ keep_seconds: seconds });
    expect(err).toContain(`Token cd34: shown once. ${told}`);
    expect(err).not.toContain("berth_secret");
    const json = await berth(`${words} --json`);
    expect({ ...json, out: JSON.parse(json.out) }).toEqual({ code: 0, out: made, err: "" });
  });

  it("is for administrators", async () => {
    berthd.routes = {
      "*": () => refusal(403, { code: "not-allowed", message: "Tokens are made by administrators." }),
    };
    expect((await berth("token list")).code).toBe(4);
  });
});

describe("health and whoami", () => {
  it("says what is wrong, and ends with 3 then", async () => {
    berthd.routes = { "GET /health": () => ({ body: { status: "ok", reasons: [] } }) };
    expect(await berth("health")).toEqual({ code: 0, out: "berthd: ok\n", err: "" });
    const body = { status: "degraded", reasons: ["nvidia-smi did not end within 10 s"] };
    berthd.routes = { "GET /health": () => ({ body }) };
    expect(await berth("health")).toEqual({
      code: 3,
      out: "berthd: degraded\n  nvidia-smi did not end within 10 s\n",
      err: "",
    });
    expect(JSON.parse((await berth("health --json")).out)).toEqual(body);
  });

  it("says whom berthd takes one for", async () => {
    berthd.routes = {
      "GET /api/whoami": () => ({ body: { role: "user", user: "alice", actor: "user:alice" } }),
    };
    expect((await berth("whoami")).out).toBe("alice (user)\n");
    berthd.routes = { "GET /api/whoami": () => ({ body: { role: "admin", actor: "root" } }) };
    expect((await berth("whoami")).out).toBe("root (admin)\n");
  });
});

describe("--help", () => {
  it.each(["", "gpu request ", "declared plan ", "limits "])(
    "berth %s--help tells exit codes and asks nobody",
    async (words) => {
      const { code, out, err } = await run([...words.split(" ").filter(Boolean), "--help"], {
        env: { BERTH_SOCKET: berthd.socket },
      });
      expect({ code, err }).toEqual({ code: 0, err: "" });
      expect(out).toMatch(/\n\nExit codes:\n {2}0 {4}done\n {2}1 .*\n {2}2 .*\n {2}3 .*\n {2}4 /);
      expect(berthd.seen).toEqual([]);
    },
  );

  it("has examples for every command that does something", async () => {
    for (const words of ["gpu status", "gpu queue", "limits check", "token create", "health", "completion"])
      expect((await berth(`${words} --help`)).out).toMatch(/\n\nExamples:\n {2}\S/);
  });

  it("is shown, as a mistake, for a command that is none by itself", async () => {
    for (const words of [[], ["gpu"], ["limits"]]) {
      const { code, out, err } = await run(words, { env: { BERTH_SOCKET: berthd.socket } });
      expect({ code, out }).toEqual({ code: 2, out: "" });
      expect(err).toContain("Usage: berth");
    }
  });
});

it("ends with 3 when berthd is not there, as JSON too", async () => {
  await berthd.stop();
  for (const words of [
    "gpu status",
    "health",
    "limits show",
    "gpu request",
    "gpu request --wait 1m",
    "declared show",
  ]) {
    const { code, out } = await berth(`${words} --json`);
    expect(code).toBe(3);
    expect(JSON.parse(out).error).toMatchObject({
      code: "closed",
      message: expect.stringContaining("not reached"),
    });
  }
});
