/**
 * Where a tenant may have messages sent, judged before anything is. Proves: all that is wrong is said at once, by field,
 * with what to do; https to the Internet is taken, and http only to a host that the operator lists; nobody learns from
 * it what the node's DNS and network have, but the operator, from the log; DNS is asked a few things at a time.
 */
import { describe, expect, it } from "vitest";
import { CallbackTargets } from "../../../../agent/src/callbacks";
import { type ResolveOptions, resolvePublic } from "../../../../agent/src/outgoing";
import type { Result } from "../../../../core/gpu";

const names: Record<string, string[]> = {
  "hooks.example.org": ["93.184.215.14"],
  "internal.example.org": ["10.1.2.3"],
  "mine.example.org": ["198.211.96.7"],
  "both.example.org": ["93.184.215.14", "10.1.2.3"],
};
const asked: string[] = [];
const logged: object[] = [];

async function lookup(host: string): Promise<string[]> {
  asked.push(host);
  if (host.startsWith("slow")) throw Object.assign(new Error("late"), { code: "ETIMEOUT" });
  return names[host] ?? [];
}

function targets(allowed: string[] = [], find: ResolveOptions["lookup"] = lookup): CallbackTargets {
  const resolve = (host: string) =>
    resolvePublic(host, { allowed, lookup: find, own: () => ["198.211.96.7"] });
  return new CallbackTargets({ allowed, resolve, log: { warn: (data) => void logged.push(data) } });
}

function given<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(result.refusal.message);
  return result.value;
}

const problems = async (url: string, secret = "secret123", allowed: string[] = []) =>
  given(await targets(allowed).problems("tenant:web-ide", { url, secret }));

describe("a callback URL", () => {
  it.each([
    ["https://hooks.example.org/docker-status", []],
    ["https://hooks.example.org:8443/a?b=c", []],
    ["https://93.184.215.14/", []],
    ["https://[2606:4700::1111]/", []],
    ["https://internal.example.org/", ["10.0.0.0/8"]],
    ["http://internal.example.org/", ["internal.example.org"]],
    ["http://127.0.0.1:3210/hook", ["127.0.0.1"]],
    ["http://[::1]:3210/hook", ["::1"]],
  ])("is taken: %s, where the operator lists %j", async (url, allowed) => {
    expect(await problems(url, "secret123", allowed)).toEqual([]);
  });

  it.each([
    ["", "is no URL"],
    ["hooks.example.org/x", "is no URL"],
    ["ftp://hooks.example.org/", "is no URL that begins with https://"],
    ["file:///etc/shadow", "is no URL that begins with https://"],
    ["javascript:alert(1)", "is no URL that begins with https://"],
    ["https://", "is no URL"],
    ["https://user:pass@hooks.example.org/", "has a user in it"],
    ["https://user@hooks.example.org/", "has a user in it"],
    ["http://hooks.example.org/", "use https://"],
    ["http://internal.example.org/", "use https://"],
    ["https://a_b.example.org/", "is no host; allowed: a DNS name"],
    [`https://hooks.example.org/${"x".repeat(2048)}`, "longer than 2048"],
  ])("is refused with the reason: %s", async (url, why) => {
    const [first = "", ...rest] = await problems(url);
    expect(rest).toEqual([]);
    expect(first).toMatch(/^callbackUrl: /);
    expect(first).toContain(why);
    expect(first.length).toBeLessThan(400);
  });

  it("is refused with one text, whatever DNS and the network say of its host, and the log has it", async () => {
    const reasons: [string, string, RegExp][] = [
      ["https://none.example.org/", "not-found", /no address in DNS/],
      ["https://slow.example.org/", "closed", /ETIMEOUT/],
      ["https://internal.example.org/k3y", "not-allowed", /10\.1\.2\.3 \(private\)/],
      ["https://mine.example.org/", "not-allowed", /198\.211\.96\.7 \(this node's own\)/],
      ["https://both.example.org/", "not-allowed", /10\.1\.2\.3/],
      ["https://198.211.96.7/", "not-allowed", /this node's own/],
      ["https://127.0.0.1/", "not-allowed", /loopback/],
      ["https://0x7f000001/", "not-allowed", /loopback/],
      ["https://169.254.169.254/latest", "not-allowed", /link-local/],
      ["https://[::ffff:169.254.169.254]/", "not-allowed", /spelling of IPv6/],
    ];
    const texts = new Set<string>();
    for (const [url, code, reason] of reasons) {
      logged.length = 0;
      for (const text of await problems(url)) texts.add(text);
      expect(logged).toEqual([{ owner: "tenant:web-ide", code, reason: expect.stringMatching(reason) }]);
      expect(JSON.stringify(logged)).not.toContain("k3y");
    }
    expect([...texts]).toEqual([
      expect.stringMatching(/^callbackUrl: this node sends nothing to that host; .*operator/),
    ]);
  });

  it("is refused as often as somebody tries, and the log has a few of an owner's", async () => {
    const judge = targets();
    const ask = async (owner: string) =>
      given(await judge.problems(owner, { url: "https://127.0.0.1/", secret: "x" }));
    logged.length = 0;
    for (let n = 0; n < 200; n++) expect(await ask("many")).toHaveLength(1);
    expect(logged).toHaveLength(60);
    await ask("other");
    expect(logged.at(-1)).toMatchObject({ owner: "other" });
  });

  it("is looked at with few others of the same owner at a time, and others' are not held up", async () => {
    const answers: (() => void)[] = [];
    const slow = async (host: string) => {
      asked.push(host);
      await new Promise<void>((resolve) => answers.push(resolve));
      return ["93.184.215.14"];
    };
    const judge = targets([], slow);
    const ask = (owner: string, secret = "x") =>
      judge.problems(owner, { url: `https://${owner}.example.org/`, secret });
    asked.length = 0;
    const all = Array.from({ length: 40 }, () => ask("many"));
    // The places of those that wait are taken too.
    for (const late of all.slice(36))
      expect(await late).toMatchObject({
        refusal: {
          code: "full",
          message: expect.stringContaining("callbackUrl: "),
          allowed: expect.stringContaining("4 of one owner"),
        },
      });
    // What is wrong in any case is told first.
    expect(given(await ask("many", "no spaces"))).toEqual([expect.stringMatching(/^callbackSecret: /)]);
    const other = ask("other");
    await new Promise((resolve) => setImmediate(resolve));
    expect(asked).toEqual([...Array(4).fill("many.example.org"), "other.example.org"]);
    for (let done = 0; done < 37; done++) {
      expect(answers.length).toBeGreaterThan(0);
      expect(answers.length).toBeLessThanOrEqual(5);
      answers.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await Promise.all([...all.slice(0, 36), other])).toEqual(Array(37).fill({ ok: true, value: [] }));
  });

  it("that is wrong in itself is not looked up", async () => {
    const before = asked.length;
    await problems("https://user@hooks.example.org/");
    await problems("http://hooks.example.org/");
    expect(asked.length).toBe(before);
  });
});

describe("a callback secret", () => {
  it.each(["x", "secret123", "a+b/c==", "~!@#$%^&*()", "x".repeat(512)])("is taken: %s", async (secret) => {
    expect(await problems("https://hooks.example.org/", secret)).toEqual([]);
  });

  it.each(["", "a b", "a\r\nX-Other: b", "a\n", "é", "\u0000", "x".repeat(513)])(
    "that cannot stand in a header is refused, beside all else, and not repeated: %j",
    async (secret) => {
      const said = await problems("https://127.0.0.1/", secret);
      expect(said).toEqual([
        expect.stringMatching(/^callbackUrl: this node sends nothing/),
        "callbackSecret: allowed are 1 to 512 visible characters of ASCII",
      ]);
    },
  );
});
