import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { stageBody } from "../../components/host/stage";
import {
  environmentLines,
  planSteps,
  programText,
  renderSetup,
  type SetupConfig,
  validateSetup,
} from "../../components/workspace/setup";
import { bash, FakeNode, type Finished, parseSetupFacts } from "../fakes/workspace-node";
import { character, LAST_CHARACTER, placeOf } from "../lib/characters";
import { missing, shellcheck } from "../lib/programs";

const SECRET = `hunter2 'q' "d" $(id) \`id\` \\ end`;

const full: SetupConfig = {
  credentials: { TOKEN: SECRET, KEY: `${SECRET}\nsecond line\n` },
  aptPackages: ["git", "g++", "git"],
  dotfiles: { repository: "/srv/dot.git" },
  git: { name: "Alice O'Neil", email: "a@example.org", config: { "alias.st": "status -s" } },
  repositories: [{ url: "https://example.org/a.git" }, { url: "git@example.org:b", path: "/workspace/b" }],
  python: {
    version: "3.13",
    packages: ["numpy<3", "ray[default] >= 2"],
    requirements: "~/workspace/a/r.txt",
  },
  services: [{ name: "exec", command: `echo "it's $HOME"` }],
};

let node: FakeNode;
beforeEach(() => {
  node = new FakeNode();
});
afterEach(() => node.remove());

const render = (setup: SetupConfig, more: object = {}) =>
  renderSetup({
    user: "alice",
    node: "node-0",
    container: "berth-setuptest",
    setup,
    paths: node.paths,
    ...more,
  });

describe("planSteps", () => {
  it("keeps the order in which each step may use the ones before", () => {
    expect(planSteps(full).map((step) => step.name)).toEqual([
      "credentials",
      "apt packages",
      "dotfiles /srv/dot.git",
      "git",
      "clone https://example.org/a.git",
      "clone git@example.org:b",
      "python",
      "services",
    ]);
    expect(
      planSteps(full)
        .filter((step) => step.asRoot)
        .map((step) => step.program),
    ).toEqual(["apt", "git"]);
  });

  it("takes back what a set-up that is empty now had made before", () => {
    expect(planSteps({}).map(({ program, args }) => [program, args])).toEqual([
      ["credentials", ["0"]],
      ["git", []],
      ["services", ['{"services":[]}']],
    ]);
  });

  it("gives two clones of one URL names of their own", () => {
    const url = "https://example.org/a";
    const names = planSteps({ repositories: [{ url }, { url, path: "~/b" }] }).map((step) => step.name);
    expect(new Set(names).size).toBe(names.length);
  });
});

describe("the rendered command", () => {
  it("is bash that parses, with and without everything", () => {
    for (const setup of [full, {}]) {
      const done = spawnSync("bash", ["-n"], { input: stageBody(render(setup).command), encoding: "utf8" });
      expect(done.stderr).toBe("");
      expect(done.status).toBe(0);
    }
  });

  it.skipIf(missing("shellcheck"))("has no finding of shellcheck", () => {
    // Its programs are checked as files; what this adds is sourced from a file.
    const ignored = "SC1091,SC2034,SC2154,SC2317,SC2329,SC2015,SC2016,SC2088,SC2094";
    expect(shellcheck(stageBody(render(full).command), "-s", "bash", "-e", ignored)).toBe("");
  });

  it("holds no secret", () => {
    const { command, stdin } = render(full);
    expect(command).not.toContain("hunter2");
    expect(JSON.parse(stdin ?? "")).toEqual({
      env: `${environmentLines(full.credentials ?? {}).join("\n")}\n`,
    });
    expect(render({}).stdin).toBeUndefined();
  });

  it("changes with the container's instance, and with nothing else by itself", () => {
    expect(render(full, { instance: "a" }).command).toBe(render(full, { instance: "a" }).command);
    expect(render(full, { instance: "a" }).command).not.toBe(render(full, { instance: "b" }).command);
  });
});

describe("a run", () => {
  it("passes each step its words, as its user, and the secrets on standard input alone", () => {
    const { command, stdin } = render(full);
    const done = node.run(command, stdin);
    expect(done).toMatchObject({ status: 0, stderr: "" });
    const facts = parseSetupFacts(done.stdout);
    expect(facts.steps.map(({ name, status }) => [name, status])).toEqual(
      planSteps(full).map(({ name }) => [name, "unchanged"]),
    );
    expect(facts.changed).toEqual([]);

    for (const step of planSteps(full)) expect(node.arguments(step.program)).toContainEqual(step.args);
    const [, credentials, apt] = node.calls();
    expect(credentials?.argv.slice(0, 6)).toEqual(["exec", "-i", "-u", "alice", "-w", "/home/alice"]);
    expect(apt?.argv.slice(0, 6)).toEqual(["exec", "-i", "-u", "root", "-w", "/root"]);
    expect(credentials?.stdin).toBe(JSON.parse(stdin ?? "").env);
    expect(node.calls().filter((call) => call.stdin !== "")).toHaveLength(1);
    expect(
      JSON.stringify(node.calls().map((call) => call.argv)) + node.logText() + done.stdout,
    ).not.toContain("hunter2");
    expect(statSync(node.log).mode & 0o777).toBe(0o600);
  });

  it("tries every step, then fails with each failure in a line", () => {
    node.answer(
      "clone",
      'case "$*" in *example.org:b*) echo noise >&2; echo "fatal: no such thing" >&2; exit 128 ;; esac; echo changed',
    );
    node.answer("python", "exit 124");
    node.answer("git", "echo nonsense");
    const { command, stdin } = render(full);
    const done = node.run(command, stdin);
    expect(done.status).toBe(1);
    expect(done.stdout).toBe("");
    const end = `, log ${node.log} on node-0`;
    expect(done.stderr).toContain(
      `set-up of alice, step "clone git@example.org:b" failed (exit 128): noise | fatal: no such thing${end}`,
    );
    expect(done.stderr).toContain(
      `step "python" failed (not done within 1800 s, exit 124): nothing was printed${end}`,
    );
    expect(done.stderr).toContain(`step "git" failed (exit 70): the program ended without a result${end}`);
    expect(done.stderr.match(/^set-up of alice/gm)).toHaveLength(3);
    expect(node.arguments("services")).toHaveLength(1);
  });

  it("reports what changed, and the notes", () => {
    node.answer("clone", "echo changed");
    node.answer("dotfiles", `printf 'changed kept: .ba"sh\\\\rc\\n'`);
    const { command, stdin } = render(full);
    const facts = parseSetupFacts(node.run(command, stdin).stdout);
    expect(facts.changed).toHaveLength(3);
    expect(facts.steps[2]).toMatchObject({ status: "changed", note: `kept: .ba"sh\\rc` });
  });

  it("does nothing before the workspace is ready, and says what is the matter with it", () => {
    node.answer("ready", "echo sshd does not answer >&2; exit 1");
    const { command, stdin } = render(full, { readySeconds: 1 });
    const done = node.run(command, stdin);
    expect(done.status).toBe(1);
    expect(done.stderr).toContain('step "wait for berth-setuptest" failed');
    expect(done.stderr).toContain("sshd does not answer");
    expect(node.arguments("credentials")).toEqual([]);
  });

  it("hands any text on as exactly one argument", () => {
    const text = fc
      .string({ unit: "grapheme", minLength: 1, maxLength: 30 })
      .filter((x) => !/\p{Cc}/u.test(x));
    const hostile = fc.oneof(
      text,
      fc.constantFrom("$(touch x)", "`id`", "';id;'", '"$HOME"', "BERTH_FILE", "-rf", "~"),
    );
    fc.assert(
      fc.property(fc.array(hostile, { minLength: 3, maxLength: 3 }), ([a, b, c]) => {
        const fresh = new FakeNode();
        try {
          const setup: SetupConfig = {
            git: { name: a, config: { "x.y": b as string } },
            services: [{ name: "s", command: c as string }],
          };
          const { command } = renderSetup({
            ...{ user: "alice", node: "node-0", container: "berth-setuptest", setup, paths: fresh.paths },
          });
          expect(fresh.run(command, "")).toMatchObject({ status: 0, stderr: "" });
          expect(fresh.arguments("git")).toEqual([["user.name", a, "x.y", b]]);
          expect(fresh.arguments("services")).toEqual([
            [JSON.stringify({ services: [{ name: "s", command: c, cwd: "~" }] })],
          ]);
        } finally {
          fresh.remove();
        }
      }),
      { numRuns: 12 },
    );
  });
});

describe("credentials, in the workspace", () => {
  let home: string;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "berth-home-"));
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));
  const file = () => join(home, ".env");

  function write(credentials: Record<string, string>, count = Object.keys(credentials).length): Finished {
    const lines = environmentLines(credentials).map((line) => `${line}\n`);
    const script = `${programText("credentials")}`;
    const done = spawnSync("bash", ["-c", script, "berth-credentials", String(count)], {
      input: lines.join(""),
      encoding: "utf8",
      env: { PATH: process.env.PATH, HOME: home },
    });
    return { status: done.status, stdout: done.stdout.trim(), stderr: done.stderr };
  }
  const sourced = (...names: string[]) =>
    bash(`. "$HOME/.env"; printf '%s\\0' ${names.map((name) => `"$${name}"`).join(" ")}`, "", {
      PATH: process.env.PATH,
      HOME: home,
    })
      .stdout.split("\0")
      .slice(0, -1);

  it("writes a file that only its user reads, once", () => {
    expect(write({ A: SECRET })).toEqual({ status: 0, stdout: "changed", stderr: "" });
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    expect(sourced("A")).toEqual([SECRET]);
    const { ino, mtimeMs } = statSync(file());
    expect(write({ A: SECRET }).stdout).toBe("unchanged");
    expect(statSync(file())).toMatchObject({ ino, mtimeMs });
  });

  it("exports any value whatever, in one line", () => {
    const value = fc
      .string({ unit: fc.nat(LAST_CHARACTER).map(character, placeOf), maxLength: 60 })
      .map((x) => x.replaceAll("\0", ""));
    fc.assert(
      fc.property(fc.array(value, { minLength: 20, maxLength: 20 }), (values) => {
        const names = values.map((_, i) => `V${i}`);
        expect(write(Object.fromEntries(values.map((x, i) => [`V${i}`, x]))).status).toBe(0);
        expect(sourced(...names)).toEqual(values.map((x) => Buffer.from(x).toString()));
        expect(readFileSync(file(), "utf8").split("\n")).toHaveLength(values.length + 4);
      }),
      { numRuns: 10 },
    );
  });

  it("keeps the person's own lines and takes its own back", () => {
    writeFileSync(file(), "MINE=1\nlast line without an end", { mode: 0o644 });
    write({ A: "1", B: "2" });
    writeFileSync(file(), `${readFileSync(file(), "utf8")}AFTER=1\n`);
    write({ B: "3" });
    expect(readFileSync(file(), "utf8")).toMatch(
      /^MINE=1\nlast line without an end\n# >>> .*\n# .*\nexport B='3'\n# <<< .*\nAFTER=1\n$/,
    );
    expect(write({}).stdout).toBe("changed");
    expect(readFileSync(file(), "utf8")).toBe("MINE=1\nlast line without an end\nAFTER=1\n");
    expect(write({}).stdout).toBe("unchanged");
  });

  it("removes a file that held nothing else, and leaves alone one that holds nothing of it", () => {
    write({ A: "1" });
    expect(write({}).stdout).toBe("changed");
    expect(() => statSync(file())).toThrow("ENOENT");
    expect(write({}).stdout).toBe("unchanged");
    writeFileSync(file(), "MINE=1", { mode: 0o644 });
    expect(write({}).stdout).toBe("unchanged");
    expect(statSync(file()).mode & 0o777).toBe(0o644);
  });

  it("makes a file that others could read private again", () => {
    write({ A: "1" });
    spawnSync("chmod", ["0644", file()]);
    expect(write({ A: "1" }).stdout).toBe("changed");
    expect(statSync(file()).mode & 0o777).toBe(0o600);
  });

  it("fails, with the file as it was, when a mark is broken, lines are missing, or it is a link", () => {
    writeFileSync(file(), "# >>> berth credentials >>>\nMINE=1\n");
    expect(write({ A: SECRET })).toMatchObject({ status: 1, stdout: "" });
    expect(readFileSync(file(), "utf8")).toBe("# >>> berth credentials >>>\nMINE=1\n");
    rmSync(file());
    expect(write({ A: SECRET }, 2).stderr).toContain("1 of 2 credentials");
    mkdirSync(join(home, "repo"));
    symlinkSync(join(home, "repo", "env"), file());
    const done = write({ A: SECRET });
    expect(done.stderr).toContain("symbolic link");
    expect(done.stderr).not.toContain("hunter2");
  });
});

describe("a set-up that the validator took", () => {
  it("can be rendered", () => {
    expect(validateSetup("s", full)).toEqual([]);
    expect(() => render(full)).not.toThrow();
  });
});
