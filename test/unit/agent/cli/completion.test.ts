/** The completion scripts, in the shells that they are for. */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { berth, FakeBerthd, refusal } from "./helpers";

const has = (program: string) => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;

let folder = "";
let scripts: Record<"bash" | "zsh", string>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "berth-completion-"));
  const [bash, zsh] = await Promise.all([berth(["completion", "bash"]), berth(["completion", "zsh"])]);
  expect([bash.code, bash.err, zsh.code, zsh.err]).toEqual([0, "", 0, ""]);
  scripts = { bash: bash.out, zsh: zsh.out };
  for (const [shell, text] of Object.entries(scripts)) writeFileSync(join(folder, shell), text);
  // Stands in for the command that the script asks for ids and names.
  const words =
    '#!/bin/sh\n[ "$1" = __words ] || exit 9\ncase $2 in grants) echo g1; echo g2 ;; users) echo alice ;; tokens) echo ab12 ;; containers) echo c1 ;; esac\n';
  writeFileSync(join(folder, "berth"), words);
  chmodSync(join(folder, "berth"), 0o755);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What bash would offer after these words; the last one is being typed. */
function complete(...words: string[]): string[] {
  const quoted = words.map((word) => `'${word}'`).join(" ");
  const script = `
    source "$1"
    complete -p berth >&2
    COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}
    _berth
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const path = `${folder}:${process.env.PATH}`;
  const done = spawnSync("bash", ["--norc", "-c", script, "bash", join(folder, "bash")], {
    encoding: "utf8",
    env: { ...process.env, PATH: path },
  });
  expect(done.stderr).toBe("complete -F _berth berth\n");
  return done.stdout.split("\n").filter(Boolean);
}

describe("bash", () => {
  it.each([
    [
      ["berth", ""],
      ["gpu", "container", "limits", "declared", "token", "health", "whoami", "completion"],
    ],
    [["berth", "g"], ["gpu"]],
    [["berth", "--v"], ["--version"]],
    [
      ["berth", "gpu", "re"],
      ["request", "release", "restore"],
    ],
    [["berth", "gpu", "request", "--k"], ["--kind"]],
    [
      ["berth", "gpu", "request", "--kind", ""],
      ["gpu", "mig", "share"],
    ],
    [["berth", "gpu", "request", "--kind", "m"], ["mig"]],
    [["berth", "gpu", "request", "--kind", "=", "m"], ["mig"]],
    [
      ["berth", "gpu", "request", "--kind", "="],
      ["gpu", "mig", "share"],
    ],
    [["berth", "gpu", "request", "--strategy", "s"], ["spread"]],
    [["berth", "gpu", "request", "--profile", ""], []],
    [["berth", "gpu", "request", "--user", ""], ["alice"]],
    [["berth", "gpu", "request", "--wait", "--pr"], ["--profile"]],
    [["berth", "gpu", "request", "--profile", "gpu", "--st"], ["--strategy"]],
    [
      ["berth", "gpu", "release", ""],
      ["g1", "g2"],
    ],
    [
      ["berth", "gpu", "release", "--force", "g"],
      ["g1", "g2"],
    ],
    [["berth", "gpu", "release", "g1", ""], []],
    [
      ["berth", "container", "create", "--grant", ""],
      ["g1", "g2"],
    ],
    [["berth", "container", "remove", ""], ["c1"]],
    [["berth", "limits", "show", ""], ["alice"]],
    [
      ["berth", "token", "create", "--role", ""],
      ["admin", "user", "service", "tenant"],
    ],
    [["berth", "token", "rotate", ""], ["ab12"]],
    [["berth", "completion", "z"], ["zsh"]],
    [
      ["berth", "--json", "gpu", "qu"],
      ["quarantine", "queue"],
    ],
  ])("%j offers %j", (words, offered) => {
    expect(complete(...words)).toEqual(offered);
  });

  it("offers every option that --help tells", async () => {
    const { out } = await berth(["gpu", "request", "--help"]);
    const told = [...out.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(([, name]) => name);
    expect(told.length).toBeGreaterThan(8);
    expect(complete("berth", "gpu", "request", "--").sort()).toEqual(told.sort());
  });

  it("never shows what is not for people", () => {
    expect(complete("berth", "__")).toEqual([]);
  });
});

describe.skipIf(!has("zsh"))("zsh", () => {
  it("takes the script", () => {
    const done = spawnSync(
      "zsh",
      [
        "-f",
        "-c",
        'autoload -U compinit; compinit -u -d "$2"; source "$1"; print $_comps[berth]',
        "zsh",
        join(folder, "zsh"),
        join(folder, "dump"),
      ],
      { encoding: "utf8" },
    );
    expect(done).toMatchObject({ status: 0, stdout: "_berth\n", stderr: "" });
  });

  it("offers what bash offers", () => {
    const offer = (words: string[]) => {
      const script = `
        compadd() { while [[ $1 != -- ]]; do shift; done; shift; print -l -- "$@" }
        _describe() { [[ $1 == -o ]] && shift; print -l -- "\${(@P)2}" }
        compdef() { }
        source "$1"; shift
        words=("$@"); CURRENT=$#; _berth`;
      const done = spawnSync("zsh", ["-f", "-c", script, "zsh", join(folder, "zsh"), ...words], {
        encoding: "utf8",
        env: { ...process.env, PATH: `${folder}:${process.env.PATH}` },
      });
      expect(done.stderr).toBe("");
      return done.stdout
        .split("\n")
        .filter(Boolean)
        .map((line) => line.split(":")[0]);
    };
    expect(offer(["berth", "gpu", ""])).toEqual(["status", "request", "release", "queue", "history"]);
    expect(offer(["berth", "gpu", "request", "--kind", ""])).toEqual(["gpu", "mig", "share"]);
    expect(offer(["berth", "gpu", "release", ""])).toEqual(["g1", "g2"]);
    expect(offer(["berth", "gpu", "request", "--kind", "mig", "--"])).toContain("--profile");
  });
});

describe("the words that it asks for", () => {
  it("are ids of grants, requests and tokens, and names of users; nothing that a shell would run", async () => {
    const berthd = await new FakeBerthd({
      "GET /api/grants": () => ({ body: { grants: [{ id: "g1" }, { id: "$(reboot)" }, { id: "a b" }] } }),
      "GET /api/queue": () => ({
        body: {
          queue: [
            { id: "q1", mine: true },
            { id: "q2", mine: false },
          ],
        },
      }),
      "GET /api/tokens": () => ({ body: { tokens: [{ id: "ab12" }] } }),
      "GET /api/limits": () => ({ body: { users: [{ user: "alice" }] } }),
      "GET /api/containers": () => ({
        body: {
          containers: [
            { name: "berth-dev-alice.c1", kind: "created" },
            { name: "berth-dev-workspace-alice", kind: "workspace" },
          ],
        },
      }),
    }).start();
    try {
      const env = { BERTH_SOCKET: berthd.socket };
      expect((await berth(["__words", "grants"], { env })).out).toBe("g1\nq1\n");
      expect((await berth(["__words", "tokens"], { env })).out).toBe("ab12\n");
      expect((await berth(["__words", "users"], { env })).out).toBe("alice\n");
      expect((await berth(["__words", "containers"], { env })).out).toBe("berth-dev-alice.c1\n");
      berthd.routes = { "*": () => refusal(403, { code: "not-allowed", message: "no" }) };
      expect(await berth(["__words", "tokens"], { env })).toEqual({ code: 0, out: "", err: "" });
    } finally {
      await berthd.end();
    }
    expect(await berth(["__words", "grants"], { env: { BERTH_SOCKET: "/nowhere" } })).toEqual({
      code: 0,
      out: "",
      err: "",
    });
  });
});
