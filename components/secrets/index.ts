/** Secrets of a stack: one seed, and what is derived from it. */
export {
  authorizedKeys,
  nodeHostKey,
  operatorKey,
  ownHostKey,
  rayToken,
  registryPassword,
  type SshKeyPair,
  tenantToken,
  type UserCredentials,
  userCredentials,
  workspaceHostKey,
} from "./derive";
export { forgetUserKeys, placeStackFiles, type StackFiles, stackFiles } from "./files";
export { Seed } from "./seed";
