/** Proves: how many go on at once in a container, of an owner and in all; that each has one; that a place is given back once. */
import { describe, expect, it } from "vitest";
import { AtOnce } from "../../../../agent/src/commands/at-once";

const limits = { container: 2, owner: 3, own: 1, all: 4 };
const said = (places: AtOnce, owner: string, container: string) => {
  const taken = places.take(owner, container);
  return taken.ok ? "ok" : `${taken.refusal.code}: ${taken.refusal.message}`;
};

describe("places in containers", () => {
  it("are so many in a container, of an owner, and in all", () => {
    const places = new AtOnce("commands", limits);
    const take = (owner: string, container: string) => said(places, owner, container);
    expect([take("a", "1"), take("a", "1"), take("a", "1")]).toEqual([
      "ok",
      "ok",
      "busy: Container 1 has 2 commands at once, and no more are begun.",
    ]);
    expect([take("a", "2"), take("a", "3")]).toEqual([
      "ok",
      "busy: a has 3 commands at once, and no more are begun.",
    ]);
    expect([take("b", "4"), take("b", "4")]).toEqual([
      "ok",
      "busy: All together have 4 commands at once, and no more are begun.",
    ]);
    // However much others have.
    expect([take("c", "5"), take("c", "5"), take("d", "6")]).toEqual([
      "ok",
      expect.stringMatching(/^busy/),
      "ok",
    ]);
  });

  it("are a few of each owner, though two others have all of them", () => {
    const places = new AtOnce("terminals", { container: 8, owner: 8, own: 3, all: 16 });
    for (let n = 0; n < 16; n++) expect(said(places, n < 8 ? "a" : "b", n < 8 ? "1" : "2")).toBe("ok");
    const third = Array.from({ length: 4 }, () => said(places, "c", "3"));
    expect(third).toEqual(["ok", "ok", "ok", expect.stringMatching(/^busy: All together have 19/)]);
  });

  it("are given back once, however often that is said", () => {
    const places = new AtOnce("commands", { container: 1, owner: 1, own: 1, all: 1 });
    const first = places.take("a", "1");
    expect(said(places, "a", "1")).toMatch(/^busy/);
    if (first.ok) for (let n = 0; n < 3; n++) first.value();
    expect([said(places, "a", "1"), said(places, "a", "1")]).toEqual(["ok", expect.stringMatching(/^busy/)]);
  });
});
