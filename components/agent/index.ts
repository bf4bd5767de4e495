/** berthd: the daemon of each node. */
export { Agent, agentMounts } from "./agent";
export type { AgentDocuments, NodeDocument } from "./options";
export { AGENT } from "./options";
export { agentInput, readAgentFacts, renderAgent } from "./stage";
