/** berthd: the daemon of each node. */
export { Agent, type AgentArgs, agentMounts } from "./agent";
export type { AgentDocuments, AgentOptions, NodeDocument } from "./options";
export { AGENT } from "./options";
export { type AgentFacts, agentInput, readAgentFacts, renderAgent } from "./stage";
