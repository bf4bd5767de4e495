/** The `sshOpts` of the provider: arguments of OpenSSH's `ssh`, as the official plugin passes them on. Pure. */

export interface SshOptions {
  /** `-i` or `IdentityFile`, as written. */
  readonly identityFile?: string;
  readonly user?: string;
  readonly port?: number;
  /** As written; default: OpenSSH's, `~/.ssh/known_hosts`. */
  readonly knownHostsFiles: readonly string[];
  /** `accept-new`: a host seen for the first time is written to the file; a changed key is refused either way. */
  readonly strict: "yes" | "accept-new";
  /** Only the key of `-i`, no agent. */
  readonly identitiesOnly: boolean;
  /** Seconds. */
  readonly connectTimeout?: number;
}

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
  "-i KEY, -l USER, -p PORT and -o with UserKnownHostsFile, StrictHostKeyChecking (yes, accept-new), IdentityFile, " +
  "IdentitiesOnly, User, Port, ConnectTimeout, BatchMode, ControlMaster, ControlPath, ControlPersist, " +
  "ServerAliveInterval, ServerAliveCountMax, LogLevel, Compression, TCPKeepAlive, ConnectionAttempts";

/**
 * @param args `["-i", "/key", "-o", "BatchMode=yes"]`; also `-i/key`, `-oBatchMode=yes`, and an option with its
 * value in one entry (`"-o BatchMode=yes"`).
 * @throws Error naming the first argument that is not known, and what is.
 */
export function parseSshOptions(args: readonly string[]): SshOptions {
  const options: { -readonly [K in keyof SshOptions]: SshOptions[K] } = {
    knownHostsFiles: [],
    strict: "yes",
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

function setOption(options: { -readonly [K in keyof SshOptions]: SshOptions[K] }, text: string): void {
  const match = /^\s*([A-Za-z]+)(?:\s*=\s*|\s+)(.*?)\s*$/s.exec(text);
  if (match === null) throw new Error(`sshOpts: "-o ${text}" is not of the form Name=value`);
  const [name, value] = [match[1] as string, unquote(match[2] as string)];
  const key = name.toLowerCase();
  switch (key) {
    case "userknownhostsfile":
      options.knownHostsFiles = value.split(/\s+/);
      return;
    case "stricthostkeychecking":
      if (value !== "yes" && value !== "accept-new") {
        throw new Error(
          `sshOpts: StrictHostKeyChecking=${value} is refused, for it would trust whoever answers; ` +
            `take "yes" with the host's key in UserKnownHostsFile, or "accept-new"`,
        );
      }
      options.strict = value;
      return;
    case "identityfile":
      options.identityFile = value;
      return;
    case "identitiesonly":
      options.identitiesOnly = value === "yes";
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

function unquote(value: string): string {
  return value.replace(/^"(.*)"$/s, "$1");
}

function number(name: string, value: string): number {
  const parsed = Number(value);
  if (!Number.isInteger(parsed) || parsed <= 0)
    throw new Error(`sshOpts: ${name} takes a whole number above 0`);
  return parsed;
}
