/**
 * Repositories as back-ends name them. Proves: a text becomes a place on an allowed host or is refused with every reason, never
 * repeating a token; nothing that git would run or read from the node gets through; no two tenants or repositories have one key.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  hostOf,
  parseRepository,
  type Repository,
  type RepositoryHost,
  repositoryKey,
  shownName,
} from "../../../../core/manager";

const hosts: RepositoryHost[] = [
  { host: "github.com" },
  { host: "Git.Example", port: 8443, internal: true },
  { host: "127.0.0.1", port: 3080, insecure: true, internal: true },
  { host: "lan.example", insecure: true },
  { host: "fd00::7", port: 443 },
  { host: "git.example", port: 443, insecure: true },
];
const read = (text: string) => parseRepository(text, { hosts });

function repository(text: string): Repository {
  const result = read(text);
  if (!result.ok) throw new Error(result.refusal.message);
  return result.value;
}

describe("a repository", () => {
  it.each([
    ["acme/web", "github.com", "https://github.com/acme/web.git"],
    ["acme/web.git", "github.com", "https://github.com/acme/web.git"],
    ["Acme/Web.js", "github.com", "https://github.com/Acme/Web.js.git"],
    ["acme/.github", "github.com", "https://github.com/acme/.github.git"],
    ["a_b/c-d_e", "github.com", "https://github.com/a_b/c-d_e.git"],
    ["https://github.com/acme/web", "github.com", "https://github.com/acme/web.git"],
    ["https://GitHub.com/acme/web.git", "github.com", "https://github.com/acme/web.git"],
    ["https://git.example:8443/a/b", "git.example:8443", "https://git.example:8443/a/b.git"],
    ["http://127.0.0.1:3080/a/b", "127.0.0.1:3080", "http://127.0.0.1:3080/a/b.git"],
    ["http://lan.example/a/b", "lan.example:80", "http://lan.example/a/b.git"],
    ["https://[fd00::7]/a/b", "[fd00::7]", "https://[fd00::7]/a/b.git"],
    ["http://git.example:443/a/b", "git.example:443", "http://git.example:443/a/b.git"],
    [`${"o".repeat(100)}/${"n".repeat(100)}`, "github.com", undefined],
  ])("%s is one of %s", (text, host, url) => {
    const found = repository(text);
    expect(found.host).toBe(host);
    if (url !== undefined) expect(found.url).toBe(url);
    expect(text.toLowerCase()).toContain(`${found.owner}/${found.name}`.toLowerCase());
  });

  it("without a host is of the first one", () => {
    expect(parseRepository("a/b", { hosts: hosts.slice(1) })).toMatchObject({
      value: { host: "git.example:8443" },
    });
    expect(parseRepository("a/b", { hosts: [] })).toMatchObject({
      refusal: { code: "not-allowed", allowed: "no host is allowed" },
    });
  });

  it("leads back to what the operator says of its host", () => {
    for (const [index, text] of [
      "a/b",
      "https://git.example:8443/a/b",
      "http://127.0.0.1:3080/a/b",
      "http://lan.example/a/b",
      "https://[fd00::7]/a/b",
      "http://git.example:443/a/b",
    ].entries())
      expect(hostOf(repository(text), hosts)).toBe(hosts[index]);
    expect(hostOf({ ...repository("a/b"), host: "elsewhere.example" }, hosts)).toBeUndefined();
  });

  it.each([80, 443, 3080])("over HTTP on port %i is never that of the same host over HTTPS", (port) => {
    const both: RepositoryHost[] = [{ host: "git.example" }, { host: "git.example", port, insecure: true }];
    const texts = ["a/b", `http://git.example${port === 80 ? "" : `:${port}`}/a/b`];
    const found = texts.map((text) => {
      const result = parseRepository(text, { hosts: both });
      if (!result.ok) throw new Error(result.refusal.message);
      return result.value;
    });
    expect(found.map((one) => hostOf(one, both))).toEqual(both);
    expect(new Set(found.map((one) => repositoryKey("studio", one))).size).toBe(2);
  });

  it.each([
    ["https://evil.example/a/b"],
    ["https://github.com.evil.example/a/b"],
    ["https://github.com./a/b"],
    ["https://github.com:443/a/b"],
    ["https://github.com:22/a/b"],
    ["https://git.example/a/b"],
    ["https://git.example:84430/a/b"],
    ["http://github.com/a/b"],
    ["https://lan.example/a/b"],
    ["https://169.254.169.254/a/b"],
    ["http://localhost:3080/a/b"],
    ["http://127.1:3080/a/b"],
    ["http://0x7f000001:3080/a/b"],
  ])("of another host or port is not allowed: %s", (text) => {
    expect(read(text)).toMatchObject({
      ok: false,
      refusal: {
        code: "not-allowed",
        message: "the repository is of a host that is not allowed",
        allowed:
          "owner/repo for https://github.com/owner/repo, https://github.com/owner/repo, " +
          "https://git.example:8443/owner/repo, http://127.0.0.1:3080/owner/repo, http://lan.example/owner/repo, " +
          "https://[fd00::7]/owner/repo, http://git.example:443/owner/repo",
      },
    });
  });

  it.each([
    ["", "is of neither form"],
    ["web", "is of neither form"],
    ["a/b/c", "is of neither form"],
    ["a/b/", "is of neither form"],
    ["a//b", "is of neither form"],
    ["https://github.com", "is of neither form"],
    ["https://github.com/a", "is of neither form"],
    ["https://github.com/a/b/", "is of neither form"],
    ["https://github.com/a/b/tree/main", "is of neither form"],
    ["https:/github.com/a/b", "is of neither form"],
    ["-u/b", "as an option does"],
    ["--upload-pack=touch/x", "as an option does"],
    ["a/-b", "has a name that is not"],
    ["https://github.com/-a/b", "has an owner that is not"],
    ["https://github.com/.a/b", "has an owner that is not"],
    ["a b/c", "has white space"],
    ["a/b\n", "has white space"],
    ["a/b\0", "has white space"],
    ["a/\u001b[2J", "has white space"],
    ["a/b\u00a0", "has white space"],
    ["ext::sh -c 'id >&2'", "names a transport of git's"],
    ["fd::17/x", "names a transport of git's"],
    ["ssh://github.com/a/b", "has a scheme that is not https"],
    ["git://github.com/a/b", "has a scheme that is not https"],
    ["ftp://github.com/a/b", "has a scheme that is not https"],
    ["HTTP://github.com/a/b", "is of neither form"],
    ["file:///etc/passwd", "is a path of files"],
    ["FILE://localhost/srv/git", "is a path of files"],
    ["/etc/passwd", "is a path of files"],
    ["./repo", "is a path of files"],
    ["../../root/x", "is a path of files"],
    ["~root/x", "is a path of files"],
    ["git@github.com:a/b", "has a user, a password or a token in it"],
    ["https://token@github.com/a/b", "has a user, a password or a token in it"],
    ["https://github.com@evil.example/a/b", "has a user, a password or a token in it"],
    ["github.com:a/b", "has an owner that is not"],
    ["C:/b", "has an owner that is not"],
    ["https://github.com/a/b?access_token=x", "has one of ? # %"],
    ["https://github.com/a/b#main", "has one of ? # %"],
    ["https://github.com/a/%2e%2e", "has one of ? # %"],
    ["https://github.com\\evil.example/a/b", "has one of ? # % \\"],
    ["a/..", "has '..'"],
    ["https://github.com/../b", "has '..'"],
    ["https://github.com/./b", "has '..' or '/./'"],
    ["a/.", "has a name that is not"],
    ["a/.git", "has a name that is not"],
    ["a/b.git.git", "has a name that is not"],
    ["a/ｂ", "has a name that is not"],
    [`a/${"n".repeat(101)}`, "has a name that is not"],
    [`${"o".repeat(101)}/a`, "has an owner that is not"],
    [`a/${"n".repeat(600)}`, "is longer than 512 characters"],
  ])("cannot be %j: it %s", (text, why) => {
    expect(read(text)).toMatchObject({
      ok: false,
      refusal: { code: "bad-request", message: expect.stringContaining(why) },
    });
  });

  it("that is wrong in several ways is told all of them, and a token in it is not repeated", () => {
    const result = read("ssh://hunter2:hunter2@github.com/a b?hunter2");
    expect(result).toMatchObject({
      refusal: {
        message:
          "the repository has white space or control characters in it; it has a scheme that is not https; " +
          "it has a user, a password or a token in it; it has one of ? # % \\ in it",
      },
    });
    expect(JSON.stringify(result)).not.toContain("hunter2");
    expect(read("https://evil.example/-a/-b")).toMatchObject({
      refusal: { code: "bad-request", message: expect.stringMatching(/owner.*name.*host/) },
    });
  });

  it("has a URL of an allowed host and two plain names, whatever is sent", () => {
    const origins = ["https://github.com", "https://git.example:8443", "http://127.0.0.1:3080"];
    const piece = fc.constantFrom(
      ..."/ // : @ .. . - -- ? # % ~ \\ .git a B9 \n \0 :: ext file: https:// http:// github.com git.example :8443".split(
        " ",
      ),
    );
    const text = fc.oneof(
      fc.array(piece, { maxLength: 9 }).map((pieces) => pieces.join("")),
      fc.tuple(fc.constantFrom(...origins, ""), fc.string(), fc.string()).map((all) => all.join("/")),
      fc.tuple(fc.string(), fc.string()).map((all) => all.join("/")),
    );
    fc.assert(
      fc.property(text, (sent) => {
        const result = read(sent);
        if (!result.ok) return;
        const { owner, name, url } = result.value;
        for (const part of [owner, name]) expect(part).toMatch(/^(?!-)(?!\.\.?$)[\w.-]{1,100}$/);
        const { origin, pathname, username, search, hash } = new URL(url);
        expect(origins).toContain(origin);
        expect([pathname, username, search, hash]).toEqual([`/${owner}/${name}.git`, "", "", ""]);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("the key of a tenant's repository", () => {
  const of = (owner: string, name: string, host = "github.com") => ({ host, owner, name, url: "" });

  it("is another one for each tenant, host, owner and name, also where all are shown alike", () => {
    const places = [
      of("a-b", "c"),
      of("a", "b-c"),
      of("A", "b-c"),
      of("a", "B-C"),
      of("a.b", "c"),
      of("a", "b_c"),
      of("a", "b-c", "git.example"),
      of("a", "b-c", "git.example:8443"),
    ];
    expect(new Set(places.map(shownName)).size).toBeLessThan(places.length);
    const keys = ["one", "one-a", "ONE"].flatMap((tenant) =>
      places.map((place) => repositoryKey(tenant, place)),
    );
    expect(new Set(keys).size).toBe(keys.length);
  });

  it("is the same each time, and after an update: names of what tenants keep are made of it", () => {
    expect(repositoryKey("studio", of("Acme", "Web.js"))).toBe(
      "acme-web-js-ee91f1df38961deff039ea471369af383dda8e5e",
    );
  });

  it("is a name that Docker takes, of at most 64 characters, whatever the names are", () => {
    const part = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/);
    fc.assert(
      fc.property(fc.string(), part, part, (tenant, owner, name) => {
        expect(repositoryKey(tenant, of(owner, name))).toMatch(/^(?=.{40,64}$)[a-z0-9]+(-+[a-z0-9]+)*$/);
      }),
    );
    expect(repositoryKey("t", of("_", "_"))).toMatch(/^[0-9a-f]{40}$/);
  });
});
