/**
 * The parts of the repository cache that need no git: what git is told and in what way, what of its words may be shown, and what
 * a commit's files add up to.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  localEnvironment,
  remoteEnvironment,
  secretsOf,
} from "../../../../agent/src/repositories/environment";
import { branchNames, ReferenceList, sameReferences } from "../../../../agent/src/repositories/references";
import { Said } from "../../../../agent/src/repositories/said";
import { Shelf } from "../../../../agent/src/repositories/shelf";
import { TreeCount } from "../../../../agent/src/repositories/tree";
import { NotGiven } from "../../../../agent/src/repositories/types";

/** The settings in an environment, as git reads them: by name, the last one counts. */
function settings(env: NodeJS.ProcessEnv): Record<string, string | undefined> {
  const names = Array.from({ length: Number(env.GIT_CONFIG_COUNT) }, (_, index) => index);
  return Object.fromEntries(
    names.map((index) => [env[`GIT_CONFIG_KEY_${index}`] ?? "", env[`GIT_CONFIG_VALUE_${index}`]]),
  );
}

describe("what git is told", () => {
  const url = "https://git.example/acme/app.git";

  it("is the token for the one repository, and no redirect, helper or prompt", () => {
    const env = remoteEnvironment({ url, addresses: ["192.0.2.7"], token: "gho_secret" });
    const told = settings(env);
    const header = `Basic ${Buffer.from("x-access-token:gho_secret").toString("base64")}`;
    expect(told[`http.${url}.extraHeader`]).toBe(`Authorization: ${header}`);
    expect(Object.keys(told).filter((name) => /extraheader/i.test(name))).toHaveLength(1);
    expect(told).toMatchObject({ "http.followRedirects": "false", "credential.helper": "" });
    expect(env).toMatchObject({ GIT_TERMINAL_PROMPT: "0", GIT_ALLOW_PROTOCOL: "https" });
  });

  it.each([
    [url, ["192.0.2.7"], "git.example:443:192.0.2.7"],
    [url, ["192.0.2.7", "2001:db8::7"], "git.example:443:192.0.2.7,[2001:db8::7]"],
    ["https://git.example:8443/a/b.git", ["192.0.2.7"], "git.example:8443:192.0.2.7"],
    ["http://git.example/a/b.git", ["192.0.2.7"], "git.example:80:192.0.2.7"],
  ])("%s at %j is dialled at %s", (of, addresses, pin) => {
    expect(settings(remoteEnvironment({ url: of, addresses }))["http.curloptResolve"]).toBe(pin);
  });

  it.each(["http://192.0.2.7:8080/a/b.git", "https://[2001:db8::7]/a/b.git"])("%s needs no pin", (of) => {
    expect(settings(remoteEnvironment({ url: of, addresses: ["192.0.2.7"] }))).not.toHaveProperty(
      "http.curloptResolve",
    );
  });

  it("leaves out what berthd's own environment says, and no token where there is none", () => {
    process.env.GIT_SSH_COMMAND = "touch /tmp/berth-was-here";
    process.env.https_proxy = "http://192.0.2.1";
    try {
      const env = remoteEnvironment({ url, addresses: ["192.0.2.7"] });
      const names = Object.keys(env).filter((name) => !/^GIT_CONFIG_(KEY|VALUE)_/.test(name));
      expect(names.sort()).toEqual(
        [
          ...["GIT_ALLOW_PROTOCOL", "GIT_ATTR_NOSYSTEM", "GIT_CONFIG_COUNT", "GIT_CONFIG_GLOBAL"],
          ...["GIT_CONFIG_NOSYSTEM", "GIT_TERMINAL_PROMPT", "HOME", "LC_ALL", "PATH"],
        ].sort(),
      );
      expect(JSON.stringify(env)).not.toMatch(/Authorization/i);
    } finally {
      delete process.env.GIT_SSH_COMMAND;
      delete process.env.https_proxy;
    }
  });

  it("allows no transport to what works on this node alone", () => {
    expect(localEnvironment().GIT_ALLOW_PROTOCOL).toBe("none");
    expect(localEnvironment("file").GIT_ALLOW_PROTOCOL).toBe("file");
  });
});

describe("what git and the host say", () => {
  function lines(parts: readonly (string | Buffer)[], secrets: readonly string[] = []): string[] {
    const seen: string[] = [];
    const said = new Said(secrets, (line) => seen.push(line));
    for (const part of parts) said.push(Buffer.from(part));
    said.end();
    return seen;
  }

  it("comes as lines, whatever parts it came in", () => {
    const words = fc.array(fc.stringMatching(/^[a-zäß€ ]{1,30}[a-z]$/), { maxLength: 20 });
    fc.assert(
      fc.property(words, fc.integer({ min: 1, max: 7 }), (texts, size) => {
        const all = Buffer.from(texts.map((text) => `${text}\n`).join(""));
        const parts = Array.from({ length: Math.ceil(all.length / size) }, (_, at) =>
          all.subarray(at * size, at * size + size),
        );
        expect(lines(parts)).toEqual(texts);
      }),
    );
  });

  it("has no token in any form of it, wherever it is cut into parts", () => {
    const token = "gho_a+b/c=";
    const secrets = secretsOf(token);
    const text = `remote: ${token} is no token, nor ${secrets[1]}; see ?t=${encodeURIComponent(token)}\n`;
    for (let at = 0; at <= text.length; at++) {
      expect(lines([text.slice(0, at), text.slice(at)], secrets)).toEqual([
        "remote: [token] is no token, nor [token]; see ?t=[token]",
      ]);
    }
  });

  it("has nothing that a terminal obeys, and a line that is written over is a line", () => {
    expect(lines(["\u001b[31mred\u0007\u009b2J\r10 %\r20 %\n"])).toEqual(["[31mred2J", "10 %", "20 %"]);
  });

  it("is bounded: long lines are left out whole, and many are cut off", () => {
    const token = "t".repeat(40);
    expect(lines([`${"x".repeat(4090)}${token}\nend`], [token])).toEqual([
      "(a line of 4130 bytes is left out)",
      "end",
    ]);
    const many = lines(["a line\n".repeat(100_000)]);
    expect(many).toHaveLength(300);
    expect(many.at(-1)).toBe("(more lines are left out)");
  });

  it("has no token with a control in its middle, and no more bytes than are allowed once it is text", () => {
    const token = "gho_0123456789";
    const told = lines([`remote: gho_01\u00002345\u009b6789 ${token}\n`], secretsOf(token));
    expect(told).toEqual(["remote: [token] [token]"]);
    const [line = ""] = lines([Buffer.alloc(4000, 0xff)]);
    expect(Buffer.byteLength(line)).toBe(4095);
    expect(line).toMatch(/^\ufffd+$/);
  });

  it("ends in an error with its last lines alone", () => {
    const said = new Said([]);
    said.push(Buffer.from(Array.from({ length: 100 }, (_, at) => `line ${at}\n`).join("")));
    expect(said.text).toBe("line 92; line 93; line 94; line 95; line 96; line 97; line 98; line 99");
  });
});

describe("branches and tags", () => {
  function readReferences(text: string, size = 50): ReferenceList {
    const list = new ReferenceList();
    const all = Buffer.from(`${text}\n`);
    for (let at = 0; at < all.length; at += size) list.push(all.subarray(at, at + size));
    return list;
  }
  const commit = (digit: string) => digit.repeat(40);
  const listed = [
    `ref: refs/heads/trunk\tHEAD`,
    `${commit("a")}\tHEAD`,
    `${commit("a")}\trefs/heads/trunk`,
    `${commit("b")}\trefs/heads/feature/x`,
    `${commit("c")}\trefs/pull/1/head`,
    `${commit("d")}\trefs/tags/v1`,
    `${commit("e")}\trefs/tags/v1^{}`,
    `${commit("e")}\trefs/remotes/x/refs/heads/evil`,
  ].join("\n");

  it("are those alone, with the branch of HEAD", () => {
    const read = readReferences(listed);
    expect(read.defaultBranch).toBe("trunk");
    expect([...read.at]).toEqual([
      ["refs/heads/trunk", commit("a")],
      ["refs/heads/feature/x", commit("b")],
      ["refs/tags/v1", commit("d")],
    ]);
    expect(branchNames(read)).toBe("trunk, feature/x");
  });

  it.each([
    ["another commit", (text: string) => text.replace(`${commit("b")}\t`, `${commit("f")}\t`)],
    ["one more", (text: string) => `${text}\n${commit("a")}\trefs/heads/more`],
    ["one less", (text: string) => text.replace(/^.*refs\/tags\/v1$/m, "")],
    ["another name", (text: string) => text.replace("feature/x", "feature/y")],
  ])("are not the same with %s", (_, change) => {
    expect(sameReferences(readReferences(listed), readReferences(listed))).toBe(true);
    expect(sameReferences(readReferences(listed), readReferences(change(listed)))).toBe(false);
  });

  it("are refused where they are too many, before all of them are read", () => {
    const list = new ReferenceList();
    const name = (at: number) =>
      Buffer.from(`${commit("a")}\trefs/tags/${at}\n${commit("b")}\trefs/tags/${at}^{}\n`);
    for (let at = 0; at < 50_000; at++) list.push(name(at));
    expect(() => list.push(name(50_000))).toThrow(/too many branches and tags/);
  });

  it.each([
    ["in too many folders", 2083, "a/".repeat(119)],
    ["with too long names", 7681, "x".repeat(490)],
    ["with too long names", 4128, "é".repeat(480)],
  ])("are refused %s: behind the first %i", (what, most, more) => {
    const list = new ReferenceList();
    const push = (at: number) =>
      list.push(Buffer.from(`${commit("a")}\trefs/heads/${more}${String(at).padStart(5, "0")}\n`));
    for (let at = 0; at < most; at++) push(at);
    expect(() => push(most)).toThrow(`branches and tags ${what}`);
  });

  it("are not held any more when they are forgotten, but for the branch of HEAD", () => {
    const read = readReferences(listed);
    read.forget();
    expect([read.at.size, read.defaultBranch]).toEqual([0, "trunk"]);
  });

  it.each(["\n", ""])("are refused where a name is too long, also one without an end: %j", (end) => {
    const list = new ReferenceList();
    expect(() => list.push(Buffer.from(`${commit("a")}\trefs/heads/${"x".repeat(1000)}${end}`))).toThrow(
      /too long a name/,
    );
  });

  it("are named in part where there are many", () => {
    const many = Array.from(
      { length: 5000 },
      (_, at) => `${commit("a")}\trefs/heads/${at}${"x".repeat(240)}`,
    );
    const text = branchNames(readReferences(many.join("\n")));
    expect(text).toMatch(/ and 4990 more$/);
    expect(text.length).toBeLessThan(1200);
    expect(branchNames(readReferences(`${commit("a")}\trefs/heads/x\u001b[2J`))).toBe("x[2J");
  });
});

describe("a commit's files", () => {
  const entry = (mode: string, size: number | string, path: string) =>
    `${mode} blob ${"a".repeat(40)} ${size}\t${path}\0`;
  const limits = { treeFiles: 4, treeBytes: 1000 };
  function count(text: string, size = 5): TreeCount {
    const made = new TreeCount(limits);
    const all = Buffer.from(text);
    for (let at = 0; at < all.length; at += size) made.push(all.subarray(at, at + size));
    return made;
  }

  it("are at the top what is a regular file: no folder, no link, no module", () => {
    const text = [
      entry("100644", "     10", "package.json"),
      entry("100755", "     20", "a\tb\nc"),
      entry("120000", "     30", "yarn.lock"),
      entry("100644", "     40", "src/package-lock.json"),
    ].join("");
    expect(count(text).top).toEqual(["package.json", "a\tb\nc"]);
    expect(count(`${entry("160000", "      -", "module")}`).top).toEqual([]);
  });

  it.each([
    ["files", entry("100644", 1, "a").repeat(5), /more than 4 files/],
    ["folders", entry("040000", "-", "a").repeat(5), /more than 4 files and folders/],
    ["bytes", entry("100644", 501, "a").repeat(2), /more than 1000 bytes/],
  ])("are refused when they are too many %s", (_, text, message) => {
    expect(() => count(text, 1000)).toThrow(NotGiven);
    expect(() => count(text)).toThrow(message);
  });

  it.each([
    ["many folders", `${"d/".repeat(1030)}a`],
    ["one folder", `${"d".repeat(256)}/a`],
    ["its own name", "é".repeat(128)],
  ])("are refused where a path is too long by %s", (_, path) => {
    expect(() => count(entry("100644", 1, path), 1000)).toThrow(/path is too long/);
    expect(count(entry("100644", 1, path.slice(0, 100))).top.length).toBeLessThan(2);
  });

  it.each([1, 40, 255])(
    "are refused where too many are outside of folders, with names of %i letters",
    (letters) => {
      const made = new TreeCount({ treeFiles: 1e6, treeBytes: 1e9 });
      const most = Math.floor((2 * 2 ** 20) / (letters + 64));
      const push = (count: number, path: string) =>
        made.push(Buffer.from(entry("100644", 1, path).repeat(count)));
      push(most, "x".repeat(letters));
      push(most, `folder/${"x".repeat(letters)}`);
      expect(made.top).toHaveLength(most);
      expect(() => push(1, "x".repeat(letters))).toThrow(/too many files outside of folders/);
    },
  );

  it("are refused before the end of a name that has none, without holding more than a little of it", () => {
    const made = new TreeCount(limits);
    const part = Buffer.alloc(1000, "a");
    made.push(Buffer.from(`100644 blob ${"a".repeat(40)} 1\t`));
    made.push(part);
    made.push(part);
    expect(() => made.push(part)).toThrow(/path is too long/);
  });
});

describe("a repository's place", () => {
  const shelf = new Shelf({ folder: "/nowhere", log: { info: () => {}, warn: () => {} } });
  const url = "https://git.example/a/b.git";

  it("is another one for another host, owner, name or capital", () => {
    const those = [
      { host: "git.example", owner: "a", name: "b" },
      { host: "git.example:8443", owner: "a", name: "b" },
      { host: "git.example", owner: "A", name: "b" },
      { host: "git.example", owner: "a-b", name: "c" },
      { host: "git.example", owner: "a", name: "b-c" },
      { host: "git.example", owner: "a", name: "b.git" },
    ];
    const keys = those.map((one) => shelf.keyOf({ ...one, url }));
    expect(keys[0]).toBe("git.example/a/b.git");
    expect(new Set(keys).size).toBe(those.length);
  });

  it.each([
    { host: "..", owner: "a", name: "b" },
    { host: ".work", owner: "a", name: "b" },
    { host: "git.example", owner: "..", name: "b" },
    { host: "git.example", owner: "a/../..", name: "b" },
    { host: "git.example", owner: "a", name: "b/../../c" },
    { host: "git.example", owner: "a\0", name: "b" },
    { host: "", owner: "a", name: "b" },
  ])("is never outside of the cache: $host $owner $name", (one) => {
    expect(() => shelf.keyOf({ ...one, url })).toThrow(/was not looked at/);
  });
});
