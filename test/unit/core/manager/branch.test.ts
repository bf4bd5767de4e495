/** Names of branches. Proves: what git takes for an option, another revision or a file of its own is refused, with the reason. */
import { describe, expect, it } from "vitest";
import { parseBranch } from "../../../../core/manager";

describe("a branch", () => {
  it.each([
    "main",
    "feature/login",
    "a/b/c",
    "release-1.2",
    "dependabot/npm_and_yarn/@types/node-24",
    "fix#12",
    "überarbeitung",
    "🚀",
    "heads/main",
    "head",
    "a@b",
    "a.lockfile",
    "x".repeat(255),
  ])("may be called %s", (name) => {
    expect(parseBranch(name)).toEqual({ ok: true, value: name });
  });

  it.each([
    ["", "is empty"],
    ["-b", "as an option does"],
    ["--upload-pack=/bin/sh", "as an option does"],
    ["a b", "has a space or a control character"],
    ["a\nb", "has a space or a control character"],
    ["a\0b", "has a space or a control character"],
    ["a\u001b[2J", "has a space or a control character"],
    ["a\u009b2J", "has a space or a control character"],
    ["a\ud800", "has a space or a control character"],
    ["main~1", "has one of ~"],
    ["main^", "has one of ~"],
    ["main:file", "has one of ~"],
    ["+refs/heads/*:refs/heads/*", "has one of ~"],
    ["a?", "has one of ~"],
    ["a[0]", "has one of ~"],
    ["a\\b", "has one of ~"],
    ["a..b", "has '..' in it"],
    ["../../etc", "has '..' in it"],
    ["a.", "'.' at its end"],
    ["main@{1}", "has '@{' in it"],
    ["/a", "has '/' at its beginning"],
    ["a/", "has '/' at its beginning or its end"],
    ["a//b", "or twice in a row"],
    [".a", "has a part that begins with '.'"],
    ["a/.b", "has a part that begins with '.'"],
    ["a.lock", "has a part that ends in '.lock'"],
    ["a.lock/b", "has a part that ends in '.lock'"],
    ["@", "is a name that git keeps for itself"],
    ["HEAD", "is a name that git keeps for itself"],
    ["x".repeat(256), "is longer than 255 bytes"],
    ["é".repeat(128), "is longer than 255 bytes"],
  ])("may not be called %j: it %s", (name, why) => {
    expect(parseBranch(name)).toMatchObject({
      ok: false,
      refusal: { code: "bad-request", message: expect.stringContaining(why) },
    });
  });

  it("that is wrong in several ways is told all of them, and is not repeated", () => {
    const result = parseBranch("-evil\u001b[2J..x.lock");
    expect(result).toMatchObject({
      ok: false,
      refusal: {
        message:
          "the branch's name begins with '-', as an option does; it has a space or a control character in it; " +
          "it has one of ~ ^ : ? * [ \\ in it; it has '..' in it, or '.' at its end; it has a part that ends in '.lock'",
      },
    });
    expect(JSON.stringify(result)).not.toContain("evil");
  });
});
