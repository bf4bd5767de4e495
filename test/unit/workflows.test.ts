/**
 * The workflows that run on GitHub.
 * Proves: they hold no more rights and hand out no more secrets than they need; nothing that a pull request can choose
 * reaches a shell; what they run is pinned; their scripts do what they say. What GitHub makes of them is not tried here.
 */
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { missing, shellcheck } from "../lib/programs";

interface Step {
  name?: string;
  id?: string;
  uses?: string;
  run?: string;
  if?: string;
  with?: Record<string, unknown>;
  env?: Record<string, string>;
}

interface Job {
  if?: string;
  needs?: string;
  "timeout-minutes"?: number;
  permissions?: Record<string, string>;
  env?: unknown;
  strategy?: { "fail-fast": boolean; matrix: { stack: string } };
  steps: Step[];
}

interface Workflow {
  name: string;
  on: Record<string, unknown>;
  permissions?: Record<string, string>;
  concurrency?: unknown;
  env?: unknown;
  jobs: Record<string, Job>;
}

const root = join(__dirname, "../..");
const folder = join(root, ".github/workflows");
const files = readdirSync(folder);
const textOf = (file: string) => readFileSync(join(folder, file), "utf8");
const workflow = (file: string) => parse(textOf(file)) as Workflow;
const stepsOf = (file: string) => Object.values(workflow(file).jobs).flatMap(({ steps }) => steps);

/** As workflows write it. */
const expression = (inner: string) => `\${{ ${inner} }}`;

/** A step's script, by the step's name. */
function script(file: string, name: string): string {
  const found = stepsOf(file).find((step) => step.name === name)?.run;
  if (found === undefined) throw new Error(`${file} has no step "${name}" with a script`);
  return found;
}

let work: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), "berth-workflows-"));
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

/** Runs a script as GitHub does, with nothing of this computer's but the programs. */
function bash(text: string, env: Record<string, string>, cwd = work) {
  const path = [dirname(process.execPath), process.env.PATH].join(delimiter);
  return spawnSync("bash", ["-e", "-c", text], {
    cwd,
    encoding: "utf8",
    env: { PATH: path, HOME: work, RUNNER_TEMP: work, ...env },
  });
}

it("are the four that the guide speaks of", () => {
  const guide = readFileSync(join(root, "docs/environments.md"), "utf8");
  expect(files.sort()).toEqual(["check.yml", "drift.yml", "machines.yml", "preview.yml"]);
  for (const file of files) expect(guide).toContain(`${file}\``);
});

describe.each(files)("%s", (file) => {
  const { on, permissions, concurrency, env, jobs, name } = workflow(file);

  it("may read, and what writes says so itself", () => {
    expect(name).toBe(file.replace(".yml", ""));
    expect(permissions).toEqual({ contents: "read" });
    expect(concurrency).toBeDefined();
    // It would run code of a pull request with the repository's secrets.
    expect(Object.keys(on)).not.toContain("pull_request_target");
    const write = Object.values(jobs).flatMap((job) =>
      Object.entries(job.permissions ?? {}).filter(([, right]) => right === "write"),
    );
    const expected: Record<string, string[]> = { "drift.yml": ["issues"], "preview.yml": ["pull-requests"] };
    expect(write.map(([what]) => what)).toEqual(expected[file] ?? []);
  });

  it("ends in time", () => {
    for (const job of Object.values(jobs)) expect(job["timeout-minutes"]).toBeLessThanOrEqual(60);
  });

  it("takes actions by commit, with the version beside", () => {
    const lines = textOf(file).match(/uses:.*/g) ?? [];
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) expect(line).toMatch(/^uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
  });

  it("leaves no token in the checkout", () => {
    const checkouts = stepsOf(file).filter(({ uses }) => uses?.startsWith("actions/checkout@"));
    expect(checkouts).toHaveLength(Object.keys(jobs).length);
    for (const step of checkouts) expect(step.with).toEqual({ "persist-credentials": false });
  });

  it("puts no expression into a script, where its value would be code", () => {
    for (const step of stepsOf(file)) expect(step.run ?? "").not.toContain("${{");
  });

  it("shows secrets to no step but those that use them", () => {
    expect(
      [env, ...Object.values(jobs).map((job) => job.env)].filter((value) => value !== undefined),
    ).toEqual([]);
    const seeing = stepsOf(file).filter((step) =>
      Object.values({ ...step.env, ...step.with }).some((value) =>
        /\$\{\{\s*secrets\.\w+\s*\}\}/.test(String(value)),
      ),
    );
    for (const step of seeing) expect(step.name).toMatch(/^(Preview|Give the SSH agent the key)/);
  });

  it("takes no secret that the guide does not name", () => {
    const guide = readFileSync(join(root, "docs/environments.md"), "utf8");
    for (const [, secret] of textOf(file).matchAll(/secrets\.(\w+)/g))
      expect(guide).toContain(`\`${secret}\``);
  });

  it("has scripts that a shell can read", () => {
    for (const { run } of stepsOf(file)) {
      if (run !== undefined) execFileSync("bash", ["-n"], { input: run });
    }
  });

  it.skipIf(missing("shellcheck"))("has scripts that pass shellcheck", () => {
    for (const { run } of stepsOf(file)) {
      if (run !== undefined) expect(shellcheck(run, "--shell=bash")).toBe("");
    }
  });
});

describe("machines", () => {
  it("runs every night, as root, and ends by itself before GitHub ends it", () => {
    const { on, jobs } = workflow("machines.yml");
    expect(on.schedule).toEqual([{ cron: expect.stringMatching(/^\d{1,2} \d{1,2} \* \* \*$/) }]);
    const command = stepsOf("machines.yml").at(-1)?.run ?? "";
    const minutes = Number(
      /^sudo env "PATH=\$PATH" npm run test:machines -- --deadline (\d+)$/.exec(command)?.[1],
    );
    expect(minutes).toBeLessThan(jobs.machines?.["timeout-minutes"] ?? 0);
  });
});

describe("preview and drift", () => {
  it("make ready in the same way", () => {
    const setup = (file: string, job: string) => workflow(file).jobs[job]?.steps.slice(0, 5);
    expect(setup("drift.yml", "drift")).toEqual(setup("preview.yml", "preview"));
    const find = (file: string) => script(file, "Find the stacks of real machines");
    expect(find("drift.yml")).toBe(find("preview.yml"));
  });

  it.each([
    ["preview.yml", "Preview"],
    ["drift.yml", "Preview after a refresh"],
  ])("%s: runs the pinned engine with the policy pack, for each stack by itself", async (file, name) => {
    const { VERSIONS } = await import("../../scripts/lib/paths.mjs");
    const step = stepsOf(file).find((one) => one.name === name);
    expect(step?.uses).toMatch(/^pulumi\/actions@/);
    expect(step?.with).toMatchObject({
      command: "preview",
      "stack-name": expression("matrix.stack"),
      "pulumi-version": VERSIONS.pulumi,
      policyPacks: "policy",
      diff: true,
      "suppress-outputs": true,
    });
    expect(existsSync(join(root, String(step?.with?.policyPacks), "PulumiPolicy.yaml"))).toBe(true);
    const job = Object.values(workflow(file).jobs).find(({ strategy }) => strategy);
    expect(job?.strategy).toEqual({
      "fail-fast": false,
      matrix: { stack: expression("fromJSON(needs.stacks.outputs.stacks)") },
    });
  });

  it("preview comments on the pull request, and gives forks nothing", () => {
    const { on, jobs } = workflow("preview.yml");
    expect(Object.keys(on)).toEqual(["pull_request"]);
    expect(stepsOf("preview.yml").at(-1)?.with).toMatchObject({
      "comment-on-pr": true,
      "edit-pr-comment": true,
    });
    expect(jobs.stacks?.if).toBe("github.event.pull_request.head.repo.full_name == github.repository");
    expect(jobs.preview?.needs).toBe("stacks");
  });

  it("drift runs every night, asks the machines, and fails on a difference", () => {
    const { on } = workflow("drift.yml");
    expect(on.schedule).toEqual([{ cron: expect.stringMatching(/^\d{1,2} \d{1,2} \* \* \*$/) }]);
    const step = stepsOf("drift.yml").find(({ name }) => name === "Preview after a refresh");
    expect(step?.with).toMatchObject({ refresh: true, "expect-no-changes": true });
  });

  it("find every stack but the local one, and no odd name", () => {
    const here = mkdtempSync(join(work, "stacks-"));
    for (const stack of ["dev", "metal", "cloud", "eu-2", "x;rm -rf", "$(id)"])
      writeFileSync(join(here, `Pulumi.${stack}.yaml`), "");
    writeFileSync(join(here, "Pulumi.yaml"), "");
    const output = join(here, "output");
    const ran = bash(
      script("preview.yml", "Find the stacks of real machines"),
      { GITHUB_OUTPUT: output },
      here,
    );
    expect(ran.stderr).toBe("");
    expect(readFileSync(output, "utf8")).toBe('stacks=["cloud","eu-2","metal"]\n');
  });

  const none = { STACK: "cloud", BACKEND: "false", CLOUD: "false", PASSPHRASE: "false", TOKEN: "false" };
  it.each<[string, Record<string, string>, string[]]>([
    ["nothing is set", none, ["PULUMI_BACKEND_URL (or PULUMI_ACCESS_TOKEN)", "DIGITALOCEAN_TOKEN"]],
    [
      "a backend is set without its passphrase",
      { ...none, BACKEND: "true", TOKEN: "true" },
      ["PULUMI_CONFIG_PASSPHRASE"],
    ],
    ["only the token of DigitalOcean is missing", { ...none, CLOUD: "true" }, ["DIGITALOCEAN_TOKEN"]],
    ["all is set", { ...none, BACKEND: "true", PASSPHRASE: "true", TOKEN: "true" }, []],
    ["Pulumi Cloud is used", { ...none, CLOUD: "true", TOKEN: "true" }, []],
    ["bare metal needs no token", { ...none, STACK: "metal", CLOUD: "true" }, []],
  ])("say which secrets are missing when %s", (_, env, missing) => {
    const ran = bash(script("preview.yml", "Look for the secrets"), env, root);
    expect(ran.status).toBe(missing.length > 0 ? 1 : 0);
    expect(ran.stdout).toBe(
      missing.length > 0
        ? `::error title=Secrets are missing::Set ${missing.join(" ")} in this repository (docs/environments.md).\n`
        : "",
    );
  });

  it("go on without a key for bare metal", () => {
    const ran = bash(script("preview.yml", "Give the SSH agent the key of bare metal"), {
      BERTH_SSH_KEY: "",
      GITHUB_ENV: join(work, "env"),
    });
    expect([ran.status, ran.stdout]).toEqual([0, "BERTH_SSH_KEY is not set: nothing to do.\n"]);
  });

  it.each<[string, { RESULT: string; ISSUE: string }, string | undefined]>([
    [
      "opens an issue at the first drift",
      { RESULT: "failure", ISSUE: "" },
      "issue create --title Drift: stack cloud --body",
    ],
    ["adds to it while it lasts", { RESULT: "failure", ISSUE: "7" }, "issue comment 7 --body Still so"],
    ["closes it when all is well again", { RESULT: "success", ISSUE: "7" }, "issue close 7 --comment"],
    ["says nothing on a quiet night", { RESULT: "success", ISSUE: "" }, undefined],
  ])("drift %s", (_, { RESULT, ISSUE }, expected) => {
    const here = mkdtempSync(join(work, "gh-"));
    const calls = join(here, "calls");
    // In place of GitHub's own program: it gives the issue that is open, and keeps what else it is told.
    writeFileSync(
      join(here, "gh"),
      `#!/bin/sh\nif [ "$1 $2" = "issue list" ]; then echo "$ISSUE"; else echo "$*" >>"$CALLS"; fi\n`,
    );
    chmodSync(join(here, "gh"), 0o755);
    const ran = bash(script("drift.yml", "Open or close the issue"), {
      PATH: [here, process.env.PATH].join(delimiter),
      CALLS: calls,
      RESULT,
      ISSUE,
      STACK: "cloud",
      TITLE: "Drift: stack cloud",
      RUN: "https://github.example.com/runs/1",
    });
    expect(ran.status, ran.stderr).toBe(0);
    const said = existsSync(calls) ? readFileSync(calls, "utf8") : undefined;
    if (expected === undefined) expect(said).toBeUndefined();
    else {
      expect(said).toContain(expected);
      expect(said).toContain("https://github.example.com/runs/1");
    }
  });
});
