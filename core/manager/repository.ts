/** Which repository of which host is meant by a text that somebody sent, and how it is told from all others. Pure. */
import { createHash } from "node:crypto";
import { type Refusal, type Result, refuse } from "../gpu";
import { bracketed } from "../net";
import { type Faults, faultsOf } from "./faults";

/** A Git host that repositories may come from. */
export interface RepositoryHost {
  /** A DNS name or an address. */
  host: string;
  /** @default that of its scheme */
  port?: number;
  /** Plain HTTP: for tests, and for networks that the operator trusts. @default false: HTTPS */
  insecure?: boolean;
  /** Its addresses may be private ones. @default false */
  internal?: boolean;
}

/** Two are the same repository if host, owner and name are the same, capitals too. */
export interface Repository {
  /** In small letters, with its port unless that is 443 of HTTPS: `github.com`, `lan.example:80`. A folder may be called so. */
  host: string;
  owner: string;
  name: string;
  /** `https://github.com/owner/name.git`: no user, no query, no fragment. */
  url: string;
}

const MOST_CHARACTERS = 512;

/** What GitHub, Gitea and GitLab take; GitLab's groups inside groups are not among them. `.github` is a common name. */
const OWNER = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/;
const NAME = /^(?!\.$|.*\.git$)[A-Za-z0-9._][A-Za-z0-9._-]{0,99}$/i;
const NAME_RULE = "letters, digits, '.', '_' and '-', at most 100";

const SHAPE = /^(?:(https?:\/\/[^/]+)\/)?([^/]+)\/([^/]+?)(?:\.git)?$/;

/** Git reads most of these as something else than a place on a host, and runs programs for some. */
const FAULTS: Faults = [
  [/^-/, "begins with '-', as an option does"],
  [/[\s\p{Cc}\p{Cs}]/u, "has white space or control characters in it"],
  [/^[^/:]*::/, "names a transport of git's"],
  [/^(?!https?:|file:)[^/:]+:\/\//i, "has a scheme that is not https"],
  [/^(\/|~|\.|file:)/i, "is a path of files"],
  [/@/, "has a user, a password or a token in it"],
  [/[?#%\\]/, "has one of ? # % \\ in it"],
  [/\.\.|\/\.\//, "has '..' or '/./' in it"],
];

function shapeFaults(text: string): string[] {
  if (text.length > MOST_CHARACTERS) return [`is longer than ${MOST_CHARACTERS} characters`];
  const faults = faultsOf(text, FAULTS);
  return faults.length > 0 || SHAPE.test(text) ? faults : ["is of neither form"];
}

/** `git.example:8443`; HTTPS on 443 goes without its port, and HTTP never does, not on 443 either. */
function hostText({ host, port, insecure = false }: RepositoryHost): string {
  const actual = port ?? (insecure ? 80 : 443);
  return bracketed(host.toLowerCase()) + (actual === 443 && !insecure ? "" : `:${actual}`);
}

/** `https://git.example:8443`, without the port that its scheme has anyway. */
function originOf({ host, port, insecure = false }: RepositoryHost): string {
  const own = port === undefined || port === (insecure ? 80 : 443);
  return `${insecure ? "http" : "https"}://${bracketed(host.toLowerCase())}${own ? "" : `:${port}`}`;
}

/** The host that a repository is of, with what the operator says of it. */
export const hostOf = (
  repository: Repository,
  hosts: readonly RepositoryHost[],
): RepositoryHost | undefined => hosts.find((host) => hostText(host) === repository.host);

function refusal(code: Refusal["code"], faults: string[], hosts: readonly RepositoryHost[]): Result<never> {
  const [first] = hosts;
  const short = first === undefined ? "no host is allowed" : `owner/repo for ${originOf(first)}/owner/repo`;
  return refuse({
    code,
    message: `the repository ${faults.join("; it ")}`,
    allowed: [short, ...hosts.map((host) => `${originOf(host)}/owner/repo`)].join(", "),
    fix: "give it in one of these forms; a token goes into githubToken, a branch into branch",
  });
}

/**
 * The repository that `text` names: `owner/repo` of the first host, or `https://HOST/owner/repo`, with or without `.git` at its
 * end. A host with a port is written with it. What is refused is not repeated, for it may hold a token.
 *
 * Refusals: bad-request: all that is wrong with it; not-allowed: the host is none of `hosts`.
 */
export function parseRepository(
  text: string,
  { hosts }: { hosts: readonly RepositoryHost[] },
): Result<Repository> {
  const wrong = shapeFaults(text);
  if (wrong.length > 0) return refusal("bad-request", wrong, hosts);
  const [, origin, owner = "", name = ""] = SHAPE.exec(text) ?? [];
  const names = [
    ...(OWNER.test(owner) ? [] : [`has an owner that is not ${NAME_RULE}, neither '.' nor '-' first`]),
    ...(NAME.test(name) ? [] : [`has a name that is not ${NAME_RULE}, no '-' first`]),
  ];
  const host = origin === undefined ? hosts[0] : hosts.find((one) => originOf(one) === origin.toLowerCase());
  const strange = host === undefined ? ["is of a host that is not allowed"] : [];
  if (host === undefined || names.length > 0)
    return refusal(names.length > 0 ? "bad-request" : "not-allowed", [...names, ...strange], hosts);
  const url = `${originOf(host)}/${owner}/${name}.git`;
  return { ok: true, value: { host: hostText(host), owner, name, url } };
}

/** `owner-name`, for people. `a-b/c` and `a/b-c` are shown alike, so nothing is decided by it. */
export const shownName = ({ owner, name }: Repository) => `${owner}-${name}`;

const HASH_CHARACTERS = 40;
const HEAD_CHARACTERS = 23;

/**
 * What a tenant's images, caches and volumes of a repository are called: `[a-z0-9-]`, at most 64 characters, for each tenant
 * and repository another one. Its beginning is for people who read a list.
 */
export function repositoryKey(tenant: string, { host, owner, name }: Repository): string {
  const head = `${owner}-${name}`.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  const whole = JSON.stringify([tenant, host, owner, name]);
  const hash = createHash("sha256").update(whole).digest("hex").slice(0, HASH_CHARACTERS);
  return [head.slice(0, HEAD_CHARACTERS).replace(/^-|-$/g, ""), hash].filter(Boolean).join("-");
}

/** In bytes. Those of the known hosts have 20 to 256; a shorter one would be cut out of words that have nothing to do with it. */
const SHORTEST_TOKEN = 8;
const LONGEST_TOKEN = 4096;

/** What a repository's host may take for a token. Refusal: bad-request, without a word of what was sent. */
export function parseToken(text: string): Result<string> {
  const bytes = Buffer.byteLength(text);
  // With a control in it, it could not be found in what the host says.
  if (bytes >= SHORTEST_TOKEN && bytes <= LONGEST_TOKEN && !/[\p{Cc}\p{Cs}]/u.test(text))
    return { ok: true, value: text };
  return refuse({
    code: "bad-request",
    message: "the token for the repository's host is none",
    allowed: `${SHORTEST_TOKEN} to ${LONGEST_TOKEN} bytes without control characters`,
    fix: "leave it out for a public repository",
  });
}
