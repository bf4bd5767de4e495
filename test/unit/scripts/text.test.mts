import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { userCredentials } from "../../../components/secrets/derive.js";
import { readArgs, UsageError } from "../../../scripts/lib/args.mjs";
import { CREDENTIAL_WORDS, credentialText } from "../../../scripts/lib/credentials.mjs";
import { cut, duration, plain, shellQuote, size, table } from "../../../scripts/lib/format.mjs";
import { compareVersions, places } from "../../../scripts/lib/paths.mjs";
import { character, LAST_CHARACTER, placeOf } from "../../lib/characters.js";

describe("shellQuote", () => {
  it("gives a word that a real shell reads back as it was", () => {
    const words = fc.array(
      fc
        .string({ unit: fc.nat(LAST_CHARACTER).map(character, placeOf) })
        .filter((word) => !word.includes("\0")),
      { minLength: 1 },
    );
    fc.assert(
      fc.property(words, (list) => {
        const script = `printf '%s\\0' ${list.map((word) => (word === "" ? "''" : shellQuote(word))).join(" ")}`;
        const out = execFileSync("bash", ["-c", script], { encoding: "buffer" });
        expect(out.equals(Buffer.from(`${list.join("\0")}\0`))).toBe(true);
      }),
      { numRuns: 40 },
    );
  });
  it("leaves plain words alone and quotes the empty one", () => {
    expect(shellQuote("/root/.cache/berth:x=1")).toBe("/root/.cache/berth:x=1");
    expect(shellQuote("a b'c")).toBe("'a b'\\''c'");
    expect(shellQuote("")).toBe("''");
  });
});

describe("a user's passwords and tokens", () => {
  const secrets = {
    vncPassword: "v",
    password: "p",
    codePassword: "c",
    jupyterToken: "j",
    tensorboardPassword: "t",
    sshPrivateKey: "-----BEGIN\nkey\n-----END\n",
    later: "l",
  };
  it("stand in the words of the guide for researchers, the key below", () => {
    const lines = credentialText(secrets).split("\n");
    expect(lines.slice(2, 8).map((line) => line.split(/ {2,}/))).toEqual([
      ["SSH and sudo password", "p"],
      ["VS Code password", "c"],
      ["Jupyter token", "j"],
      ["TensorBoard password", "t"],
      ["desktop password (VNC, noVNC, RDP)", "v"],
      ["later", "l"],
    ]);
    expect(lines.slice(8)).toEqual(["", "SSH private key:", "-----BEGIN", "key", "-----END", ""]);
    const guide = readFileSync(new URL("../../../docs/researchers.md", import.meta.url), "utf8");
    for (const words of ["VS Code password", "Jupyter token", "TensorBoard password"])
      expect(guide).toContain(words);
  });
  it("have words for all that a stack derives", () => {
    const derived = userCredentials("seed", { name: "alice", credentialsVersion: 1, keys: [] } as never);
    expect(Object.keys(CREDENTIAL_WORDS).sort()).toEqual(Object.keys(derived).sort());
  });
});

describe("numbers and tables", () => {
  it.each([
    [400, "0.4 s"],
    [9_940, "9.9 s"],
    [9_960, "10 s"],
    [59_400, "59 s"],
    [59_600, "1 min 00 s"],
    [185_000, "3 min 05 s"],
  ])("%d ms is %s", (ms, text) => expect(duration(ms)).toBe(text));
  it("sizes", () => {
    expect(size(231e6)).toBe("231 MB");
    expect(size(1.44e9)).toBe("1.4 GB");
  });
  it("aligns columns without trailing blanks", () => {
    expect(
      table(
        ["A", "LONG"],
        [
          ["x", "y"],
          ["wide one", ""],
        ],
      ),
    ).toBe("A         LONG\n--------  ----\nx         y\nwide one");
  });
  it("takes colours and cursor moves out, and cuts to a width", () => {
    expect(plain("\u001b[31mred\u001b[0m\r")).toBe("red");
    expect(cut("abcdef", 4)).toBe("abc…");
    expect(cut("abcd", 4)).toBe("abcd");
  });
});

describe("readArgs", () => {
  it("reads the stack in all its spellings, and passes on the rest in order", () => {
    for (const argv of [["--stack", "lab"], ["--stack=lab"], ["-s", "lab"]]) {
      expect(readArgs([...argv, "--diff", "x"], { passThrough: true })).toMatchObject({
        stack: "lab",
        rest: ["--diff", "x"],
      });
    }
    expect(readArgs([]).stack).toBe("dev");
    expect(readArgs(["--", "--stack", "lab"], { passThrough: true })).toMatchObject({
      stack: "dev",
      rest: ["--stack", "lab"],
    });
  });
  it.each([
    [["--stack"], "a value is missing"],
    [["--stack", "../a"], "not a stack's name"],
    [["--stack", "Dev"], "not a stack's name"],
    [["--nope"], "not an option here. Allowed: --stack NAME, --json, --help"],
  ])("refuses %j", (argv, text) => {
    expect(() => readArgs(argv, { flags: ["json"] })).toThrow(UsageError);
    expect(() => readArgs(argv, { flags: ["json"] })).toThrow(text);
  });
});

describe("versions and places", () => {
  it.each([
    ["v3.250.0", "3.250.0", 0],
    ["3.99.9", "3.250.0", -1],
    ["3.250.1-alpha.1", "3.250.0", 1],
    ["v24.0.0", "20.20.2", 1],
    ["1.26.8", "1.25.11", 1],
  ])("%s against %s", (a, b, sign) => expect(Math.sign(compareVersions(a, b))).toBe(sign));
  it("takes BERTH_HOME before XDG before the home folder", () => {
    expect(places({ HOME: "/h" }).state).toBe("/h/.local/share/berth/state");
    expect(places({ HOME: "/h", XDG_DATA_HOME: "/d", XDG_CACHE_HOME: "/c" })).toMatchObject({
      home: "/d/berth",
      pulumiHome: "/c/berth/pulumi-home",
    });
    expect(places({ HOME: "/h", XDG_DATA_HOME: "/d", BERTH_HOME: "/b", BERTH_CACHE: "/k" })).toMatchObject({
      passphrase: "/b/passphrase",
      cache: "/k",
    });
  });
});
