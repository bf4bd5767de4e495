/** How what a project depends on is installed, and how the project starts, by the files in its top folder. Pure. */
import { z } from "zod";

export type PackageManager = "npm" | "pnpm" | "yarn" | "pip" | "uv" | "none";

/** What is read of a project. Whoever wrote it may be hostile: of its texts nothing but a checked version gets into a line. */
export interface ProjectFiles {
  /** The names in its top folder. */
  files: readonly string[];
  /** The text of package.json; one that cannot be read, or of more than 1 MiB, says nothing. @default none */
  packageJson?: string;
  /** The first lines of yarn.lock; 1 KiB is enough. @default none: taken for that of Yarn 1 */
  yarnLockHead?: string;
}

export interface Install {
  /** By the files, also where somebody gives a line of their own. */
  manager: PackageManager;
  /** A line for `sh -c` in the top folder. Left out: nothing is installed. */
  command?: string;
  /** The file that says what is installed: while its content is the same, so is what was installed. */
  lockFile?: string;
}

const MOST_PACKAGE_JSON = 1024 * 1024;

/** In this order, where there are several and package.json does not say whose counts. */
const LOCK_FILES: readonly (readonly [file: string, manager: PackageManager])[] = [
  ["npm-shrinkwrap.json", "npm"],
  ["package-lock.json", "npm"],
  ["pnpm-lock.yaml", "pnpm"],
  ["yarn.lock", "yarn"],
  ["uv.lock", "uv"],
  ["requirements.txt", "pip"],
];

const packageSchema = z
  .object({ scripts: z.record(z.string(), z.unknown()).catch({}), packageManager: z.string().catch("") })
  .catch({ scripts: {}, packageManager: "" });

/** The manager that package.json asks for (`pnpm@10.4.1+sha512.…`, as Corepack reads it), and its scripts. */
interface Package {
  manager?: PackageManager;
  version?: string;
  scripts: Record<string, unknown>;
}

function parsed(text: string): unknown {
  if (text.length > MOST_PACKAGE_JSON) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    // The package manager reads it next, and says what is wrong with it in the set-up's log.
    return undefined;
  }
}

function readPackage({ packageJson = "{}" }: ProjectFiles): Package {
  const { scripts, packageManager } = packageSchema.parse(parsed(packageJson));
  const [, manager, version] =
    /^(npm|pnpm|yarn)@(\d{1,9}\.\d{1,9}\.\d{1,9}(?:-[0-9A-Za-z.]{1,64})?)(?:\+.*)?$/.exec(packageManager) ??
    [];
  if (manager === undefined) return { scripts };
  return { scripts, manager: manager as PackageManager, ...(version !== undefined && { version }) };
}

interface Found {
  manager: PackageManager;
  lockFile?: string;
}

function find({ files }: ProjectFiles, { manager }: Package): Found {
  const present = LOCK_FILES.filter(([file]) => files.includes(file));
  const [lockFile, of] = present.find(([, one]) => one === manager) ?? present[0] ?? [];
  if (of !== undefined) return { manager: of, ...(lockFile !== undefined && { lockFile }) };
  return { manager: files.includes("package.json") ? (manager ?? "npm") : "none" };
}

type Runner = (args: string) => string;

/** A program that an image of Node need not have: npm brings it then, from the registry that npm uses anyway. */
const orByNpm =
  (condition: string, program: string, spec: string): Runner =>
  (args) =>
    `if ${condition}; then ${program} ${args}; ` +
    `else npm exec --yes --prefer-offline --package=${spec} -- ${program} ${args}; fi`;

const there = (program: string) => `command -v ${program} >/dev/null 2>&1`;

/** A project's `yarnPath` makes Yarn 1 run, and so show, the later version that the project brings. */
const BERRY_THERE = "yarn --version 2>/dev/null | grep -q '^[2-9]'";

/** Yarn 2 and later ("berry"), with other options and another lock file than Yarn 1. */
const isBerry = ({ yarnLockHead = "" }: ProjectFiles, version: string | undefined) =>
  version === undefined ? /^__metadata:/m.test(yarnLockHead) : !/^[01]\./.test(version);

const locked = (options: string, { lockFile }: Found) => (lockFile === undefined ? "" : ` ${options}`);

const NPM_QUIET = "--no-audit --no-fund";

/** Nothing is removed first, and package-lock.json stays as the branch has it. */
const npmAgain = (found: Found) => `install${locked("--no-save", found)} --prefer-offline ${NPM_QUIET}`;
const npmFirst = ({ lockFile }: Found) => `${lockFile === undefined ? "install" : "ci"} ${NPM_QUIET}`;

/** A JavaScript package manager: how it is run, and its words for an installation. */
interface Tool {
  run: Runner;
  install(found: Found, incremental: boolean): string;
}

function pnpm(version = "latest"): Tool {
  return {
    run: orByNpm(there("pnpm"), "pnpm", `pnpm@${version}`),
    // Where another version made node_modules, it would ask, and there is nobody to answer.
    install: (found, incremental) =>
      `install${locked("--frozen-lockfile", found)} --config.confirmModulesPurge=false${incremental ? " --prefer-offline" : ""}`,
  };
}

function yarn(version = "1"): Tool {
  return {
    run: orByNpm(there("yarn"), "yarn", `yarn@${version}`),
    install: (found, incremental) =>
      `install${locked("--frozen-lockfile", found)} --non-interactive${incremental ? " --prefer-offline" : ""}`,
  };
}

function berry(version = "latest"): Tool {
  return {
    run: orByNpm(BERRY_THERE, "yarn", `@yarnpkg/cli-dist@${version}`),
    install: (found) => `install${locked("--immutable", found)}`,
  };
}

const npm: Tool = {
  run: (args) => `npm ${args}`,
  install: (found, incremental) => (incremental ? npmAgain : npmFirst)(found),
};

/** Undefined for a manager that is none of JavaScript's. */
function toolOf(project: ProjectFiles, read: Package, { manager }: Found): Tool | undefined {
  const version = read.manager === manager ? read.version : undefined;
  if (manager === "npm") return npm;
  if (manager === "pnpm") return pnpm(version);
  if (manager !== "yarn") return undefined;
  return isBerry(project, version) ? berry(version) : yarn(version);
}

/** Both add to what is there already. */
const PYTHON: Partial<Record<PackageManager, string>> = {
  uv: `if ${there("uv")}; then uv sync --frozen; else python3 -m pip install --quiet uv && python3 -m uv sync --frozen; fi`,
  pip: "{ [ -x .venv/bin/python ] || python3 -m venv .venv; } && .venv/bin/python -m pip install --requirement requirements.txt",
};

/**
 * How a project's dependencies are installed: as its lock file says and no other way, or without one as package.json says.
 *
 * @param project also `override`, a line to use instead (an empty one installs nothing), and `incremental`: what an earlier
 * version of the project needed is there already, and is kept. @default as found; everything anew
 */
export function installCommand(
  project: ProjectFiles & { override?: string; incremental?: boolean },
): Install {
  const { override, incremental = false } = project;
  const read = readPackage(project);
  const found = find(project, read);
  const own = toolOf(project, read, found);
  const line = override ?? own?.run(own.install(found, incremental)) ?? PYTHON[found.manager] ?? "";
  return line.trim() === "" ? found : { ...found, command: line };
}

const isScript = (script: unknown) => typeof script === "string" && script.trim() !== "";

/**
 * The line for `sh -c` that starts a project: `override`, else its script `dev`, else its script `start`. Undefined: there is
 * nothing to start, and so it is for an empty `override`, and for projects that are none of JavaScript's.
 */
export function startCommand(project: ProjectFiles & { override?: string }): string | undefined {
  const { override } = project;
  if (override !== undefined) return override.trim() === "" ? undefined : override;
  const read = readPackage(project);
  const script = ["dev", "start"].find((name) => isScript(read.scripts[name]));
  return script === undefined ? undefined : toolOf(project, read, find(project, read))?.run(`run ${script}`);
}
