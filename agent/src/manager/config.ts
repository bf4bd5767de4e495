/** What node.json says of the container manager. Pure. */
import { z } from "zod";
import { isImage, isImagePattern, templatesSchema } from "../../../core/manager";

const images = z.strictObject({
  /** Of a container whose request names none. */
  default: z.string().refine(isImage, "is no name of an image, such as node:24-slim").default("node:24-slim"),
  /** Those of templates and the default are allowed in any case. */
  allowed: z
    .array(z.string().refine(isImagePattern, "is no pattern of images, such as node:*"))
    .max(256)
    .default(["node:*", "python:*"]),
});

const host = z.strictObject({
  host: z.string().min(1).max(253),
  port: z.int().min(1).max(65_535).optional(),
  insecure: z.boolean().optional(),
  internal: z.boolean().optional(),
});

export const managerSchema = z.strictObject({
  templates: templatesSchema.default([]),
  images: images.default({ default: "node:24-slim", allowed: ["node:*", "python:*"] }),
  /** Where ports of containers are published. */
  publish: z.strictObject({ address: z.union([z.ipv4(), z.ipv6()]) }).default({ address: "127.0.0.1" }),
  /** Base of this API as back-ends reach it, for the URLs that it answers. */
  url: z
    .string()
    .max(512)
    .regex(/^https?:\/\/[^\s?#]+$/, "is no URL: http://HOST:PORT"),
  repositories: z.strictObject({ hosts: z.array(host).max(64) }).default({ hosts: [] }),
  callbacks: z.strictObject({ allowed: z.array(z.string().max(255)).max(256) }).default({ allowed: [] }),
  /** Memory for the node itself. */
  reserveMiB: z
    .int()
    .min(0)
    .max(2 ** 30)
    .default(1024),
  mainImages: z.strictObject({ unusedHours: z.int().min(1).max(87_600) }).default({ unusedHours: 168 }),
});

export type ManagerConfig = z.infer<typeof managerSchema>;
