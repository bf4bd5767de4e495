/** What the SSH pool takes and gives; see {@link SshPool} in ssh.ts. */
import type { Duplex } from "node:stream";

/** How to reach and recognise one SSH server. */
export interface SshProxy {
  readonly host: string;
  /** Default 22. */
  readonly port?: number;
  /** Default `root`. */
  readonly user?: string;
  /** OpenSSH or PEM text. */
  readonly privateKey?: string;
  /** Default: the environment's SSH_AUTH_SOCK. */
  readonly agentSocketPath?: string;
  /** authorized_keys line(s) or known_hosts text. Without it any host key is accepted, as the official plugin does. */
  readonly hostKey?: string;
  /** Failed tries before giving up; -1: for ever. Default 10. */
  readonly dialErrorLimit?: number;
  /** Seconds per try, handshake and sign-in included; 0: no limit. Default 15. */
  readonly perDialTimeout?: number;
}

export interface SshConnection extends SshProxy {
  /** A bastion to go through. */
  readonly proxy?: SshProxy;
}

export interface CallOptions {
  /** Ends the call: the remote process gets TERM, then its channel is closed. */
  readonly signal?: AbortSignal;
  /** The call's end, `Date.now()` milliseconds; dialling counts. */
  readonly deadline?: number;
  /** Told after each failed try that will be repeated; no secret in it. */
  readonly onRetry?: (message: string) => void;
}

export interface ExecOptions extends CallOptions {
  readonly stdin?: string | Buffer;
  /** Bytes kept of each of stdout and stderr; more is an error. Default 16 MiB. */
  readonly maxOutput?: number;
  /** Live output, as it comes. */
  readonly onStdout?: (chunk: Buffer) => void;
  readonly onStderr?: (chunk: Buffer) => void;
}

export interface ExecResult {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** Exit status; null if a signal ended the process. A status other than 0 is no exception. */
  readonly code: number | null;
  /** `TERM`, `KILL`…, if a signal ended it. */
  readonly signal?: string;
}

/** The stdin and stdout of a remote command as one stream; `end()` closes its stdin, `destroy()` the channel. */
export interface Channel extends Duplex {
  /** Resolves when the process has ended. */
  readonly exit: Promise<{ code: number | null; signal?: string; stderr: string }>;
}

export type SshErrorKind =
  | "dial" // could not connect within the tries
  | "auth" // the server refused every way of signing in
  | "hostkey" // the server showed another key
  | "config" // bad key, bad host key text
  | "channel" // connection lost, or the server refused a session
  | "cancelled"
  | "deadline"
  | "output"; // more output than maxOutput

/** A failed SSH operation. The message names `user@host:port`, and never a key, password, command or stdin. */
export class SshError extends Error {
  readonly kind: SshErrorKind;
  /** No retry of the target helps (its bastion could not be reached). */
  final = false;
  constructor(kind: SshErrorKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "SshError";
    this.kind = kind;
  }
}
