/**
 * What Berth's own provider plugins share: plain values with secrets kept apart, a schema check, a diff,
 * the gRPC server, and a pool of SSH connections.
 *
 * A plugin is `serve({ name, version, config, resources, functions, configure, close })`; see
 * {@link ProviderSpec} and {@link ResourceType}. Its handlers see plain values; secrets are put back by
 * the server. SSH goes through {@link SshPool}: one connection per host, port, user and key.
 */
export { diffInputs } from "./diff";
export { fingerprint, parseHostKeys } from "./hostkey";
export { checkInputs } from "./schema";
export { ProviderError, serve } from "./server";
export { sleep } from "./sleep";
export {
  type Channel,
  defaultPool,
  type ExecOptions,
  type SshConnection,
  SshError,
  SshPool,
  type SshProxy,
} from "./ssh";
export { addressOf, prepare as prepareConnection } from "./ssh-dial";
export type {
  Bag,
  CheckFailure,
  Context,
  DiffRequest,
  DiffResult,
  FunctionType,
  Path,
  Property,
  PropertyChange,
  Props,
  ProviderSpec,
  ResourceType,
  Schema,
  Value,
} from "./types";
export {
  formatPath,
  getPath,
  hasUnknown,
  isProps,
  isSecretPath,
  isUnknown,
  markSecrets,
  redact,
  UNKNOWN,
  unwrapSecrets,
} from "./values";
