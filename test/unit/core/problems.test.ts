/** What it proves: a schema's issues read alike everywhere, and what is right beside them is found again. */
import { expect, it } from "vitest";
import { z } from "zod";
import { issueTexts, pathText, valueAt, without } from "../../../core/problems";

const schema = z.strictObject({ users: z.array(z.strictObject({ name: z.string(), uid: z.int() })) });

it("names every place, and every key that is not known", () => {
  const { error } = schema.safeParse({
    users: [{ name: "alice", uid: 1, sudo: true, gid: 2 }, {}],
    node: "a",
  });
  expect(error && issueTexts(error)).toEqual([
    "sudo, gid in users[0]: not allowed",
    expect.stringMatching(/^users\[1\]\.name: /),
    expect.stringMatching(/^users\[1\]\.uid: /),
    "node: not allowed",
  ]);
  expect(error && issueTexts(error, ["nodes", 3])[0]).toBe("sudo, gid in nodes[3].users[0]: not allowed");
});

it("says nothing of a place for the value itself", () => {
  const { error } = z.string("is no text").safeParse(7);
  expect(error && issueTexts(error)).toEqual(["is no text"]);
  expect(pathText([])).toBe("");
});

it("finds what stands at a path, and nothing that every object has", () => {
  const values = { users: [{ name: "alice" }] };
  expect(valueAt(values, ["users", 0, "name"])).toBe("alice");
  expect(valueAt(values, ["users", "0", "name"])).toBe("alice");
  for (const path of [["users", 1, "name"], ["constructor"], ["users", "length", "x"]])
    expect(valueAt(values, path)).toBeUndefined();
});

it("takes away what is wrong, from a copy", () => {
  const values = { users: [{ name: "alice", uid: "x" }] };
  expect(
    without(values, [
      ["users", 0, "uid"],
      ["nowhere", "at all"],
    ]),
  ).toEqual({ users: [{ name: "alice" }] });
  expect(values.users[0]).toHaveProperty("uid");
});
