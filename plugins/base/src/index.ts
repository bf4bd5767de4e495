/**
 * What Berth's own provider plugins share: plain values with secrets kept apart, a schema check, a diff,
 * the gRPC server, and a pool of SSH connections.
 *
 * A plugin is `serve({ name, version, config, resources, functions, configure, close })`; see
 * {@link ProviderSpec} and {@link ResourceType}. Its handlers see plain values; secrets are put back by
 * the server. SSH goes through {@link SshPool}: one connection per host, port, user and key.
 */
export { type DiffOptions, diffInputs } from "./diff";
export { fingerprint, type HostKey, parseHostKeys } from "./hostkey";
export { checkInputs } from "./schema";
export { ProviderError, serve } from "./server";
export {
  type Channel,
  defaultPool,
  type ExecOptions,
  type ExecResult,
  type SshConnection,
  SshError,
  SshPool,
  type SshPoolOptions,
  type SshProxy,
} from "./ssh";
export { addressOf, prepare as prepareConnection } from "./ssh-dial";
export type {
  Bag,
  CheckFailure,
  CheckRequest,
  Context,
  CreateRequest,
  CreateResult,
  DeleteRequest,
  DiffKind,
  DiffRequest,
  DiffResult,
  FunctionType,
  InvokeResult,
  Outputs,
  Path,
  Property,
  PropertyChange,
  Props,
  ProviderSpec,
  ReadRequest,
  ReadResult,
  ResourceType,
  Schema,
  Severity,
  UpdateRequest,
  Value,
} from "./types";
export {
  formatPath,
  getPath,
  hasUnknown,
  isSecretPath,
  isUnknown,
  markSecrets,
  redact,
  UNKNOWN,
  unwrapSecrets,
} from "./values";
