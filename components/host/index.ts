/** Host stages: what is done on every node before anything of Berth's runs there. */
export { type BaseOptions, renderBase } from "./base";
export { type FabricSpec, readFabricFacts, renderFabric } from "./fabric";
export { readNodeFacts } from "./facts";
export { type FirewallOptions, renderFirewall } from "./firewall";
export { renderHostKey } from "./host-key";
export { renderReady } from "./node-ready";
export { type PreflightFacts, type PreflightOptions, readPreflightFacts, renderPreflight } from "./preflight";
export { renderRetire } from "./retire";
export { daemonConfig, type RuntimeOptions, renderRuntime } from "./runtime";
export { heredoc, quote, StageOptionError } from "./shell";
export { stageBody } from "./stage";
export { patience, Stages, type StagesArgs } from "./stages";
export { renderStorage, type StorageOptions, storageLabel } from "./storage";
