/**
 * A rendered stage, run by real shells on this computer in a folder of its own.
 * Proves: what the contract of a stage says about output, log, lock, deadlines, secrets and failures.
 */
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MAX_COMMAND_BYTES, parseFacts, renderStage, type StageOptions } from "../../components/host/stage";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-stage-"));
  // A stage asks for root; these ones need none.
  writeFileSync(join(folder, "id"), "#!/bin/sh\necho 0\n");
  chmodSync(join(folder, "id"), 0o755);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function render(options: Partial<StageOptions>): string {
  return renderStage({
    name: "demo",
    node: "node-7",
    steps: [],
    paths: { logs: join(folder, "log"), state: join(folder, "state"), lock: join(folder, "lock") },
    ...options,
  });
}

interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

function run(command: string, input = "", shell = "bash", before: string[] = []): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(shell, [...before, "-c", command], {
      env: { PATH: `${folder}:${process.env.PATH}`, HOME: folder, TMPDIR: folder },
    });
    const ran: Ran = { code: null, stdout: "", stderr: "" };
    child.stdout.on("data", (data) => {
      ran.stdout += String(data);
    });
    child.stderr.on("data", (data) => {
      ran.stderr += String(data);
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ ...ran, code }));
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
}

const log = () => readFileSync(join(folder, "log", "demo.log"), "utf8");

describe("a stage", () => {
  it("shows the end of its log without what moves a terminal's cursor or turns its lines round", async () => {
    const body = String.raw`printf 'caf\xc3\xa9\t\xe2\x82\xac \033[31mred \xc2\x9b2J\xe2\x80\xaeback\xe2\x81\xa6 \xc2\x9d0;title\n'; exit 3`;
    const { code, stderr } = await run(render({ steps: [{ name: "say", body }] }));
    expect(code).toBe(3);
    expect(stderr.trim().split("\n").at(-2)).toBe("café\t€ [31mred 2Jback 0;title");
  });

  it("prints one line of facts, and logs the rest for root alone", async () => {
    const steps = [
      {
        name: "speak",
        body: 'echo out; echo err >&2; fact text "a \\"b\\" \\\\ c"; changed thing; changed thing',
      },
      {
        name: "count",
        body: "fact_json number 7; printf '%s\\n' x 'y z' | { fact_json list \"$(json_lines)\"; }",
      },
    ];
    const { code, stdout, stderr } = await run(render({ steps, facts: { fixed: true, of: "stage" } }));
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(parseFacts(stdout)).toEqual({
      fixed: true,
      of: "stage",
      text: 'a "b" \\ c',
      number: 7,
      list: ["x", "y z"],
      stage: "demo",
      changed: ["thing"],
    });
    expect(log()).toMatch(/out\nerr\n/);
    expect(statSync(join(folder, "log", "demo.log")).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, "log")).mode & 0o777).toBe(0o700);
  });

  it.each(["bash", "dash", "sh", "zsh", "busybox"])("works from the login shell %s", async (shell) => {
    const steps = [{ name: "quote", body: 'fact quotes "it\'s \\$HOME $((1 + 1))"' }];
    const command = render({ steps });
    const installed = (await run(`command -v ${shell}`)).code === 0;
    if (!installed) {
      console.warn(`NOT TESTED: the login shell ${shell} is not installed here`);
      return;
    }
    // busybox is its shell by the name it is called by.
    const { stdout, stderr } = await run(command, "", shell, shell === "busybox" ? ["sh"] : []);
    expect(stderr).toBe("");
    expect(parseFacts(stdout).quotes).toBe("it's $HOME 2");
  });

  it("is not disturbed by a .bashrc that prints", async () => {
    // Standard input is a socket here, which bash takes for a remote command, as over SSH.
    writeFileSync(join(folder, ".bashrc"), "echo Welcome\n");
    const { stdout } = await run(render({}), "", "dash");
    expect(parseFacts(stdout).stage).toBe("demo");
  });

  it("names the step, the log and the node, with the last lines, when a step fails", async () => {
    const steps = [
      { name: "first", body: "seq 1 50" },
      { name: "install packages", body: "echo cause; false; echo never" },
      { name: "third", body: "touch never" },
    ];
    const { code, stdout, stderr } = await run(render({ steps }));
    expect(code).toBe(1);
    expect(stdout).toBe("");
    const [first, ...rest] = stderr.trimEnd().split("\n");
    expect(first).toBe(
      `stage demo, step "install packages" failed: see ${join(folder, "log", "demo.log")} on node-7`,
    );
    expect(rest).toHaveLength(20);
    expect(stderr).toContain("cause\nexit 1 from: false");
    expect(log()).not.toContain('step "third"');
  });

  it("stops at a failure inside a pipe, a function, a command substitution", async () => {
    for (const body of [
      "false | cat",
      "f() { false; echo on; }; f",
      'x=$(false); echo "$x"',
      'echo "$unset_one"',
    ]) {
      expect((await run(render({ steps: [{ name: "s", body }] }))).code, body).not.toBe(0);
    }
  });

  it("ends a step with all that it started at its deadline", async () => {
    const steps = [{ name: "slow", body: `sleep 60 & echo $! > ${folder}/pid; wait`, deadlineSeconds: 1 }];
    const began = Date.now();
    const { code, stderr } = await run(render({ steps }));
    expect(code).not.toBe(0);
    expect(Date.now() - began).toBeLessThan(15_000);
    expect(stderr).toContain('step "slow" failed');
    expect(stderr).toContain("the step ran past its deadline of 1 s");
    const pid = Number(readFileSync(join(folder, "pid"), "utf8"));
    // Gone, or only waiting to be reaped by whoever took over the orphan.
    const alive = () =>
      existsSync(`/proc/${pid}`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
    expect(alive()).toBe(false);
  });

  it("reads secrets from standard input and leaves them nowhere", async () => {
    const value = "s3cr$t '\"\\ x";
    const steps = [
      { name: "use", body: `secret password > ${folder}/got; ps -ef > ${folder}/processes` },
      { name: "fail", body: "echo before; secret absent" },
    ];
    const command = render({ steps, needsSecrets: true });
    const { code, stdout, stderr } = await run(command, JSON.stringify({ password: value }));
    expect(code).not.toBe(0);
    expect(readFileSync(join(folder, "got"), "utf8")).toBe(value);
    expect(stderr).toContain("no text named absent");
    const marker = "s3cr";
    for (const text of [stdout, stderr, log(), readFileSync(join(folder, "processes"), "utf8")]) {
      expect(text).not.toContain(marker);
    }
    const without = await run(command, "");
    expect(without.code).toBe(1);
    expect(without.stderr).toContain("its secrets are missing on standard input");
  });

  it("keeps standard input from the steps", async () => {
    const { stdout } = await run(render({ steps: [{ name: "s", body: 'fact got "$(cat)"' }] }), "typed");
    expect(parseFacts(stdout).got).toBe("");
  });

  it("lets one stage at a time work on a node, and names the one in the way", async () => {
    const slow = run(render({ steps: [{ name: "s", body: `touch ${folder}/started; sleep 3` }] }));
    while (!existsSync(join(folder, "started"))) await new Promise((resolve) => setTimeout(resolve, 20));
    const impatient = await run(render({ name: "other", lockSeconds: 1 }));
    expect(impatient.code).not.toBe(0);
    expect(impatient.stderr).toMatch(/step "wait for the lock" failed.*stage demo, pid \d+, since/s);
    const patient = await run(render({ name: "third", lockSeconds: 30 }));
    expect(patient.code).toBe(0);
    expect((await slow).code).toBe(0);
  });

  it("leaves no temporary folder and no process behind when it is ended", async () => {
    const child = spawn(
      "bash",
      ["-c", render({ steps: [{ name: "s", body: `touch ${folder}/on; sleep 300` }] })],
      {
        env: { PATH: `${folder}:${process.env.PATH}`, TMPDIR: folder },
        stdio: ["ignore", "ignore", "pipe"],
      },
    );
    let stderr = "";
    child.stderr.on("data", (data) => {
      stderr += String(data);
    });
    while (!existsSync(join(folder, "on"))) await new Promise((resolve) => setTimeout(resolve, 20));
    const closed = new Promise<number | null>((resolve) => child.on("close", resolve));
    child.kill("SIGTERM");
    expect(await closed).toBe(143);
    expect(stderr).toContain('step "s" failed');
    const left = (await run(`ls ${folder}`)).stdout;
    expect(left).not.toContain("tmp.");
  });

  it("starts a new log when the old one is large, and keeps one before", async () => {
    await run(render({}));
    writeFileSync(join(folder, "log", "demo.log"), "x".repeat(1024 * 1024 + 1));
    await run(render({}));
    expect(log().length).toBeLessThan(1000);
    expect(statSync(join(folder, "log", "demo.log.1")).size).toBe(1024 * 1024 + 1);
  });
});

describe.runIf(process.getuid?.() === 0)("files of a stage, as root", () => {
  const place = (content: string) => ({
    name: "place",
    body: `place 0640 ${folder}/file web <<'X'\n${content}\nX\nif pending web; then echo reload >> ${folder}/reloads; settled web; fi`,
  });

  it("are written only when they differ, and the service reloads only then", async () => {
    for (const [content, changed, reloads] of [
      ["one", 1, 1],
      ["one", 0, 1],
      ["two", 1, 2],
    ] as const) {
      const { stdout, stderr } = await run(render({ steps: [place(content)] }));
      expect(stderr).toBe("");
      expect(parseFacts(stdout).changed).toHaveLength(changed);
      expect(readFileSync(join(folder, "reloads"), "utf8").match(/reload/g)).toHaveLength(reloads);
    }
    expect(statSync(join(folder, "file")).mode & 0o777).toBe(0o640);
  });

  it("are reloaded by the next run when the first was cut in between", async () => {
    const cut = { name: "place", body: `place 0640 ${folder}/file web <<'X'\none\nX\nkill -KILL $$` };
    expect((await run(render({ steps: [cut] }))).code).not.toBe(0);
    await run(render({ steps: [place("one")] }));
    expect(readFileSync(join(folder, "reloads"), "utf8")).toBe("reload\n");
  });
});

describe("renderStage", () => {
  it("refuses a command that is too long for one argument, and says how long it is", () => {
    const steps = [{ name: "s", body: `echo ${"x".repeat(MAX_COMMAND_BYTES)}` }];
    expect(() => render({ steps })).toThrow(/bytes.*at most 130815 bytes/);
  });

  it("runs a command of nearly the longest size", async () => {
    const size = MAX_COMMAND_BYTES - Buffer.byteLength(render({ steps: [{ name: "s", body: "echo" }] })) - 1;
    const { code } = await run(render({ steps: [{ name: "s", body: `echo ${"x".repeat(size)}` }] }));
    expect(code).toBe(0);
  });

  it("refuses its own end mark, and names that are none", () => {
    expect(() => render({ steps: [{ name: "s", body: "a\nBERTH_STAGE\nb" }] })).toThrow(/end mark/);
    expect(() => render({ name: "../x" })).toThrow(/stage\.name/);
    expect(() => render({ node: "a b" })).toThrow(/stage\.node/);
    expect(() => render({ steps: [{ name: "a\nb", body: "" }] })).toThrow(/one line/);
  });
});

describe("parseFacts", () => {
  it.each([
    ["one line", 'BERTH_FACTS {"a":1}\n', { a: 1 }],
    ["blank lines around", '\n\nBERTH_FACTS {"a":[true,null]}\n\n', { a: [true, null] }],
  ])("takes %s", (_, stdout, facts) => expect(parseFacts(stdout)).toEqual(facts));

  it.each([
    ["nothing", "", /printed nothing/],
    ["a banner before", 'Welcome\nBERTH_FACTS {"a":1}\n', /2 lines, 1 marked/],
    ["two lines of facts", "BERTH_FACTS {}\nBERTH_FACTS {}\n", /2 marked/],
    ["a cut line", 'BERTH_FACTS {"a":', /no JSON/],
    ["a list", "BERTH_FACTS []", /no JSON object/],
    ["no facts", "hello", /1 lines, 0 marked/],
  ])("refuses %s", (_, stdout, message) => expect(() => parseFacts(stdout)).toThrow(message));
});
