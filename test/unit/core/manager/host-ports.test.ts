/**
 * Ports of the node for containers. Proves: over random histories no port has two owners, none is given out again before its
 * quarantine is over, the lowest are taken, and a container gets all that it asks for or none. The judge of the histories is
 * itself judged with choices that do one thing wrong.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chooseHostPorts, type HostPortsInput, quarantine } from "../../../../core/manager";

const range = { start: 20_000, end: 20_009 };
const now = 1_790_000_000_000;
const none = new Map<number, number>();

function choose(count: number, more: Partial<HostPortsInput> = {}) {
  return chooseHostPorts({ range, used: new Set(), quarantined: none, count, now, ...more });
}

describe("the ports of a container", () => {
  it.each<[string, number, Partial<HostPortsInput>, number[]]>([
    ["are the lowest of the range", 3, {}, [20_000, 20_001, 20_002]],
    ["are none that others have", 2, { used: new Set([20_000, 20_002]) }, [20_001, 20_003]],
    ["are none in quarantine", 1, { quarantined: new Map([[20_000, now + 1]]) }, [20_000 + 1]],
    ["may be those whose quarantine is over", 1, { quarantined: new Map([[20_000, now]]) }, [20_000]],
    ["reach to the end of the range", 10, {}, Array.from({ length: 10 }, (_, i) => 20_000 + i)],
    ["may be none", 0, { used: new Set([20_000]) }, []],
    ["may be the only one", 1, { range: { start: 10_000, end: 10_000 } }, [10_000]],
  ])("%s", (_what, count, more, value) => expect(choose(count, more)).toEqual({ ok: true, value }));

  it("are refused together where too few are free", () => {
    const used = new Set([20_000, 20_001, 20_002, 20_003, 20_004, 9]);
    expect(choose(6, { used })).toEqual({
      ok: false,
      refusal: {
        code: "full",
        message: "6 ports of 20000 to 20009 are asked for, and 5 are free",
        allowed: "5 ports",
        fix: "try again when another container was deleted, ask for fewer ports, or widen berth:ports.containers",
      },
    });
  });

  it("are refused with when more come free", () => {
    const quarantined = new Map([
      [20_000, now + 1500],
      [20_001, now + 30_000],
      [20_002, now - 1],
      [20_003, now + 99_000],
      [30_000, now + 99_000],
    ]);
    const asked = choose(9, { quarantined, used: new Set([20_003]) });
    expect(asked).toMatchObject({
      refusal: { message: expect.stringMatching(/and 7 are free; 2 more come free within 30 s$/) },
    });
  });
});

describe("the quarantine", () => {
  it("lasts a minute, or as long as is said", () => {
    expect([...quarantine(none, [1, 2], now)]).toEqual([
      [1, now + 60_000],
      [2, now + 60_000],
    ]);
    expect([...quarantine(none, [1], now, 5)]).toEqual([[1, now + 5]]);
  });

  it("begins anew with a port that comes free again, and forgets those whose time is over", () => {
    const before = new Map([
      [1, now],
      [2, now + 1],
      [3, now + 9],
    ]);
    expect([...quarantine(before, [3], now)]).toEqual([
      [2, now + 1],
      [3, now + 60_000],
    ]);
    expect(before.size).toBe(3);
  });
});

type Chooser = typeof chooseHostPorts;
type Step = [kind: number, a: number, b: number];

/** Containers that come and go on a node with 10 ports, over restarts, which keep what is in tables. */
class Ports {
  private now = now;
  private readonly owners: number[][] = [];
  private quarantined = new Map<number, number>();
  private readonly freedAt = new Map<number, number>();
  given = 0;
  refused = 0;

  constructor(private readonly chooser: Chooser) {}

  act([kind, a, b]: Step): void {
    if (kind % 4 === 0) this.now += a % 40_000;
    else if (kind % 4 === 1) this.remove(a);
    else this.make(b % 5);
  }

  private make(count: number): void {
    const used = new Set(this.owners.flat());
    const free = this.free(used);
    const decision = this.chooser({ range, used, quarantined: this.quarantined, count, now: this.now });
    if (!decision.ok) {
      if (free.length >= count) throw new Error(`judge: ${count} refused, and ${free.length} are free`);
      this.refused += 1;
      return;
    }
    for (const port of decision.value) {
      if (used.has(port)) throw new Error(`judge: ${port} has two owners`);
      if (!free.includes(port)) throw new Error(`judge: ${port} is given out too early, or not of the range`);
    }
    if (decision.value.join() !== free.slice(0, count).join())
      throw new Error("judge: they are not the lowest");
    this.owners.push(decision.value);
    this.given += count;
  }

  private free(used: ReadonlySet<number>): number[] {
    const all = Array.from({ length: range.end - range.start + 1 }, (_, i) => range.start + i);
    return all.filter((port) => !used.has(port) && this.now - (this.freedAt.get(port) ?? 0) >= 60_000);
  }

  private remove(a: number): void {
    const [ports = []] = this.owners.splice(a % Math.max(1, this.owners.length), 1);
    this.quarantined = quarantine(this.quarantined, ports, this.now);
    for (const port of ports) this.freedAt.set(port, this.now);
    if (this.quarantined.size > range.end - range.start + 1) throw new Error("judge: the quarantine grows");
  }
}

const step = fc.tuple(fc.nat(255), fc.nat(65_535), fc.nat(65_535));

function judge(chooser: Chooser, shorten: boolean) {
  const made = { given: 0, refused: 0 };
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150, size: "max" }), (steps: Step[]) => {
      const one = new Ports(chooser);
      for (const each of steps) one.act(each);
      made.given += one.given;
      made.refused += one.refused;
    }),
    { numRuns: 300, seed: 14, endOnFailure: !shorten },
  );
  return made;
}

describe("histories of ports", () => {
  it("hold", () => {
    const made = judge(chooseHostPorts, true);
    expect(made.given).toBeGreaterThan(1000);
    expect(made.refused).toBeGreaterThan(1000);
  });

  it.each<[string, Chooser, RegExp]>([
    ["forgets who has which", (input) => chooseHostPorts({ ...input, used: new Set() }), /two owners/],
    ["forgets the quarantine", (input) => chooseHostPorts({ ...input, quarantined: none }), /too early/],
    [
      "goes beyond the range",
      (input) => chooseHostPorts({ ...input, range: { ...range, end: 30_000 } }),
      /not of the range/,
    ],
    [
      "has one port less",
      (input) => chooseHostPorts({ ...input, range: { ...range, end: 20_008 } }),
      /refused, and/,
    ],
    [
      "begins too high",
      (input) => chooseHostPorts({ ...input, range: { ...range, start: 20_001 } }),
      /lowest|refused/,
    ],
  ])("are not held by a choice that %s", (_what, chooser, says) => {
    let message = "";
    try {
      judge(chooser, false);
    } catch (error) {
      message = String((error as Error).message) + String((error as Error).cause ?? "");
    }
    expect(message).toMatch(says);
  });
});
