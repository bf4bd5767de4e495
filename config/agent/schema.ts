import { z } from "zod";
import { IMAGE } from "../../core/names";
import { port } from "../values";

/** Shape of `berth:agent`: the daemon of each node. */

export const agent = z.strictObject({
  /** Who reaches berthd's HTTP API over TCP: programs of the node, the stack's nodes, or nobody. */
  listen: z.enum(["loopback", "private", "off"]).default("loopback"),
  port: port.default(9700),
  /** Images of which people may make containers, beside those of the stack's own containers on their node. */
  images: z
    .array(
      z.string().refine((value) => IMAGE.test(value), {
        message: "is no image by its content",
        params: { allowed: "an image by its id (sha256:…) or by digest (name@sha256:…)" },
      }),
    )
    .max(64)
    .optional(),
});

export type AgentConfig = z.output<typeof agent>;
