import { defaults, type SetupConfig } from "./types";
import { repositoryPath } from "./validate";

/** The files of `programs/`, each one job in the workspace. */
export type Program = "credentials" | "apt" | "dotfiles" | "git" | "clone" | "python" | "services";

export interface SetupStep {
  /** What people read in messages, logs and facts. Unique in a set-up. */
  name: string;
  program: Program;
  /** The program's arguments. Never a secret. */
  args: string[];
  asRoot: boolean;
  /** Seconds until the program is ended in the workspace. */
  seconds: number;
}

/** Put into `~/.local` where the image has no uv of its own. The newest when this was written. */
export const UV_VERSION = "0.13.8";

const MINUTE = 60;

/**
 * A set-up as steps, in the order in which they are run: each may use what those before it made (a credential
 * helper of git reads `~/.env`, a requirements file lies in a clone).
 *
 * `credentials`, `git` and `services` are there even when empty: they take back what an earlier set-up put there.
 */
export function planSteps(setup: SetupConfig): SetupStep[] {
  const credentials = Object.keys(setup.credentials ?? {}).length;
  const steps: SetupStep[] = [step("credentials", "credentials", [String(credentials)], MINUTE)];
  if (setup.aptPackages?.length) {
    const packages = [...new Set(setup.aptPackages)];
    steps.push({ ...step("apt packages", "apt", packages, 20 * MINUTE), asRoot: true });
  }
  if (setup.dotfiles) {
    const { repository, branch } = setup.dotfiles;
    const args = [repository, branch ?? "", credentials > 0 ? "yes" : "no"];
    steps.push(step(`dotfiles ${repository}`, "dotfiles", args, 10 * MINUTE));
  }
  steps.push({ ...step("git", "git", gitDefaults(setup.git).flat(), MINUTE), asRoot: true });
  for (const repository of setup.repositories ?? []) {
    const path = repositoryPath(repository);
    if (path === undefined)
      throw new Error(`no folder name in ${repository.url}: validateSetup was not asked`);
    const twice = setup.repositories?.some((other) => other !== repository && other.url === repository.url);
    const name = `clone ${repository.url}${twice ? ` to ${path}` : ""}`;
    steps.push(step(name, "clone", [repository.url, path, repository.branch ?? ""], 30 * MINUTE));
  }
  if (setup.python) {
    const { version, venv, packages, requirements } = setup.python;
    const args = [version ?? "", venv ?? defaults.venv, requirements ?? "", UV_VERSION, ...(packages ?? [])];
    steps.push(step("python", "python", args, 30 * MINUTE));
  }
  steps.push(step("services", "services", [servicesFile(setup.services)], 2 * MINUTE));
  return steps;
}

function step(name: string, program: Program, args: string[], seconds: number): SetupStep {
  return { name, program, args, asRoot: false, seconds };
}

function gitDefaults(git: SetupConfig["git"]): [string, string][] {
  return [
    ...(git?.name === undefined ? [] : [["user.name", git.name] as [string, string]]),
    ...(git?.email === undefined ? [] : [["user.email", git.email] as [string, string]]),
    ...Object.entries(git?.config ?? {}),
  ];
}

/** `~/.config/berth/services.json`, which `berth-services` in the workspace's image reads. */
function servicesFile(services: SetupConfig["services"]): string {
  return JSON.stringify({
    services: (services ?? []).map(({ name, command, cwd }) => ({ name, command, cwd: cwd ?? defaults.cwd })),
  });
}

/** `export NAME=VALUE` lines for bash, one line each whatever the value holds. @throws for a value with a NUL */
export function environmentLines(credentials: Readonly<Record<string, string>>): string[] {
  return Object.entries(credentials).map(([name, value]) => {
    if (value.includes("\0")) throw new Error(`the credential ${name} holds a NUL, which no variable can`);
    return `export ${name}=${bashWord(value)}`;
  });
}

function bashWord(value: string): string {
  if (!/[\p{Cc}\p{Zl}\p{Zp}]/u.test(value)) return `'${value.replaceAll("'", `'\\''`)}'`;
  const escaped = value.replace(/[\\'\p{Cc}]/gu, (char) => {
    if (char === "\\" || char === "'") return `\\${char}`;
    const code = char.codePointAt(0) ?? 0;
    // Above ASCII a byte escape would be one half of a UTF-8 sequence; such a character breaks no line.
    return code < 128 ? `\\${code.toString(8).padStart(3, "0")}` : char;
  });
  return `$'${escaped}'`;
}
