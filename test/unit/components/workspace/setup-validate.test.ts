import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { repositoryPath, type SetupConfig, validateSetup } from "../../../../components/workspace/setup";
import { character, LAST_CHARACTER, placeOf } from "../../../lib/characters";

const paths = (setup: SetupConfig): string[] => validateSetup("s", setup).map((problem) => problem.path);

const full: SetupConfig = {
  credentials: { HF_TOKEN: "x", _a1: "" },
  aptPackages: ["git", "g++", "libstdc++6", "python3.13-venv"],
  dotfiles: { repository: "git@github.com:alice/dotfiles.git", branch: "main" },
  git: {
    name: "Alice O'Neil",
    email: "alice@example.org",
    config: {
      "pull.rebase": "true",
      "credential.https://github.com.helper": '!f() { . ~/.env; echo "password=$TOKEN"; }; f',
    },
  },
  repositories: [
    { url: "https://github.com/org/reward_seeker.git" },
    { url: "ssh://git@example.org:2222/~alice/a.b", path: "/workspace/ab", branch: "feature/x-1" },
    { url: "file:///srv/git/tools" },
    { url: "/srv/git/other.git", path: "~/workspace/deep/other" },
  ],
  python: {
    version: "3.13",
    venv: "~/workspace/venv",
    packages: [
      "numpy",
      "torch==2.9.*",
      "ray[default,tune]>=2.60, <3",
      'uvloop ; sys_platform != "win32"',
      "mine @ git+https://example.org/mine.git@v1.2",
      "flash-attn-3 @ git+https://github.com/Dao-AILab/flash-attention.git@main#subdirectory=hopper",
      "lib @ git+ssh://git@example.org/a/lib.git@v1.0+cu12#egg=lib&subdirectory=python/lib",
      "kernel @ git+https://example.org/k.git#subdirectory=src ; python_version >= '3.11'",
      "wheel-of @ https://example.org/a-1.0-py3-none-any.whl#sha256=ab",
    ],
    requirements: "~/workspace/reward_seeker/requirements.txt",
  },
  services: [
    { name: "exec", command: "python -m exec --port 9000", cwd: "~/workspace/reward_seeker" },
    { name: "server", command: `echo "it's" && exec ./serve; true` },
  ],
};

describe("validateSetup", () => {
  it("takes a set-up that uses everything, and an empty one", () => {
    expect(validateSetup("s", full)).toEqual([]);
    expect(validateSetup("s", {})).toEqual([]);
  });

  const bad: [string, SetupConfig, string][] = [
    ["a variable with a digit first", { credentials: { "1A": "x" } }, 's.credentials["1A"]'],
    ["a variable with a command", { credentials: { "A;id": "x" } }, 's.credentials["A;id"]'],
    ["a variable that bash owns", { credentials: { SHELLOPTS: "x" } }, 's.credentials["SHELLOPTS"]'],
    ["PATH", { credentials: { PATH: "x" } }, 's.credentials["PATH"]'],
    ["a NUL in a value", { credentials: { A: "a\0b" } }, "s.credentials.A"],
    ["a value of a megabyte", { credentials: { A: "x".repeat(1 << 20) } }, "s.credentials.A"],
    ["an option as a package", { aptPackages: ["--reinstall"] }, "s.aptPackages[0]"],
    ["a package to remove", { aptPackages: ["git", "vim-"] }, "s.aptPackages[1]"],
    ["a package with a version", { aptPackages: ["vim=1"] }, "s.aptPackages[0]"],
    ["a package with a blank", { aptPackages: ["vim tree"] }, "s.aptPackages[0]"],
    ["a dotfiles shorthand", { dotfiles: { repository: "alice" } }, "s.dotfiles.repository"],
    ["a branch that is an option", { dotfiles: { repository: "/a", branch: "--x" } }, "s.dotfiles.branch"],
    ["a reflog as a branch", { dotfiles: { repository: "/a", branch: "a@{1}" } }, "s.dotfiles.branch"],
    ["a name of two lines", { git: { name: "a\nb" } }, "s.git.name"],
    ["a name that forges an address", { git: { name: "a <b@c>" } }, "s.git.name"],
    ["an address without @", { git: { email: "alice" } }, "s.git.email"],
    ["a git key without a section", { git: { config: { name: "x" } } }, 's.git.config["name"]'],
    ["a git key that is an option", { git: { config: { "--a.b": "x" } } }, 's.git.config["--a.b"]'],
    ["a git value of two lines", { git: { config: { "a.b": "x\ny" } } }, 's.git.config["a.b"]'],
    ["a name twice", { git: { name: "a", config: { "User.Name": "b" } } }, 's.git.config["User.Name"]'],
    ["a path that climbs", { repositories: [{ url: "/a/b", path: "~/../b" }] }, "s.repositories[0].path"],
    ["a relative path", { repositories: [{ url: "/a/b", path: "b" }] }, "s.repositories[0].path"],
    ["the home itself", { repositories: [{ url: "/a/b", path: "~" }] }, "s.repositories[0].path"],
    ["another's home", { repositories: [{ url: "/a/b", path: "~bob/b" }] }, "s.repositories[0].path"],
    ["one place twice", { repositories: [{ url: "/a/b" }, { url: "/c/b.git" }] }, "s.repositories[1].path"],
    ["a URL without a name", { repositories: [{ url: "https://a/.git" }] }, "s.repositories[0].path"],
    ["Python 2", { python: { version: "2.7" } }, "s.python.version"],
    ["a venv that climbs", { python: { venv: "/a/../b" } }, "s.python.venv"],
    ["a requirements option", { python: { requirements: "--x" } }, "s.python.requirements"],
    ["an option as a requirement", { python: { packages: ["-r/etc/passwd"] } }, "s.python.packages[0]"],
    ["a short option as a requirement", { python: { packages: ["-e"] } }, "s.python.packages[0]"],
    ["a path as a requirement", { python: { packages: ["./x"] } }, "s.python.packages[0]"],
    ["a folder as a requirement", { python: { packages: ["a/b"] } }, "s.python.packages[0]"],
    [
      "a token behind the fragment",
      { python: { packages: ["x @ https://h/x#a=b@c"] } },
      "s.python.packages[0]",
    ],
    ["two requirements", { python: { packages: ["a b"] } }, "s.python.packages[0]"],
    ["a session with a dot", { services: [{ name: "a.b", command: "x" }] }, "s.services[0].name"],
    ["a session option", { services: [{ name: "-x", command: "x" }] }, "s.services[0].name"],
    [
      "a session twice",
      {
        services: [
          { name: "a", command: "x" },
          { name: "a", command: "y" },
        ],
      },
      "s.services[1].name",
    ],
    ["an empty command", { services: [{ name: "a", command: " " }] }, "s.services[0].command"],
    ["a command of two lines", { services: [{ name: "a", command: "a\nb" }] }, "s.services[0].command"],
    ["a folder that climbs", { services: [{ name: "a", command: "a", cwd: "~/.." }] }, "s.services[0].cwd"],
  ];
  it.each(bad)("refuses %s", (_, setup, path) => expect(paths(setup)).toEqual([path]));

  it.each([
    "ext::sh -c id",
    "--upload-pack=id",
    "-u",
    "http://plain.example/x",
    "https://user:secret@example.org/x",
    "https://token@example.org/x",
    "ssh://-oProxyCommand=id/x",
    "git@-oProxyCommand=id:x",
    "git@host:-x",
    "git://host/x",
    "alice/dotfiles",
    "../x",
    "file://host/x",
    "https://example.org/x?y",
    "https://example.org/a b",
    "https://example.org/$(id)",
    "/a\n/b",
    "",
  ])("refuses the repository %j", (url) => {
    expect(paths({ repositories: [{ url, path: "~/x" }] })).toEqual(["s.repositories[0].url"]);
  });

  it("finds everything at once", () => {
    expect(paths({ aptPackages: ["A", "b_"], services: [{ name: ".", command: "" }] })).toHaveLength(4);
  });

  it("shows no secret of what it refuses", () => {
    const problems = validateSetup("s", {
      credentials: { A: `hunter2\0`, "B-": "hunter2" },
      dotfiles: { repository: "https://alice:hunter2@example.org/x" },
      repositories: [{ url: "https://hun/ter2:hunter2@x/y", path: "~/x" }, { url: "https://x/y?t=hunter2" }],
      python: { packages: ["--index-url=https://u:hunter2@x", "x @ https://u:hunter2@x/y"] },
    });
    expect(problems).toHaveLength(7);
    expect(JSON.stringify(problems)).not.toContain("hunter2");
  });

  it("lets nothing pass that begins like an option or holds a control character", () => {
    const nasty = fc.oneof(
      fc.string({ unit: fc.nat(LAST_CHARACTER).map(character, placeOf) }).map((text) => `-${text}`),
      fc
        .tuple(fc.string(), fc.constantFrom("\n", "\r", "\0", "\x1b", "\x7f"), fc.string())
        .map((x) => x.join("")),
    );
    fc.assert(
      fc.property(nasty, (text) => {
        expect(paths({ aptPackages: [text] })).toHaveLength(1);
        expect(paths({ dotfiles: { repository: text, branch: text } })).toHaveLength(2);
        expect(paths({ repositories: [{ url: text, path: text, branch: text }] })).toHaveLength(3);
        const python = { version: text, venv: text, packages: [text], requirements: text };
        expect(paths({ python })).toHaveLength(4);
        expect(paths({ services: [{ name: text, command: "x", cwd: text }] })).toHaveLength(2);
        expect(paths({ git: { config: { [text]: "x" } } })).toHaveLength(1);
        expect(paths({ credentials: { [text]: "x" } })).toHaveLength(1);
      }),
    );
  });

  it("lets no shell character pass where a word is meant", () => {
    const word = fc
      .tuple(fc.stringMatching(/^[a-z]{1,5}$/), fc.constantFrom(..."$`;|&<>(){}[]*?!\"'\\# \t"), fc.string())
      .map((x) => x.join(""));
    fc.assert(
      fc.property(word, (text) => {
        expect(paths({ aptPackages: [text] })).toHaveLength(1);
        expect(paths({ repositories: [{ url: `https://x/${text}`, path: "~/x" }] })).toHaveLength(1);
        expect(paths({ repositories: [{ url: "/x", path: "~/x", branch: text }] })).toHaveLength(1);
        expect(paths({ services: [{ name: text, command: "x" }] })).toHaveLength(1);
      }),
    );
  });
});

describe("repositoryPath", () => {
  it.each([
    ["git@github.com:org/a.git", "~/workspace/a"],
    ["git@github.com:a", "~/workspace/a"],
    ["https://x/y/reward_seeker/", "~/workspace/reward_seeker"],
    ["https://x/..", undefined],
    ["file:///srv/.git", undefined],
  ])("of %s is %s", (url, path) => expect(repositoryPath({ url })).toBe(path));
});
