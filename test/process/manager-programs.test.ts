/**
 * What git and a shell make of what the container manager decided. Proves: git takes the branches that are allowed and no other,
 * but for '@', which it takes for HEAD; the lines of an installation run what the image has, or have npm bring it, and end as
 * that ended.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { installCommand, parseBranch, startCommand } from "../../core/manager";
import { run } from "../lib/run";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-manager-programs-"));
  for (const name of ["bin", "project"]) mkdirSync(join(folder, name));
  for (const name of ["chmod", "grep", "mkdir"]) symlinkSync(which(name), join(folder, "bin", name));
});
afterEach(() => rmSync(folder, { recursive: true }));

const which = (program: string) => {
  const found = ["/bin", "/usr/bin"].map((path) => join(path, program)).find(existsSync);
  if (found === undefined) throw new Error(`there is no ${program}`);
  return found;
};

describe("a branch's name", () => {
  const gitTakes = async (name: string) =>
    name !== "@" && (await run("git", ["check-ref-format", "--branch", name], { cwd: folder })).code === 0;

  it("is taken where git takes it", async () => {
    const unit = fc.constantFrom(..."ab/.@{}-~^:?*[\\ é", "..", "//", ".lock", "HEAD", "@{", "/.");
    await fc.assert(
      fc.asyncProperty(fc.string({ unit, minLength: 1, maxLength: 5 }), async (name) => {
        expect([name, parseBranch(name).ok]).toEqual([name, await gitTakes(name)]);
      }),
      { numRuns: 300 },
    );
  });

  it.each(["main", "HEAD", "@", "-", "a.", "a./b", "a.lock", "a.lock/b", "a\u0001", "a\u007f", "🚀"])(
    "%j is judged as git judges it",
    async (name) => {
      expect(parseBranch(name).ok).toBe(await gitTakes(name));
    },
  );
});

describe("the line of an installation", () => {
  /** A program of the image's, which notes how it was called. */
  function program(name: string, more = ""): void {
    const path = join(folder, "bin", name);
    writeFileSync(path, `#!/bin/sh\n${more}\necho "${name} $*" >> "${folder}/calls"\n`);
    chmodSync(path, 0o755);
  }

  /** What is run in a project of these files, in an image that has the programs made before. */
  async function calls(line: string | undefined): Promise<string[]> {
    rmSync(join(folder, "calls"), { force: true });
    const ran = await run("/bin/sh", ["-c", line ?? "exit 9"], {
      cwd: join(folder, "project"),
      env: { PATH: join(folder, "bin") },
    });
    expect(ran).toMatchObject({ code: 0, text: "" });
    return readFileSync(join(folder, "calls"), "utf8").trim().split("\n");
  }

  const YARN_1 = "# yarn lockfile v1\n";
  const BERRY = "# This file is generated\n\n__metadata:\n  version: 8\n";
  const install = (file: string, yarnLockHead = YARN_1) =>
    installCommand({ files: ["package.json", file], yarnLockHead }).command;
  const byNpm = "npm exec --yes --prefer-offline";

  it("of npm is npm's", async () => {
    program("npm");
    expect(await calls(install("package-lock.json"))).toEqual(["npm ci --no-audit --no-fund"]);
  });

  it.each([
    ["pnpm-lock.yaml", YARN_1, "pnpm", "pnpm@latest", "--frozen-lockfile --config.confirmModulesPurge=false"],
    ["yarn.lock", YARN_1, "yarn", "yarn@1", "--frozen-lockfile --non-interactive"],
  ])("of %s runs what the image has, and else has npm bring it", async (file, head, tool, spec, options) => {
    program("npm");
    const line = install(file, head);
    expect(await calls(line)).toEqual([`${byNpm} --package=${spec} -- ${tool} install ${options}`]);
    program(tool);
    expect(await calls(line)).toEqual([`${tool} install ${options}`]);
  });

  it("of a later Yarn's lock file has npm bring one where the image has Yarn 1 or none", async () => {
    program("npm");
    const line = install("yarn.lock", BERRY);
    const brought = [`${byNpm} --package=@yarnpkg/cli-dist@latest -- yarn install --immutable`];
    expect(await calls(line)).toEqual(brought);
    program("yarn", '[ "$1" = --version ] && echo 1.22.22 && exit');
    expect(await calls(line)).toEqual(brought);
    program("yarn", '[ "$1" = --version ] && echo 4.5.0 && exit');
    expect(await calls(line)).toEqual(["yarn install --immutable"]);
  });

  it("of uv.lock installs uv where the image has none", async () => {
    program("python3");
    expect(await calls(install("uv.lock"))).toEqual([
      "python3 -m pip install --quiet uv",
      "python3 -m uv sync --frozen",
    ]);
    program("uv");
    expect(await calls(install("uv.lock"))).toEqual(["uv sync --frozen"]);
  });

  it("of requirements.txt makes an environment once", async () => {
    const python = (path: string) =>
      `echo 'echo "venv $*" >> "${folder}/calls"' > ${path} && chmod +x ${path}`;
    program("python3", `mkdir -p .venv/bin && ${python(".venv/bin/python")}`);
    const pip = "venv -m pip install --requirement requirements.txt";
    expect(await calls(install("requirements.txt"))).toEqual(["python3 -m venv .venv", pip]);
    expect(await calls(install("requirements.txt"))).toEqual([pip]);
  });

  it("of a start runs the manager that installed the project", async () => {
    program("npm");
    const project = {
      files: ["package.json", "pnpm-lock.yaml"],
      packageJson: '{"scripts": {"dev": "vite"}}',
    };
    expect(await calls(startCommand(project))).toEqual([`${byNpm} --package=pnpm@latest -- pnpm run dev`]);
    program("pnpm");
    expect(await calls(startCommand(project))).toEqual(["pnpm run dev"]);
  });

  it.each(["package-lock.json", "pnpm-lock.yaml", "yarn.lock", "uv.lock", "requirements.txt"])(
    "of %s fails where the installation fails",
    async (file) => {
      for (const name of ["npm", "pnpm", "yarn", "uv", "python3"]) program(name, "exit 7");
      const ran = await run("/bin/sh", ["-c", install(file) ?? ""], {
        cwd: join(folder, "project"),
        env: { PATH: join(folder, "bin") },
      });
      expect(ran.code).toBe(7);
    },
  );
});
