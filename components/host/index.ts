/** Host stages: what is done on every node before anything of Berth's runs there. */
export { type BaseOptions, basePackages, type OperatorOptions, renderBase } from "./base";
export {
  type FabricFacts,
  type FabricInterface,
  type FabricSpec,
  readFabricFacts,
  renderFabric,
} from "./fabric";
export {
  type Disk,
  type Gpu,
  type NodeFacts,
  parseGpus,
  type RuntimeFacts,
  readNodeFacts,
  readRuntimeFacts,
} from "./facts";
export { type FirewallOptions, type FirewallRule, renderFirewall } from "./firewall";
export { type HostKeyOptions, renderHostKey } from "./host-key";
export { type ReadyOptions, renderReady } from "./node-ready";
export {
  type PreflightFacts,
  type PreflightOptions,
  readPreflightFacts,
  renderPreflight,
} from "./preflight";
export { type RetireOptions, renderRetire } from "./retire";
export { daemonConfig, type RuntimeOptions, renderRuntime } from "./runtime";
export { heredoc, quote, quoteAll, StageOptionError } from "./shell";
export {
  type Json,
  parseFacts,
  renderStage,
  type StageLibrary,
  type StageOptions,
  type StageStep,
  stageBody,
} from "./stage";
export { patience, Stages, type StagesArgs } from "./stages";
export {
  defaultStorage,
  type HomeQuota,
  renderStorage,
  type StorageOptions,
  type StorageSpec,
  storageLabel,
  storageTree,
} from "./storage";
