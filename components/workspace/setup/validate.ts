import {
  isBranch,
  isGitKey,
  isGitUrl,
  isLine,
  isPackageName,
  isPythonVersion,
  isRequirement,
  isSessionName,
  isVariableName,
  isWorkspacePath,
  repositoryName,
} from "./rules";
import { defaults, type RepositoryConfig, type SetupConfig, type SetupProblem } from "./types";

const allowed = {
  branch: "a branch name such as main: letters, digits and . _ / + @ -, a letter, digit or _ first",
  gitUrl:
    "https://HOST/PATH, ssh://USER@HOST/PATH, git@HOST:PATH, file:///PATH or /PATH, without a password or token " +
    "(a private repository takes a deploy key, or a git credential helper that reads ~/.env)",
  package: "a Debian package name such as build-essential",
  path: "~/PATH or an absolute path, of letters, digits, blanks and . _ @ + , -, without . or .. as a part",
  requirement:
    "a requirement such as numpy, torch==2.9.* or name @ https://HOST/FILE.whl, without options or paths",
  variable: "a variable name of letters, digits and _, no digit first, and none that the shell itself uses",
} as const;

/** Longest value of a credential: Linux's limit for one variable (MAX_ARG_STRLEN) is 128 KiB, name included. */
const MAX_CREDENTIAL_BYTES = 64 * 1024;

type Report = (at: string, value: unknown, allowed: string) => void;

/**
 * Everything that cannot be used in a set-up whose shape (`SetupConfig`) the schema has checked, in the order of
 * the file; empty when all is well.
 * `path` is where the set-up stands, such as `users[0].setup`. A credential's value is never in a problem.
 */
export function validateSetup(path: string, config: unknown): SetupProblem[] {
  const setup = config as SetupConfig;
  const problems: SetupProblem[] = [];
  const report: Report = (at, value, what) => problems.push({ path: `${path}.${at}`, value, allowed: what });
  checkCredentials(setup.credentials ?? {}, report);
  for (const [i, name] of (setup.aptPackages ?? []).entries()) {
    if (!isPackageName(name)) report(`aptPackages[${i}]`, name, allowed.package);
  }
  if (setup.dotfiles) {
    const { repository, branch } = setup.dotfiles;
    if (!isGitUrl(repository)) report("dotfiles.repository", withoutSecret(repository), allowed.gitUrl);
    if (branch !== undefined && !isBranch(branch)) report("dotfiles.branch", branch, allowed.branch);
  }
  checkGit(setup.git ?? {}, report);
  checkRepositories(setup.repositories ?? [], report);
  checkPython(setup.python ?? {}, report);
  checkServices(setup.services ?? [], report);
  return problems;
}

function checkCredentials(credentials: Record<string, string>, report: Report): void {
  for (const [name, value] of Object.entries(credentials)) {
    if (!isVariableName(name)) report(`credentials[${JSON.stringify(name)}]`, name, allowed.variable);
    else if (value.includes("\0") || Buffer.byteLength(value) > MAX_CREDENTIAL_BYTES) {
      const what = `text without NUL of at most ${MAX_CREDENTIAL_BYTES} bytes (the value is not shown)`;
      report(`credentials.${name}`, "(hidden)", what);
    }
  }
}

function checkGit(git: NonNullable<SetupConfig["git"]>, report: Report): void {
  if (git.name !== undefined && (!isLine(git.name, 200) || /[<>]/.test(git.name)))
    report("git.name", git.name, "one line of text without < and >");
  if (git.email !== undefined && !/^[^\s<>@"'\p{Cc}]{1,200}@[^\s<>@"'\p{Cc}]{1,200}$/u.test(git.email))
    report("git.email", git.email, "an address such as alice@example.org");
  for (const [key, value] of Object.entries(git.config ?? {})) {
    const at = `git.config[${JSON.stringify(key)}]`;
    const name = key.toLowerCase();
    if (!isGitKey(key)) report(at, key, "section.key or section.subsection.key, such as pull.rebase");
    else if (value !== "" && !isLine(value, 4096)) report(at, value, "one line of text");
    if (
      (name === "user.name" && git.name !== undefined) ||
      (name === "user.email" && git.email !== undefined)
    )
      report(at, key, `git.${name.slice(5)} or this, not both`);
  }
}

/** Where a clone goes; undefined where the URL gives no name that can be used. */
export function repositoryPath(repository: RepositoryConfig): string | undefined {
  if (repository.path !== undefined) return repository.path.replace(/\/$/, "");
  const name = repositoryName(repository.url);
  return name === undefined ? undefined : `${defaults.repositories}/${name}`;
}

function checkRepositories(repositories: readonly RepositoryConfig[], report: Report): void {
  const taken = new Map<string, number>();
  for (const [i, repository] of repositories.entries()) {
    const at = `repositories[${i}]`;
    const { url, path, branch } = repository;
    if (!isGitUrl(url)) report(`${at}.url`, withoutSecret(url), allowed.gitUrl);
    if (branch !== undefined && !isBranch(branch)) report(`${at}.branch`, branch, allowed.branch);
    if (path !== undefined && !isWorkspacePath(path)) {
      report(`${at}.path`, path, allowed.path);
      continue;
    }
    const place = repositoryPath(repository);
    if (place === undefined) {
      if (isGitUrl(url)) report(`${at}.path`, path, `${allowed.path} (this URL does not name a folder)`);
      continue;
    }
    const twin = taken.get(place);
    if (twin === undefined) taken.set(place, i);
    else report(`${at}.path`, place, `a path of its own: repositories[${twin}] goes there`);
  }
}

function checkPython(python: NonNullable<SetupConfig["python"]>, report: Report): void {
  if (python.version !== undefined && !isPythonVersion(python.version))
    report("python.version", python.version, "a version such as 3.13 or 3.13.5");
  for (const key of ["venv", "requirements"] as const) {
    const value = python[key];
    if (value !== undefined && !isWorkspacePath(value)) report(`python.${key}`, value, allowed.path);
  }
  for (const [i, text] of (python.packages ?? []).entries()) {
    if (!isRequirement(text)) report(`python.packages[${i}]`, withoutSecret(text), allowed.requirement);
  }
}

function checkServices(services: NonNullable<SetupConfig["services"]>, report: Report): void {
  const taken = new Set<string>();
  for (const [i, service] of services.entries()) {
    const at = `services[${i}]`;
    if (!isSessionName(service.name))
      report(`${at}.name`, service.name, "letters, digits, _ and -, a letter or digit first, at most 32");
    else if (taken.has(service.name)) report(`${at}.name`, service.name, "a name of its own");
    taken.add(service.name);
    if (!isLine(service.command, 4096)) report(`${at}.command`, service.command, "one line for bash -c");
    if (service.cwd !== undefined && service.cwd !== "~" && !isWorkspacePath(service.cwd))
      report(`${at}.cwd`, service.cwd, `~, ${allowed.path}`);
  }
}

/** What is shown of a refused URL: people do put tokens in front of the `@`. */
function withoutSecret(url: string): string {
  return url.replace(/:\/\/.*@/g, "://(hidden)@").replace(/\?.*$/, "?(hidden)");
}
