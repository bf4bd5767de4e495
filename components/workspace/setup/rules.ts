/**
 * What each kind of text in a set-up may look like. Pure.
 *
 * Every value ends as one argument of one program, so the rules only have to keep out what a program would take
 * for an option, a second line, another protocol or a secret in the open.
 */

/** Variables that bash refuses to set (a `source` would stop there) or that break the shell that reads them. */
export const reservedVariables: ReadonlySet<string> = new Set(
  (
    "BASHOPTS BASH_ENV BASH_VERSINFO EUID ENV FUNCNAME GROUPS HOME IFS LD_LIBRARY_PATH LD_PRELOAD LOGNAME PATH " +
    "POSIXLY_CORRECT PPID PROMPT_COMMAND PS4 PWD SHELL SHELLOPTS UID USER"
  ).split(" "),
);

const HOST = "[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?";
const URL_PATH = "[A-Za-z0-9._~+%=,@/-]";

const gitUrls: readonly RegExp[] = [
  new RegExp(`^https://${HOST}(?::\\d{1,5})?/${URL_PATH}+$`),
  new RegExp(`^ssh://(?:[A-Za-z0-9_][A-Za-z0-9._-]*@)?${HOST}(?::\\d{1,5})?/${URL_PATH}+$`),
  new RegExp(`^[A-Za-z0-9_][A-Za-z0-9._-]*@${HOST}:[A-Za-z0-9._~/]${URL_PATH}*$`),
  new RegExp(`^(?:file://)?/${URL_PATH}+$`),
];

export function isGitUrl(text: string): boolean {
  return text.length <= 1000 && gitUrls.some((form) => form.test(text));
}

/** The folder name that git would give a clone, or undefined where the URL has none that can be used. */
export function repositoryName(url: string): string | undefined {
  const name = url
    .replace(/\/+$/, "")
    .replace(/\.git$/, "")
    .split(/[/:]/)
    .at(-1);
  return name !== undefined && /^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(name) ? name : undefined;
}

/** `git check-ref-format`, less what only looks like a branch. */
export function isBranch(text: string): boolean {
  return (
    /^[A-Za-z0-9_][A-Za-z0-9._/+@-]{0,199}$/.test(text) &&
    !/\.\.|\/\/|\/\.|@\{|\.$|\/$|\.lock(?:$|\/)/.test(text)
  );
}

export function isWorkspacePath(text: string): boolean {
  const match = /^(?:~|(?=\/))((?:\/[A-Za-z0-9._@+, -]+)+)\/?$/.exec(text);
  if (!match || text.length > 1000) return false;
  return !(match[1] as string).split("/").some((part) => part === "." || part === "..");
}

/** Debian policy 5.6.1, less a `-` at the end: apt-get would take `vim-` for "remove vim". */
export function isPackageName(text: string): boolean {
  return /^[a-z0-9][a-z0-9+.-]*[a-z0-9+]$/.test(text) && text.length <= 200;
}

export function isVariableName(text: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(text) && !reservedVariables.has(text);
}

/** `section.key` or `section.sub section.key`, as git-config names them. */
export function isGitKey(text: string): boolean {
  return (
    text.length <= 500 && /^[A-Za-z][A-Za-z0-9-]*\.(?:[^\p{Cc}"\\]+\.)?[A-Za-z][A-Za-z0-9-]*$/u.test(text)
  );
}

/** One line of text with something on it. */
export function isLine(text: string, most: number): boolean {
  return text.trim() !== "" && text.length <= most && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text);
}

/** PEP 508: a name, extras, then versions or a URL, then a marker. Never an option, a path or a second line. */
const REQUIREMENT = new RegExp(
  [
    "^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?",
    String.raw`(?: ?\[[A-Za-z0-9._-]+(?: ?, ?[A-Za-z0-9._-]+)*\])?`,
    "(?:",
    " ?(?:===|==|~=|!=|<=|>=|<|>) ?[A-Za-z0-9.*+!_-]+(?: ?, ?(?:===|==|~=|!=|<=|>=|<|>) ?[A-Za-z0-9.*+!_-]+)*",
    // The `/` before a possible `@` keeps user:password@ out.
    String.raw`| ?@ ?(?:git\+ssh:\/\/git@${HOST}(?::\d{1,5})?|(?:git\+)?(?:https:\/\/${HOST}(?::\d{1,5})?|file:\/\/))`,
    // Behind the path a commit, branch or tag, and then what pip is told of it: #subdirectory=…, #sha256=….
    String.raw`\/[A-Za-z0-9._~+%=,&/-]+(?:@[A-Za-z0-9._/+-]+)?(?:#[A-Za-z0-9._~+%=&,/-]+)?`,
    ")?",
    `(?: ?; ?[A-Za-z0-9_ .,'"<>=!~()-]+)?$`,
  ].join(""),
);

export function isRequirement(text: string): boolean {
  return text.length <= 500 && REQUIREMENT.test(text);
}

export function isPythonVersion(text: string): boolean {
  return /^3\.\d{1,2}(?:\.\d{1,2})?$/.test(text);
}

/** tmux takes `.` and `:` for parts of a target, and a `-` in front for an option. */
export function isSessionName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/.test(text);
}
