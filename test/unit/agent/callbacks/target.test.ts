/**
 * Where a tenant may have messages sent, judged before anything is. Proves: all that is wrong is said at once, by field,
 * with what to do; https to the Internet is taken, and http only to a host that the operator lists.
 */
import { describe, expect, it } from "vitest";
import { targetProblems } from "../../../../agent/src/callbacks";
import { resolvePublic } from "../../../../agent/src/outgoing";

const names: Record<string, string[]> = {
  "hooks.example.org": ["93.184.215.14"],
  "internal.example.org": ["10.1.2.3"],
};
const asked: string[] = [];

function problems(url: string, secret = "secret123", allowed: string[] = []): Promise<string[]> {
  const lookup = async (host: string) => {
    asked.push(host);
    return names[host] ?? [];
  };
  const resolve = (host: string) => resolvePublic(host, { allowed, lookup, own: () => [] });
  return targetProblems({ url, secret }, { allowed, resolve });
}

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
    ["https://internal.example.org/", "10.1.2.3 (private)"],
    ["https://127.0.0.1/", "loopback"],
    ["https://0x7f000001/", "loopback"],
    ["https://169.254.169.254/latest", "link-local"],
    ["https://[::ffff:169.254.169.254]/", "spelling of IPv6"],
    ["https://none.example.org/", "no address in DNS"],
    [`https://hooks.example.org/${"x".repeat(2048)}`, "longer than 2048"],
  ])("is refused with the reason: %s", async (url, why) => {
    const [first = "", ...rest] = await problems(url);
    expect(rest).toEqual([]);
    expect(first).toMatch(/^callbackUrl: /);
    expect(first).toContain(why);
    expect(first.length).toBeLessThan(400);
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
        expect.stringMatching(/^callbackUrl: .*loopback/),
        "callbackSecret: allowed are 1 to 512 visible characters of ASCII",
      ]);
    },
  );
});
