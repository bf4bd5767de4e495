/** What it proves: addresses and networks of both families are read, compared and counted as RFC 1918, 4193 and 5952 say. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  behindPrefix,
  hostAddress,
  isAddress,
  isFirstHost,
  isInside,
  isInterfaceAddress,
  isPrivateAddress,
  leading64,
  type Network,
  networksOverlap,
  readIpv4Network,
  readNetwork,
  sameAddress,
  specialRange,
} from "../../../core/net";

function network(text: string): Network {
  const read = readNetwork(text);
  if ("problem" in read) throw new Error(`${text} ${read.problem}`);
  return read;
}

/** The address as a number, counted here by hand. */
const number = (text: string) => text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);

describe("addresses", () => {
  it("have four numbers or eight groups, and no zone", () => {
    for (const text of ["10.0.0.1", "::1", "2001:DB8::7", "::ffff:192.0.2.1"])
      expect(isAddress(text)).toBe(true);
    for (const text of ["10.1", "010.0.0.1", "0x7f.0.0.1", "256.0.0.1", "fe80::1%eth0", "head", ""])
      expect(isAddress(text)).toBe(false);
  });

  it("are one key, however they are written", () => {
    expect(sameAddress("2001:DB8:0::7")).toBe(sameAddress("2001:db8::7"));
    expect(sameAddress("::192.0.2.1")).toBe(sameAddress("::c000:201"));
    expect(sameAddress("::192.0.2.1")).not.toBe(sameAddress("::ffff:192.0.2.1"));
    expect(sameAddress("Head.Example.ORG")).toBe("head.example.org");
  });

  it("are private in exactly the ranges of RFC 1918 and RFC 4193", () => {
    fc.assert(
      fc.property(fc.ipV4(), (text) => {
        const [a = 0, b = 0] = text.split(".").map(Number);
        expect(isPrivateAddress(text)).toBe(
          a === 10 || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168),
        );
      }),
    );
    for (const text of ["fc00::1", "fd12:3456::1", "FD00::1"]) expect(isPrivateAddress(text)).toBe(true);
    for (const text of [
      "fe80::1",
      "2001:db8::1",
      "fb00::1",
      "fe00::1",
      "fc::1",
      "::1",
      "fd00::1%eth0",
      "head",
    ])
      expect(isPrivateAddress(text)).toBe(false);
  });

  it("of an interface have a prefix of their family", () => {
    for (const text of ["10.20.0.11/24", "10.0.0.1/32", "fd00::1/128"])
      expect(isInterfaceAddress(text)).toBe(true);
    for (const text of ["10.20.0.11", "10.0.0.1/33", "10.0.0.1/0", "fd00::1/129", "10.0.0.1/24/8", "x/8"])
      expect(isInterfaceAddress(text)).toBe(false);
  });

  it("of IPv6 belong to one machine by their 64 leading bits", () => {
    expect(leading64("2001:db8:1:2:aaaa::1")).toBe("2001:db8:1:2::/64");
    expect(leading64("fe80::1%eth0")).toBe("fe80:0:0:0::/64");
    expect(leading64("192.0.2.1")).toBeUndefined();
  });
});

describe("a special address", () => {
  it.each([
    ["127.0.0.1", "loopback: the machine itself"],
    ["127.255.255.254", "loopback: the machine itself"],
    ["::1", "loopback: the machine itself"],
    ["0.0.0.0", "unspecified: the machine itself"],
    ["0.1.2.3", "unspecified: the machine itself"],
    ["::", "unspecified: the machine itself"],
    ["10.0.0.1", "private"],
    ["172.31.255.255", "private"],
    ["192.168.0.1", "private"],
    ["fd00:ec2::254", "private"],
    ["169.254.169.254", "link-local: a network of one cable, and metadata services"],
    ["fe80::1", "link-local: a network of one cable, and metadata services"],
    ["100.64.0.1", "of a provider's own network"],
    ["100.100.100.200", "of a provider's own network"],
    ["168.63.129.16", "a metadata service's"],
    ["224.0.0.1", "multicast"],
    ["ff02::1", "multicast"],
    ["255.255.255.255", "broadcast"],
    ["::ffff:8.8.8.8", "an IPv4 address in the spelling of IPv6"],
    ["::ffff:127.0.0.1", "an IPv4 address in the spelling of IPv6"],
    ["::127.0.0.1", "reserved"],
    ["::ffff:0:7f00:1", "reserved"],
    ["64:ff9b::10.0.0.1", "reserved"],
    ["64:ff9b:1::a9fe:a9fe", "reserved"],
    ["2002:7f00:1::", "reserved"],
    ["2001::7f00:1", "reserved"],
    ["fec0::1", "reserved"],
    ["4000::1", "reserved"],
    ["192.0.2.1", "reserved"],
    ["198.18.0.1", "reserved"],
    ["240.0.0.1", "reserved"],
    ["2001:db8::1", "reserved"],
    ["127.1", "no address"],
    ["fe80::1%eth0", "no address"],
    ["head", "no address"],
  ])("is named as what it is: %s, %s", (text, range) => {
    expect(specialRange(text)).toBe(range);
  });

  it.each(["8.8.8.8", "93.184.215.14", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"])(
    "is none that the Internet has: %s",
    (text) => {
      expect(specialRange(text)).toBeUndefined();
    },
  );
});

describe("networks", () => {
  it.each([
    ["10.88.0.0/24", "10.88.0.0", 24],
    ["0.0.0.0/0", "0.0.0.0", 0],
    ["10.88.0.1/24", undefined, 0],
    ["10.88.0/24", undefined, 0],
    ["256.0.0.0/8", undefined, 0],
    ["10.0.0.0/33", undefined, 0],
    ["10.0.0.0", undefined, 0],
    ["fd00::/8", undefined, 0],
  ])("of IPv4: %s", (text, first, prefix) => {
    const read = readIpv4Network(text);
    expect(read?.first.toString()).toBe(first);
    if (first !== undefined) expect(read?.prefix).toBe(prefix);
  });

  it("with bits behind the prefix name the network that was perhaps meant", () => {
    expect(behindPrefix("10.0.3.7/8")?.allowed).toContain("'10.0.0.0/8', or the address '10.0.3.7'");
    expect(behindPrefix("2001:db8::7/32")?.allowed).toContain("'2001:db8::/32'");
    expect(behindPrefix("10.0.0.0/8")).toBeUndefined();
    expect(behindPrefix("10.0.0.0/40")).toBeUndefined();
  });

  it("overlap where the ranges of numbers do", () => {
    const any = fc.tuple(fc.ipV4(), fc.integer({ min: 1, max: 32 })).map(([address, prefix]) => {
      const size = 2 ** (32 - prefix);
      const first = Math.floor(number(address) / size) * size;
      const text = [24, 16, 8, 0].map((shift) => Math.floor(first / 2 ** shift) % 256).join(".");
      return { text: `${text}/${prefix}`, first, last: first + size - 1 };
    });
    fc.assert(
      fc.property(any, any, (a, b) => {
        const meet = a.first <= b.last && b.first <= a.last;
        expect(networksOverlap(network(a.text), network(b.text))).toBe(meet);
        expect(isInside(network(a.text), b.text)).toBe(a.first <= b.first && b.last <= a.last);
      }),
    );
    expect(networksOverlap(network("::/0"), network("0.0.0.0/0"))).toBe(false);
    expect(networksOverlap(network("fd00::/8"), network("fd12::7"))).toBe(true);
  });

  it("count their addresses from the first", () => {
    expect([0, 1, 2, 255].map((n) => hostAddress(network("10.88.0.0/24"), n))).toEqual([
      "10.88.0.0",
      "10.88.0.1",
      "10.88.0.2",
      "10.88.0.255",
    ]);
  });
});

describe("the first address of a subnet", () => {
  it.each([
    ["10.1.0.0/16", "10.1.0.1", true],
    ["10.1.2.3/16", "10.1.0.1", true],
    ["10.1.0.0/16", "10.1.0.2", false],
    ["192.168.7.128/25", "192.168.7.129", true],
    ["fd00:7::/64", "fd00:7::1", true],
    ["FD00:7:0:0:0:0:0:0/64", "fd00:7:0:0:0:0:0:1", true],
    ["fd00:7::/64", "fd00:7::2", false],
    ["fd00:7::/64", "10.1.0.1", false],
    ["", "", false],
    ["10.1.0.0", "10.1.0.1", false],
  ])("%s: %s is it: %s", (subnet, address, expected) => {
    expect(isFirstHost(subnet, address)).toBe(expected);
  });
});
