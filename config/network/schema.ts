import { z } from "zod";
import { port, range, text } from "../values";

/** Shape of the networks, the firewall and the ports. Checked in check.ts. */

export const network = z.strictObject({ cidr: text }).default({ cidr: "10.88.0.0/24" });

export const firewall = z
  .strictObject({
    allowSsh: z.array(text).optional(),
    allowUsers: z.array(text).optional(),
    rules: z
      .array(
        z.strictObject({
          port,
          protocol: z.enum(["tcp", "udp"]).default("tcp"),
          from: z.array(text).min(1),
        }),
      )
      .default([]),
  })
  .default({ rules: [] });

export const ports = z
  .strictObject({
    users: z.strictObject({ start: port.optional(), blocks: z.int().min(1).max(500).optional() }).optional(),
    containers: range.optional(),
    ray: z
      .strictObject({
        gcs: port.optional(),
        dashboard: port.optional(),
        client: port.optional(),
        nodeManager: port.optional(),
        objectManager: port.optional(),
        runtimeEnvAgent: port.optional(),
        dashboardAgentHttp: port.optional(),
        dashboardAgentGrpc: port.optional(),
        metrics: port.optional(),
        workers: range.optional(),
      })
      .optional(),
  })
  .default({});

/** InfiniBand or another fast network between the nodes, beside the private one. */
export const fabric = z.strictObject({
  enabled: z.boolean(),
  interface: text.optional(),
  address: text.optional(),
  mtu: z.int().min(1280).max(65520).optional(),
});

export type FabricConfig = z.output<typeof fabric>;
