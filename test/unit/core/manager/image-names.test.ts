/**
 * Images as tenants name them. Proves: a name is read as Docker reads it, only what the list allows and what is the tenant's own
 * gets through, and what gets through cannot be taken for the id of somebody else's image.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { imageAllowed, imageText, isImagePattern, parseImageName } from "../../../../core/manager";

const DIGEST = `sha256:${"0f".repeat(32)}`;
const OTHER = `sha256:${"1e".repeat(32)}`;

describe("an image's name", () => {
  it.each([
    ["node", "docker.io", "library/node", "latest", undefined, "node:latest"],
    ["node:24-slim", "docker.io", "library/node", "24-slim", undefined, "node:24-slim"],
    ["library/node:24", "docker.io", "library/node", "24", undefined, "node:24"],
    ["docker.io/node:24", "docker.io", "library/node", "24", undefined, "node:24"],
    ["index.docker.io/library/node:24", "docker.io", "library/node", "24", undefined, "node:24"],
    ["acme/web", "docker.io", "acme/web", "latest", undefined, "acme/web:latest"],
    ["library/a/b:1", "docker.io", "library/a/b", "1", undefined, "library/a/b:1"],
    ["localhost/a:1", "localhost", "a", "1", undefined, "localhost/a:1"],
    [
      "Reg.Example:5000/a/b_c:V1.2",
      "reg.example:5000",
      "a/b_c",
      "V1.2",
      undefined,
      "reg.example:5000/a/b_c:V1.2",
    ],
    ["[fd00::1]:5000/a:1", "[fd00::1]:5000", "a", "1", undefined, "[fd00::1]:5000/a:1"],
    [`node@${DIGEST}`, "docker.io", "library/node", undefined, DIGEST, `node@${DIGEST}`],
    [`node:24@${DIGEST}`, "docker.io", "library/node", "24", DIGEST, `node:24@${DIGEST}`],
    ["cafe", "docker.io", "library/cafe", "latest", undefined, "cafe:latest"],
  ])("%s is read as Docker reads it", (text, registry, path, tag, digest, shortest) => {
    const result = parseImageName(text);
    if (!result.ok) throw new Error(result.refusal.message);
    expect({ tag: undefined, digest: undefined, ...result.value }).toEqual({ registry, path, tag, digest });
    expect(imageText(result.value)).toBe(shortest);
    expect(parseImageName(shortest)).toEqual(result);
  });

  it.each([
    "",
    "Node",
    "node:",
    "node:24:1",
    "node@",
    "node@sha256:ab",
    `node@md5:${"0f".repeat(16)}`,
    "node:-x",
    `node:${"x".repeat(129)}`,
    "-node",
    "--privileged",
    "a/../b",
    "a//b",
    "/node",
    "node/",
    "a b",
    "node:24\n",
    "../../x",
    "https://reg.example/a",
    "user:secret@reg.example/a",
    "reg.example:0/a",
    "reg.example:99999/a",
    "-reg.example/a",
    "fd00::1/a",
    "[reg.example]:5000/a",
    "[fd00::1/a",
    "[]:5000/a",
    `${"a".repeat(256)}`,
    "a/".repeat(400),
    DIGEST,
    "sha256",
    "sha256:0f0f",
    "docker.io/sha256:0f0f",
  ])("cannot be %j", (text) => {
    const result = parseImageName(text);
    expect(result).toMatchObject({ ok: false, refusal: { code: "bad-request" } });
    expect(JSON.stringify(result)).not.toContain("secret");
  });
});

describe("a list of allowed images", () => {
  const allowed = (reference: string, ...patterns: string[]) =>
    imageAllowed(reference, { patterns, ownImages: [] });

  it.each([
    ["node:*", ["node", "node:24-slim", "docker.io/library/node:1", `node@${DIGEST}`, `node:24@${DIGEST}`]],
    ["node:24*", ["node:24", "node:24-slim"]],
    ["docker.io/library/node:24", ["node:24"]],
    ["node", ["node", "node:latest"]],
    ["reg.example:5000/team/a:*", ["reg.example:5000/team/a:7"]],
    [`node@${DIGEST}`, [`node@${DIGEST}`, `node:24@${DIGEST}`]],
    [`node:22@${DIGEST}`, [`node@${DIGEST}`]],
    [DIGEST, [DIGEST]],
  ])("with %s has %j", (pattern, references) => {
    expect(isImagePattern(pattern)).toBe(true);
    for (const reference of references) expect(allowed(reference, "python:*", pattern).ok).toBe(true);
  });

  it.each([
    [
      "node:*",
      ["node2:24", "acme/node:24", "nodejs", "reg.example/node:24", "library/library/node:1", DIGEST],
    ],
    ["node:24*", ["node:22", "node", `node@${DIGEST}`, `node:24@${DIGEST}`]],
    ["node:24", ["node:24-slim", "node", `node:24@${DIGEST}`]],
    [`node@${DIGEST}`, [`node@${OTHER}`, `python@${DIGEST}`, "node:24", DIGEST]],
    [DIGEST, [OTHER, `node@${DIGEST}`]],
    ["*", ["node", "a"]],
    ["nod*", ["node"]],
    ["", ["node"]],
  ])("with %s has none of %j", (pattern, references) => {
    for (const reference of references)
      expect(allowed(reference, pattern)).toMatchObject({ ok: false, refusal: { code: "not-allowed" } });
  });

  it("says of what is no pattern that it is none", () => {
    for (const text of [
      "*",
      "nod*",
      "",
      "*:24",
      "node:*-slim",
      "Node:*",
      "node:**",
      "node@*",
      "sha256:*",
      `${DIGEST}*`,
    ])
      expect([text, isImagePattern(text)]).toEqual([text, false]);
  });

  it("says which images there are instead", () => {
    expect(allowed("ubuntu", "node:*", "python:*")).toMatchObject({
      refusal: {
        message: "image ubuntu:latest is none of those that may be used here",
        allowed: "node:*, python:*, main images of your own",
      },
    });
  });

  it("gives Docker a name with a tag or a digest, which is no beginning of an id", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9a-f]{1,64}$/), (id) => {
        expect(allowed(id, `${id}:*`)).toEqual({ ok: true, value: `${id}:latest` });
      }),
    );
  });
});

describe("a tenant's own images", () => {
  const patterns = ["node:*"];
  const ownImages = [
    { id: DIGEST, shown: "acme-web:main" },
    { id: OTHER, shown: "Acme-Web:main" },
  ];

  it("are named by what is shown or by id, and run by id", () => {
    for (const [reference, id] of [
      ["acme-web:main", DIGEST],
      ["Acme-Web:main", OTHER],
      [OTHER, OTHER],
    ] as const)
      expect(imageAllowed(reference, { patterns, ownImages })).toEqual({ ok: true, value: id });
  });

  it("are nobody else's", () => {
    for (const reference of ["acme-web:main", DIGEST])
      expect(imageAllowed(reference, { patterns, ownImages: [] })).toMatchObject({
        refusal: { code: "not-allowed" },
      });
  });

  it("that are shown alike are told apart by id alone", () => {
    const alike = ownImages.map(({ id }) => ({ id, shown: "a-b-c:main" }));
    expect(imageAllowed("a-b-c:main", { patterns, ownImages: alike })).toMatchObject({
      refusal: { code: "conflict", allowed: `${DIGEST}, ${OTHER}` },
    });
    expect(imageAllowed(OTHER, { patterns, ownImages: alike })).toEqual({ ok: true, value: OTHER });
  });
});
