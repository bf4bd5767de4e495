/** node.json: what it may hold. Proves: a name is one user's or one tenant's, and all that is wrong is told at once. */
import { describe, expect, it } from "vitest";
import { nodeSchema } from "../../../agent/src/config";
import { issueTexts } from "../../../core/problems";

const problems = (more: object) => {
  const parsed = nodeSchema.safeParse({ stack: "test", node: "n1", ...more });
  return parsed.success ? [] : issueTexts(parsed.error);
};

describe("tenants", () => {
  it("are none where nothing is said, and as many as are named", () => {
    expect(nodeSchema.parse({ stack: "test", node: "n1" }).tenants).toEqual([]);
    expect(
      problems({ tenants: [{ name: "web-ide" }, { name: "bench" }], users: [{ name: "alice" }] }),
    ).toEqual([]);
  });

  it("have names of their own, that no other tenant and no user has", () => {
    const told = problems({
      users: [{ name: "alice", uid: 20_001 }, { name: "bob", uid: 20_001 }, { name: "alice" }],
      tenants: [{ name: "bob" }, { name: "web-ide" }, { name: "web-ide" }],
    });
    expect(told).toHaveLength(4);
    for (const [at, text] of [
      ["users[1].uid", "is that of users[0] too"],
      ["users[2].name", "is that of users[0] too"],
      ["tenants[0].name", "is that of users[1] too"],
      ["tenants[2].name", "is that of tenants[1] too"],
    ] as const)
      expect(told.find((one) => one.includes(at))).toContain(text);
  });

  it.each(["", "Web", "web ide", "-web", "a".repeat(33), "web\n"])("are not called %j", (name) => {
    expect(problems({ tenants: [{ name }] }).join()).toContain("tenants[0].name");
  });

  it("are not called as Berth's own containers are labelled", () => {
    expect(problems({ tenants: [{ name: "system" }] })).toEqual(["tenants[0].name: is Berth's own"]);
  });

  it("have a name and nothing else", () => {
    expect(problems({ tenants: [{ name: "web-ide", token: "x" }] }).join()).toContain("token");
  });
});
