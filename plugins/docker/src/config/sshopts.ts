/** The `sshOpts` of the provider: arguments of OpenSSH's `ssh`, as the official plugin passes them on. Pure. */

export interface SshOptions {
  /** `-i` or `IdentityFile`, as written. */
  readonly identityFile?: string;
  readonly user?: string;
  readonly port?: number;
  /** As written; default: OpenSSH's, `~/.ssh/known_hosts`. */
  readonly knownHostsFiles: readonly string[];
  /** Only the key of `-i`, no agent. */
  readonly identitiesOnly: boolean;
  /** Seconds. */
  readonly connectTimeout?: number;
  /** Where the agent listens: a path, `SSH_AUTH_SOCK` for what the environment says, `none`. Default: the environment. */
  readonly identityAgent?: string;
  /** The server in between, from a ProxyCommand. */
  readonly jump?: { readonly host: string; readonly options: SshOptions };
}

type Options = { -readonly [K in keyof SshOptions]: SshOptions[K] };

/** Options that say how `ssh` multiplexes or talks; one pooled connection does all of that here. */
const WITHOUT_EFFECT = [
  "batchmode",
  "controlmaster",
  "controlpath",
  "controlpersist",
  "serveraliveinterval",
  "serveralivecountmax",
  "loglevel",
  "compression",
  "tcpkeepalive",
  "connectionattempts",
];

const KNOWN =
  "-i KEY, -l USER, -p PORT and -o with UserKnownHostsFile, StrictHostKeyChecking (yes), IdentityFile, " +
  "IdentitiesOnly, IdentityAgent, User, Port, ConnectTimeout, ProxyCommand, BatchMode, ControlMaster, ControlPath, " +
  "ControlPersist, ServerAliveInterval, ServerAliveCountMax, LogLevel, Compression, TCPKeepAlive, ConnectionAttempts";

/** The one form of a ProxyCommand that is taken: no other program, and nothing from files that are not named. */
const JUMP = "ssh -F none OPTIONS -W '[%h]:%p' HOST";

/**
 * @param args `["-i", "/key", "-o", "BatchMode=yes"]`; also `-i/key`, `-oBatchMode=yes`, and an option with its
 * value in one entry (`"-o BatchMode=yes"`).
 * @throws Error naming the first argument that is not known, and what is.
 */
export function parseSshOptions(args: readonly string[]): SshOptions {
  const options: Options = {
    knownHostsFiles: [],
    identitiesOnly: false,
  };
  const words = [...args];
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    const match = /^-([ilpo])\s*(.*)$/s.exec(word);
    if (match === null) throw new Error(`sshOpts: "${word}" is not known here; known: ${KNOWN}`);
    const flag = match[1] as "i" | "l" | "p" | "o";
    const value = match[2] === "" ? words.shift() : match[2];
    if (value === undefined || value === "") throw new Error(`sshOpts: "${word}" lacks its value`);
    if (flag === "i") options.identityFile = value;
    else if (flag === "l") options.user = value;
    else if (flag === "p") options.port = number("-p", value);
    else setOption(options, value);
  }
  return options;
}

function setOption(options: Options, text: string): void {
  const match = /^\s*([A-Za-z]+)(?:\s*=\s*|\s+)(.*?)\s*$/s.exec(text);
  if (match === null) throw new Error(`sshOpts: "-o ${text}" is not of the form Name=value`);
  const [name, value] = [match[1] as string, unquote(match[2] as string)];
  const key = name.toLowerCase();
  switch (key) {
    case "userknownhostsfile":
      options.knownHostsFiles = value.split(/\s+/);
      return;
    case "stricthostkeychecking":
      if (value !== "yes") {
        throw new Error(
          `sshOpts: StrictHostKeyChecking=${value} is refused, for it would trust whoever answers; ` +
            `take "yes" with the host's key in UserKnownHostsFile`,
        );
      }
      return;
    case "identityfile":
      options.identityFile = value;
      return;
    case "identitiesonly":
      options.identitiesOnly = value === "yes";
      return;
    case "identityagent":
      options.identityAgent = value.replace(/^\$SSH_AUTH_SOCK$/, "SSH_AUTH_SOCK");
      return;
    case "proxycommand":
      // As it is: quotes in it are the command's own.
      options.jump = parseJump(match[2] as string);
      return;
    case "user":
      options.user = value;
      return;
    case "port":
      options.port = number("Port", value);
      return;
    case "connecttimeout":
      options.connectTimeout = number("ConnectTimeout", value);
      return;
    default:
      if (!WITHOUT_EFFECT.includes(key))
        throw new Error(`sshOpts: option ${name} is not known here; known: ${KNOWN}`);
  }
}

/**
 * A jump host, from `ssh -F none -i KEY -o … -l USER -p PORT -W '[%h]:%p' HOST`; undefined for `none`.
 * @throws Error for any other command: nothing is started here, so none but ssh's own hop can be followed.
 */
function parseJump(command: string): SshOptions["jump"] {
  if (command === "none") return undefined;
  const refuse = (why: string): never => {
    throw new Error(`sshOpts: ProxyCommand ${why}; the one form taken is "${JUMP}"`);
  };
  const words = command.split(/\s+/).map((word) => word.replace(/^'([^']*)'$/, "$1"));
  if (words[0] !== "ssh") refuse(`runs "${words[0]}", and only ssh can be followed`);
  const bad = words.find((word) => !/^[A-Za-z0-9_@+=:,./[\]%-]+$/.test(word));
  if (bad !== undefined) refuse(`has a word that only a shell could read, ${bad}`);
  const rest = words.slice(1);
  const host = rest.pop();
  if (host === undefined || host.startsWith("-")) refuse("names no host at its end");
  const take = (flag: string, value: string, why: string): void => {
    const at = rest.indexOf(flag);
    if (at < 0 || rest[at + 1] !== value) refuse(why);
    rest.splice(at, 2);
  };
  take("-F", "none", "lacks -F none, so it would read a configuration that is not seen here");
  take("-W", "[%h]:%p", "lacks -W '[%h]:%p', so it leads somewhere else");
  const percent = rest.find((word) => word.includes("%"));
  if (percent !== undefined) refuse(`has a token of its own in ${percent}`);
  let options: SshOptions;
  try {
    options = parseSshOptions(rest);
  } catch (error) {
    throw new Error(`${(error as Error).message}. It stands in ProxyCommand`);
  }
  if (options.jump !== undefined) refuse("has a ProxyCommand of its own, and one hop can be followed");
  const [, user, name] = /^(?:([^@]+)@)?(.+)$/.exec(host as string) ?? [];
  return {
    host: (name as string).replace(/^\[(.*)\]$/, "$1"),
    options: user === undefined ? options : { ...options, user },
  };
}

function unquote(value: string): string {
  return value.replace(/^"(.*)"$/s, "$1");
}

function number(name: string, value: string): number {
  const parsed = Number(value);
  if (!Number.isInteger(parsed) || parsed <= 0)
    throw new Error(`sshOpts: ${name} takes a whole number above 0`);
  return parsed;
}
