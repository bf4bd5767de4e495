/**
 * How berth is asked on a node: what ssh is called with, and what each of its ends is taken for.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { askBerth, type Told } from "../../../../components/gpu/remote";
import { type Behaviour, FakeSsh } from "../../../fakes/ssh";

let ssh: FakeSsh;
beforeAll(() => {
  ssh = new FakeSsh();
});
beforeEach(() => ssh.does({}));
afterAll(() => ssh.remove());

const reach = { target: "root@10.0.0.5:22", sshOptions: ["-i", "~/key", "-o", "StrictHostKeyChecking=yes"] };
const show = (told: Behaviour, deadline = 20_000): Promise<Told> => {
  ssh.does({ show: told });
  return askBerth(reach, ["declared", "show", "--json"], { deadline });
};

describe("the call", () => {
  it("goes to the node with the checks that were given, and reads nobody's configuration", async () => {
    await show({ stdout: "{}" });
    const [call] = ssh.calls();
    expect(call?.args.slice(0, -1)).toEqual([
      ...["-F", "none", "-i", "~/key", "-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=ERROR"],
      ...["-l", "root", "-p", "22", "--", "10.0.0.5"],
    ]);
    expect(call?.args.at(-1)).toBe(
      `exec sh -c 'printf "BERTH-ANSWER\\n"; test -x /usr/local/bin/berth || exit 127; ` +
        `exec /usr/local/bin/berth declared show --json'`,
    );
    expect(call?.stdin).toBe("");
  });

  it("asks sudo where the login is not root, and takes an IPv6 address out of its brackets", async () => {
    ssh.does({ apply: { stdout: "{}" } });
    const other = { ...reach, target: "ops@[2001:db8::5]:2222" };
    await askBerth(other, ["declared", "apply", "--json"], { input: { declared: [] }, deadline: 20_000 });
    const [call] = ssh.calls();
    expect(call?.args.slice(-7, -1)).toEqual(["-l", "ops", "-p", "2222", "--", "2001:db8::5"]);
    expect(call?.args.at(-1)).toContain("exec sudo -n /usr/local/bin/berth declared apply --json");
    expect(call?.stdin).toBe('{"declared":[]}');
  });

  it("refuses a target that is none, without a call", async () => {
    for (const target of ["10.0.0.5", "root@10.0.0.5", "root@host:port", "root@-oProxyCommand=x y:22", ""]) {
      const told = await askBerth({ ...reach, target }, ["declared", "show"], { deadline: 1000 });
      expect(told, target).toMatchObject({ kind: "unreachable" });
    }
    expect(ssh.calls()).toEqual([]);
  });

  it("never takes an address for an option", async () => {
    await askBerth({ ...reach, target: "root@-oProxyCommand=x:22" }, ["declared", "show"], {
      deadline: 20_000,
    });
    const [call] = ssh.calls();
    expect(call?.args.slice(-3, -1)).toEqual(["--", "-oProxyCommand=x"]);
  });
});

describe("the answer", () => {
  it("is the JSON after the mark, whatever a login shell prints before", async () => {
    const told = await show({ banner: 'Welcome! {"not": "this"}\n', stdout: '{\n  "grants": []\n}\n' });
    expect(told).toEqual({ kind: "answer", value: { grants: [] } });
  });

  it("comes at once while a shared connection keeps the streams open", async () => {
    const before = Date.now();
    expect(await show({ stdout: "{}", lingers: true })).toEqual({ kind: "answer", value: {} });
    expect(Date.now() - before).toBeLessThan(10_000);
  });

  it("is none when there is no berth on the node", async () => {
    expect(await show({ code: 127 })).toEqual({ kind: "absent" });
  });

  it.each([
    ["nothing", "", "berth printed no JSON: nothing"],
    ["text", "segfault\n", "berth printed no JSON: segfault"],
    ["half of an object", '{"grants": [', 'berth printed no JSON: {"grants": ['],
  ])("is garbage where berth prints %s and says it went well", async (_, stdout, reason) => {
    expect(await show({ stdout })).toEqual({ kind: "garbage", reason });
  });

  it("is berthd's refusal, wherever berth prints it", async () => {
    const error = { code: "conflict", message: "the pool moved on", rule: "groups.a.b", fix: "plan again" };
    const refused = {
      kind: "refused",
      refusal: error,
      reason: "groups.a.b: the pool moved on. Mend: plan again.",
    };
    expect(await show({ stdout: JSON.stringify({ error }), code: 1 })).toEqual(refused);
    expect(await show({ stderr: JSON.stringify({ error }), code: 1 })).toEqual(refused);
  });

  it("is what berth said, where it failed without a reason of berthd's, in one line without control characters", async () => {
    const told = await show({ stderr: "berthd is not reached\n\u001b[31mMend: systemctl\n", code: 3 });
    expect(told).toEqual({ kind: "refused", reason: "berthd is not reached; ?[31mMend: systemctl" });
    expect(await show({ stderr: "x".repeat(100_000), code: 3 })).toMatchObject({
      reason: expect.stringMatching(/^…x{400}$/),
    });
  });
});

describe("no connection", () => {
  it.each([
    ["refused", "ssh: connect to host 10.0.0.5 port 22: Connection refused"],
    ["no route", "ssh: connect to host 10.0.0.5 port 22: No route to host"],
    ["no key", "root@10.0.0.5: Permission denied (publickey)."],
  ])("is told with ssh's own words: %s", async (_, stderr) => {
    expect(await show({ noShell: true, stderr, code: 255 })).toEqual({ kind: "unreachable", reason: stderr });
  });

  it.each(["Host key verification failed.", "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @"])(
    "and another host key are two things: %s",
    async (stderr) => {
      expect(await show({ noShell: true, stderr, code: 255 })).toMatchObject({ kind: "untrusted" });
    },
  );

  it("may also break off in the middle", async () => {
    const told = await show({
      stdout: '{"gr',
      stderr: "client_loop: send disconnect: Broken pipe",
      code: 255,
    });
    expect(told).toEqual({ kind: "unreachable", reason: "client_loop: send disconnect: Broken pipe" });
  });

  it("may hang: the call ends at its deadline", async () => {
    const before = Date.now();
    const told = await show({ hangs: true }, 1500);
    expect(told).toEqual({ kind: "unreachable", reason: "no answer within 1.5 s" });
    expect(Date.now() - before).toBeLessThan(10_000);
  });

  it("needs ssh on this computer", async () => {
    const path = process.env.PATH;
    process.env.PATH = "/nonexistent";
    try {
      const told = await askBerth(reach, ["declared", "show"], { deadline: 5000 });
      expect(told).toEqual({ kind: "unreachable", reason: "there is no ssh on this computer" });
    } finally {
      process.env.PATH = path;
    }
  });
});
