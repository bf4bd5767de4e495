/** What `npm run node` sends to nodes and how it reads their answers; and the Ray container's part in it. */
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { factsScript, readFacts } from "../../../scripts/node/facts.mjs";
import type { Job } from "../../../scripts/node/job.mjs";
import { waitForAll } from "../../../scripts/node/restart.mjs";
import { readTold, tellScript } from "../../../scripts/node/workspaces.mjs";
import { missing, shellcheck } from "../../lib/programs.js";
import { mark } from "../../unit/scripts/node-mark.mjs";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-node-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("the scripts that nodes run", () => {
  const scripts = {
    facts: factsScript("dev"),
    "tell and place": tellScript("dev", ["it's $HOME", 'and "more"'], "place"),
    "tell and remove": tellScript("dev", ["back"], "remove"),
  };

  /** A stand-in for docker. */
  function runWith(docker: string, script: string): string {
    mkdirSync(join(folder, "bin"));
    writeFileSync(join(folder, "bin/docker"), `#!/bin/bash\n${docker}\n`);
    chmodSync(join(folder, "bin/docker"), 0o755);
    const env = { PATH: `${join(folder, "bin")}:/usr/bin:/bin` };
    return execFileSync("bash", ["-s"], { input: `set -eu\n${script}\n`, encoding: "utf8", env });
  }

  /** The program inside a script. */
  const programOf = (script: string) =>
    Buffer.from(/^program=(\S+)$/m.exec(script)?.[1] ?? "", "base64").toString("utf8");

  it.each(Object.entries(scripts))("%s: valid for bash", (_, script) => {
    expect(spawnSync("bash", ["-n"], { input: script, encoding: "utf8" }).stderr).toBe("");
    expect(spawnSync("sh", ["-n"], { input: programOf(script), encoding: "utf8" }).stderr).toBe("");
  });

  it.skipIf(missing("shellcheck")).each(Object.entries(scripts))("%s: passes shellcheck", (_, script) => {
    // SC2043, SC2194: a word of this program stands where a variable would.
    for (const [shell, text] of [
      ["bash", script],
      ["sh", programOf(script)],
    ] as const) {
      expect(shellcheck(text, "-s", shell, "-e", "SC2043,SC2194")).toBe("");
    }
  });

  it("say what is on the node", () => {
    const docker = `
case "$*" in
ps\\ *) printf 'workspace\\tws-bob\\tbob\\trunning\\tUp 3 minutes (healthy)\\n'
        printf 'workspace\\tws-eve\\teve\\texited\\tExited (0) 1 hour ago\\n'
        printf 'ray\\tthe-ray\\tsystem\\trunning\\tUp 3 minutes\\n' ;;
*ws-bob\\ ls*) printf '0\\n3\\nptmx\\n' ;;
*the-ray\\ berth-ray\\ state) echo draining ;;
*) exit 9 ;;
esac`;
    const found = readFacts(runWith(docker, factsScript("dev")));
    expect(found).toMatchObject({ docker: true, ray: "draining", rayContainer: "the-ray", mark: undefined });
    expect(found?.boot).toMatch(/^[0-9a-f-]{36}\/\d+$/);
    expect(found?.workspaces).toEqual([
      { name: "ws-bob", owner: "bob", state: "running", healthy: true, terminals: 2 },
      { name: "ws-eve", owner: "eve", state: "exited", healthy: false, terminals: 0 },
    ]);
  });

  it.each([
    ["an image that knows no `state`", "echo usage >&2; exit 2", "old"],
    ["a container that is just ending", "exit 137", "starting"],
  ])("tell %s from the others", (_, state, expected) => {
    const docker = `case "$*" in ps\\ *) printf 'ray\\tr\\tsystem\\trunning\\tUp\\n' ;; *) ${state} ;; esac`;
    expect(readFacts(runWith(docker, factsScript("dev")))?.ray).toBe(expected);
  });

  it.each<[string, boolean, string, true | undefined]>([
    ["are homes on the system's disk", true, ".", true],
    ["are no homes yet", false, ".", undefined],
    ["are homes on another disk", true, "/proc", undefined],
  ])("say whether there %s", (_, somebody, system, expected) => {
    const homes = join(folder, "homes");
    mkdirSync(join(homes, somebody ? "alice" : ""), { recursive: true });
    const script = factsScript("dev", { homes, system: system === "." ? folder : system });
    expect(readFacts(runWith("exit 1", script))?.homesOnDisk).toBe(expected);
  });

  it("say nothing of homes where there is no storage", () => {
    const script = factsScript("dev", { homes: join(folder, "none"), system: folder });
    expect(readFacts(runWith("exit 1", script))?.homesOnDisk).toBeUndefined();
  });

  it.each([
    ["a line more", "printf 'running\\nM\\te30=\\n'"],
    ["no word of its own", "printf 'B\\tother/1\\n'"],
    ["no end", "yes running"],
  ])("take a state and no more from Ray's container, whose tasks may write into it: %s", (_, state) => {
    const docker = `case "$*" in ps\\ *) printf 'ray\\tr\\tsystem\\trunning\\tUp\\n' ;; *) ${state} ;; esac`;
    const found = readFacts(runWith(docker, factsScript("dev")));
    expect(found).toMatchObject({ ray: "starting", mark: undefined });
    expect(found?.boot).not.toContain("other");
  });

  it.each([
    ["printf '1\\nF\\tbob\\033[2J\\n'", { told: [{ owner: "eve", terminals: 0 }], failed: [] }],
    ["yes", { told: [], failed: ["eve"] }],
  ])("take a number and no more from a workspace, whose owner is root in it: %s", (words, expected) => {
    const docker = `case "$*" in ps\\ *) printf 'ws-eve\\teve\\n' ;; *) cat >/dev/null; ${words} ;; esac`;
    expect(readTold(runWith(docker, tellScript("dev", ["down"], "place")))).toEqual(expected);
  });

  it("say when Docker does not answer", () => {
    expect(readFacts(runWith("exit 1", factsScript("dev")))).toMatchObject({ docker: false, ray: "none" });
  });

  it("hand the text to every running workspace as it is, and name the one that is not told", () => {
    const docker = `
case "$*" in
ps\\ *) printf 'ws-bob\\tbob\\nws-eve\\teve\\n' ;;
*ws-bob*) cat >${folder}/text; echo 2 ;;
*) exit 1 ;;
esac`;
    const lines = ["it's $HOME `id`", 'and "more" 100 % \\n'];
    const answer = runWith(docker, tellScript("dev", lines, "place"));
    expect(readTold(answer)).toEqual({ told: [{ owner: "bob", terminals: 2 }], failed: ["eve"] });
    expect(readFileSync(join(folder, "text"), "utf8")).toBe(`${lines.join("\n")}\n`);
  });
});

describe("a node's answer", () => {
  const text = (of: unknown) =>
    Buffer.from(typeof of === "string" ? of : JSON.stringify(of)).toString("base64");

  it("is none unless it is whole", () => expect(readFacts("B\tx\nD\n")).toBeUndefined());

  it("holds the mark", () => {
    expect(readFacts(`B\tb/1\nM\t${text(mark)}\nEND\n`)?.mark).toEqual(mark);
  });

  it("takes a mark that is torn or foreign for one that keeps the node out", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (content) => {
        const found = readFacts(`M\t${text(content)}\nEND\n`)?.mark;
        expect(found).toMatchObject({ workspaces: expect.any(Array), boot: expect.any(String) });
        expect(Number.isNaN(Date.parse(found?.deadline ?? ""))).toBe(false);
        expect(Number.isNaN(Date.parse(found?.since ?? ""))).toBe(false);
      }),
    );
    expect(readFacts(`M\t${text("{")}\nEND\n`)?.mark?.keep).toBe(true);
  });
});

describe("the question to Ray", () => {
  /** Packages that stand in for Ray's; what was asked of them is printed too. */
  function askRay(...args: string[]) {
    const files: Record<string, string> = {
      "ray/__init__.py": "",
      "ray/_raylet.py": `
import json, sys
class GcsClient:
    def __init__(self, address): assert address == "10.0.0.1:6379"
    def drain_node(self, *words, timeout): print(json.dumps(words)); return (False, "no")
`,
      "ray/autoscaler/__init__.py": "",
      "ray/autoscaler/v2/__init__.py": "",
      "ray/autoscaler/v2/sdk.py": `
from types import SimpleNamespace as N
def get_cluster_resource_state(gcs):
    return N(node_states=[N(node_id=b"\\x0a\\x0b", node_ip_address="10.0.0.2", status=3, node_activity=["busy"])])
`,
      "ray/core/__init__.py": "",
      "ray/core/generated/__init__.py": "",
      "ray/core/generated/autoscaler_pb2.py": `
class NodeStatus:
    Name = staticmethod({3: "DRAINING"}.get)
class DrainNodeReason:
    Value = staticmethod({"DRAIN_NODE_REASON_PREEMPTION": 2}.get)
`,
      "ray/util/__init__.py": "",
      "ray/util/state/__init__.py": `
from types import SimpleNamespace as N
import os
from ray.util.state.exception import RayStateApiException
def list_tasks(filters, **more):
    if os.environ.get("BROKEN"): raise RayStateApiException("down")
    return [N(node_id="0a0b", name="train", type="NORMAL_TASK"), N(node_id="0a0b", name="A.m", type="ACTOR_TASK")]
def list_actors(filters, **more): return [N(node_id="0a0b", class_name="A")]
`,
      "ray/util/state/exception.py": "class RayStateApiException(Exception): pass\n",
      token: "t\n",
    };
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(join(folder, path, ".."), { recursive: true });
      writeFileSync(join(folder, path), content);
    }
    return (more: Record<string, string> = {}) => {
      const env = {
        ...{ PATH: process.env.PATH, PYTHONPATH: folder, PYTHONDONTWRITEBYTECODE: "1" },
        ...{ BERTH_RAY_HEAD: "10.0.0.1:6379", BERTH_RAY_PORTS: '{"dashboard": 1}' },
        ...{ BERTH_RAY_DASHBOARD_HOST: "127.0.0.1", RAY_AUTH_TOKEN_PATH: join(folder, "token"), ...more },
      };
      const program = readFileSync(resolve("scripts/node/cluster.py"), "utf8");
      const done = spawnSync("python3", ["-", ...args], { input: program, encoding: "utf8", env });
      expect(done.status, done.stderr).toBe(0);
      return done.stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
    };
  }

  it("gives nodes and what runs, a method of an actor not twice", () => {
    expect(askRay("state")()).toEqual([
      {
        nodes: [{ id: "0a0b", address: "10.0.0.2", state: "DRAINING", activity: ["busy"] }],
        shown: [], // Nothing listens on the dashboard's port here.
        work: [
          { node: "0a0b", name: "train" },
          { node: "0a0b", name: "actor A" },
        ],
      },
    ]);
  });

  it("does not take an unknown count for none", () => {
    expect(askRay("state")({ BROKEN: "1" })).toMatchObject([{ work: null }]);
  });

  it("hands on when a node goes, and that Ray refused", () => {
    const answers = askRay("drain", "0a0b", "node-1: it's time", "1795248000000")();
    expect(answers).toEqual([
      ["0a0b", 2, "node-1: it's time", 1795248000000],
      { accepted: false, why: "no" },
    ]);
  });
});

describe("Ray's container on a drained node", () => {
  /** Runs Python that knows `berth_ray`; what it prints last, as JSON. */
  function berthRay(code: string, env: Record<string, string> = {}) {
    const program = `import sys, json; sys.dont_write_bytecode = True; sys.path.insert(0, sys.argv[1])\nimport berth_ray\n${code}`;
    const text = execFileSync("python3", ["-I", "-c", program, resolve("images/ray"), folder], {
      encoding: "utf8",
      env: { PATH: process.env.PATH, RAY_AUTH_TOKEN_PATH: join(folder, "token"), ...env },
    });
    return JSON.parse(text.trim().split("\n").at(-1) ?? "");
  }

  /** What stands in /proc: a process's name and words. */
  function processes(all: [name: string, words: string[]][]): void {
    for (const [i, [name, words]] of all.entries()) {
      mkdirSync(join(folder, "proc", String(i + 1)), { recursive: true });
      writeFileSync(join(folder, "proc", String(i + 1), "comm"), `${name}\n`);
      writeFileSync(
        join(folder, "proc", String(i + 1), "cmdline"),
        words.map((word) => `${word}\0`).join(""),
      );
    }
    mkdirSync(join(folder, "proc/self"), { recursive: true });
  }
  const STATE = `
runs = berth_ray.process_runs
berth_ray.process_runs = lambda name, words=(): runs(name, words, sys.argv[2] + "/proc")
import os
print(json.dumps(berth_ray.state(os.environ)))`;
  const start: [string, string[]] = [
    "ray",
    ["/opt/venv/bin/python3", "/opt/venv/bin/ray", "start", "--block"],
  ];

  it.each<[string, boolean, [string, string[]][]]>([
    ["starting", false, [["python3", ["python3", "berth_ray.py", "worker"]]]],
    ["running", false, [start, ["raylet", ["raylet"]]]],
    ["draining", true, [start, ["raylet", ["raylet"]]]],
    // The raylet has gone in order, and `ray start --block` waits on: it would not start again.
    ["draining", true, [start]],
    ["drained", true, [["python3", ["python3", "berth_ray.py", "worker"]]]],
  ])("is %s (held: %s)", (expected, held, all) => {
    processes(all);
    if (held) writeFileSync(join(folder, "drained"), "");
    expect(berthRay(STATE)).toBe(expected);
  });

  it("starts nothing while it is held, and goes on when it is not", () => {
    writeFileSync(join(folder, "drained"), "");
    const code = `
import os
asked = []
def sleep(seconds):
    asked.append("waits")
    if len(asked) == 3:
        os.remove(sys.argv[2] + "/drained")
berth_ray.time.sleep = sleep
class Child:
    returncode = 0
    def __init__(self, words, env): asked.append(words[1])
berth_ray.subprocess.Popen = Child
berth_ray.start_command = lambda role, settings: ["ray", "start"]
berth_ray.watch = lambda role, settings, child: None
code = berth_ray.serve("head", {})
print(json.dumps({"asked": asked, "code": code}))`;
    expect(berthRay(code)).toEqual({ asked: ["waits", "waits", "waits", "start"], code: 1 });
  });

  it.each(["head", "worker"])("as %s ends when its raylet has ended in order", (role) => {
    const code = `
lives = iter([False, True, True, False])
berth_ray.process_runs = lambda name, words=(): next(lives)
berth_ray.dial = lambda address: True
berth_ray.session_name = lambda settings: "s"
class Child:
    def poll(self): return None
    def wait(self, timeout): pass
print(json.dumps(berth_ray.watch("${role}", {"head": "h:1"}, Child())))`;
    expect(berthRay(code)).toBe("the raylet has ended");
  });
});

describe("what is waited for after a restart", () => {
  /** A job whose node answers its facts with these lines. */
  function waiting(...lines: string[]) {
    mkdirSync(join(folder, "bin"));
    const said = lines.map((text) => `printf '%b\\n' '${text}'`).join("\n");
    const ssh = `#!/bin/bash\nif grep -q is-system-running; then echo running; exit; fi\n${said}\necho END\n`;
    writeFileSync(join(folder, "bin/ssh"), ssh);
    chmodSync(join(folder, "bin/ssh"), 0o755);
    const warnings: string[] = [];
    const done: string[] = [];
    const step = {
      note: () => {},
      line: () => {},
      done: (way: string) => void done.push(way),
      failed: () => {},
    };
    const job = {
      ...{ stack: "dev", warnings, ui: { step: () => step } },
      node: { name: "node-1", address: "10.88.0.11" },
      way: { folder, env: { PATH: `${join(folder, "bin")}:/usr/bin:/bin` } },
    };
    return { job: job as unknown as Job, warnings, done };
  }
  const alice = (state: string) => `W\\tberth-dev-workspace-alice\\talice\\t${state}\\t0`;
  const bob = "W\\tberth-dev-workspace-bob\\tbob\\trunning\\tUp 2 minutes (healthy)\\t0";

  it("is each workspace, and one that stays ill keeps no node out", async () => {
    const { job, warnings, done } = waiting("D", alice("restarting\\tRestarting (1)"), bob);
    await waitForAll(job, ["alice", "bob"], 100);
    expect(warnings).toEqual([
      expect.stringMatching(/^node-1: not healthy .*the workspaces of alice\. Look/),
    ]);
    expect(done).toEqual(["system running, Docker, 1 workspace"]);
  });

  it("is nothing more once all are well", async () => {
    const { job, warnings } = waiting("D", alice("running\\tUp (healthy)"), bob);
    await waitForAll(job, ["alice", "bob"], 100);
    expect(warnings).toEqual([]);
  });

  it("is Docker, without which nothing can be", async () => {
    await expect(waitForAll(waiting().job, ["alice"], 100)).rejects.toThrow(/Docker does not answer/);
  });
});
