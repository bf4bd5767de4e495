import { z } from "zod";
import { port } from "../values";

/** Shape of `berth:agent`: the daemon of each node. */

export const agent = z.strictObject({
  /** Who reaches berthd's HTTP API over TCP: programs of the node, the stack's nodes, or nobody. */
  listen: z.enum(["loopback", "private", "off"]).default("loopback"),
  port: port.default(9700),
});

export type AgentConfig = z.output<typeof agent>;
