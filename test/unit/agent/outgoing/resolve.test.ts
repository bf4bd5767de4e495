/**
 * Which hosts berthd connects to for somebody else. Proves: of a name, all addresses count; what is private or special is
 * refused unless the operator lists it, and the node's own unless just that is listed, not a network around it; a name
 * that is listed is not judged by its addresses. DNS is
 * a table here; the real one is asked in test/process/agent/outgoing-dns.test.ts.
 */
import type { LookupAddress } from "node:dns";
import { networkInterfaces } from "node:os";
import { describe, expect, it } from "vitest";
import { isListed, pinned, resolvePublic } from "../../../../agent/src/outgoing";

const names: Record<string, string[] | string> = {
  "example.org": ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"],
  "internal.example.org": ["10.1.2.3"],
  "mixed.example.org": ["93.184.215.14", "169.254.169.254"],
  "six.example.org": ["2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:10.0.0.1"],
  "mine.example.org": ["198.211.96.7"],
  "inner.example.org": ["10.1.0.1"],
  "loop.example.org": ["127.0.0.53"],
  "empty.example.org": [],
  "none.example.org": "ENODATA",
  "gone.example.org": "ENOTFOUND",
  "slow.example.org": "ETIMEOUT",
  "many.example.org": Array.from({ length: 4000 }, (_, n) => `93.184.${n >> 8}.${n & 255}`),
};
const asked: string[] = [];
async function lookup(host: string): Promise<string[]> {
  asked.push(host);
  const found = names[host] ?? "ENOTFOUND";
  if (typeof found === "string") throw Object.assign(new Error(`query ${found} ${host}`), { code: found });
  return found;
}
const own = () => ["198.211.96.7", "10.1.0.1", "fd00:1::1"];
const resolve = (host: string, allowed: string[] = []) => resolvePublic(host, { allowed, lookup, own });
const addresses = (host: string, allowed?: string[]) =>
  resolve(host, allowed).then((found) => (found.ok ? found.value : found.refusal.code));

describe("a name", () => {
  it("of the Internet gives its addresses, however it is written", async () => {
    expect(await addresses("example.org")).toEqual(names["example.org"]);
    expect(await addresses("Example.ORG")).toEqual(names["example.org"]);
  });

  it.each([
    ["internal.example.org", "10.1.2.3 (private)"],
    ["mixed.example.org", "169.254.169.254 (link-local"],
    ["six.example.org", "::ffff:10.0.0.1 (an IPv4 address"],
    ["mine.example.org", "198.211.96.7 (this node's own)"],
  ])("that also leads elsewhere is refused, and the address named: %s", async (host, named) => {
    const found = await resolve(host);
    expect(found).toMatchObject({ ok: false, refusal: { code: "not-allowed" } });
    expect(found.ok ? "" : found.refusal.message).toContain(`${host}: ${named}`);
    expect(found.ok ? "" : found.refusal.fix).toContain("operator");
  });

  it.each([
    ["empty.example.org", "not-found"],
    ["none.example.org", "not-found"],
    ["gone.example.org", "not-found"],
    ["slow.example.org", "closed"],
  ])("without an answer of DNS says which: %s, %s", async (host, code) => {
    expect(await addresses(host)).toBe(code);
  });

  it("with thousands of addresses gives a few", async () => {
    expect(await addresses("many.example.org")).toEqual((names["many.example.org"] as string[]).slice(0, 8));
  });

  it.each([
    "",
    "a b",
    "a/b",
    "-x.org",
    "x..org",
    "1234",
    "127.1",
    "fe80::1%eth0",
    "a".repeat(300),
    "x\r\nHost: y",
  ])("that is none is refused, and DNS not asked: %j", async (host) => {
    const before = asked.length;
    expect(await addresses(host)).toBe("bad-request");
    expect(asked.length).toBe(before);
  });
});

describe("an address", () => {
  it.each(["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])(
    "of the Internet is taken, and DNS not asked: %s",
    async (host) => {
      const before = asked.length;
      expect(await addresses(host)).toEqual([host]);
      expect(await addresses(`[${host}]`)).toEqual([host]);
      expect(asked.length).toBe(before);
    },
  );

  it.each([
    "127.0.0.1",
    "0.0.0.0",
    "10.1.0.1",
    "169.254.169.254",
    "100.100.100.200",
    "[::1]",
    "[::ffff:7f00:1]",
    "[::7f00:1]",
    "[64:ff9b::a9fe:a9fe]",
    "[fd00:ec2::254]",
    "198.211.96.7",
  ])("that is special or the node's own is refused: %s", async (host) => {
    expect(await addresses(host)).toBe("not-allowed");
  });

  it("of one of this machine's interfaces is its own", async () => {
    const mine = Object.values(networkInterfaces()).flatMap((all = []) => all.map(({ address }) => address));
    expect(mine.length).toBeGreaterThan(0);
    for (const address of mine) {
      const found = await resolvePublic(address, { allowed: [] });
      expect(found.ok ? "" : found.refusal.message).toContain("this node's own");
    }
  });
});

describe("what the operator lists", () => {
  it.each([
    ["internal.example.org", "internal.example.org"],
    ["internal.example.org", "Internal.Example.org"],
    ["internal.example.org", "10.0.0.0/8"],
    ["internal.example.org", "10.1.2.3"],
    ["mine.example.org", "198.211.96.7"],
    ["mine.example.org", "198.211.96.7/32"],
    ["mine.example.org", "mine.example.org"],
    ["10.1.0.1", "10.1.0.1"],
    ["10.1.0.2", "10.1.0.0/24"],
    ["inner.example.org", "10.1.0.1"],
    ["127.0.0.1", "127.0.0.0/8"],
    ["loop.example.org", "127.0.0.53"],
    ["[::1]", "::1"],
    ["[fd00::7]", "fd00::/8"],
    ["[fd00:1::1]", "FD00:1:0::1"],
    ["[::ffff:10.0.0.9]", "::ffff:10.0.0.9"],
  ])("is connected to: %s by %s", async (host, entry) => {
    expect(Array.isArray(await addresses(host, ["192.0.2.1", entry]))).toBe(true);
  });

  it.each([
    ["internal.example.org", "example.org"],
    ["internal.example.org", "10.2.0.0/16"],
    ["mixed.example.org", "10.0.0.0/8"],
    ["127.0.0.1", "localhost"],
    ["127.0.0.1", "::/0"],
    ["10.1.0.1", "10.0.0.0/8"],
    ["10.1.0.1", "10.1.0.0/31"],
    ["inner.example.org", "10.0.0.0/8"],
    ["mine.example.org", "198.211.96.0/24"],
    ["mine.example.org", "0.0.0.0/0"],
    ["[fd00:1::1]", "fd00::/8"],
    ["loop.example.org", "0.0.0.0/0"],
    ["127.0.0.1", "126.0.0.0/7"],
    ["0.0.0.0", "0.0.0.0/0"],
    ["[::1]", "::/0"],
    ["[::ffff:10.1.0.1]", "::/0"],
  ])("is only that: %s not by %s", async (host, entry) => {
    expect(await addresses(host, [entry])).toBe("not-allowed");
  });

  it("is found by a host's name or its address, not by what a name leads to", () => {
    expect(isListed("Git.Example.org", ["git.example.org"])).toBe(true);
    expect(isListed("10.1.2.3", ["10.0.0.0/8"])).toBe(true);
    expect(isListed("internal.example.org", ["10.0.0.0/8"])).toBe(false);
    expect(isListed("git.example.org", [])).toBe(false);
  });
});

describe("a connection that is pinned", () => {
  const answer = (all: boolean, list: string[]) =>
    new Promise<unknown>((resolve) => {
      pinned(list)("elsewhere.example.org", { all }, (error, address: string | LookupAddress[], family) =>
        resolve(error ?? (all ? address : [address, family])),
      );
    });

  it("goes to the addresses that were checked, whatever name it asks for", async () => {
    expect(await answer(true, ["192.0.2.7", "2001:db8::7"])).toEqual([
      { address: "192.0.2.7", family: 4 },
      { address: "2001:db8::7", family: 6 },
    ]);
    expect(await answer(false, ["2001:db8::7"])).toEqual(["2001:db8::7", 6]);
    expect(await answer(false, [])).toBeInstanceOf(Error);
  });
});
