import { z } from "zod";
import { templateSchema } from "../../core/manager";
import { port, size, text } from "../values";

/** Shape of `berth:manager`: containers that back-ends ask for. Checked in check.ts. */

/** Where something is offered on a node: to itself, at the address that the nodes share, or at the one of the Internet. */
const place = z.enum(["loopback", "private", "public"]);

const tenant = z.strictObject({
  name: text,
  /** Raise it to replace the tenant's tokens, one on each node. The old one stays good for a day. */
  tokenVersion: z.int().min(1).max(1_000_000).default(1),
});

const repositoryHost = z.strictObject({
  host: text,
  port: port.optional(),
  /** Plain HTTP. */
  insecure: z.boolean().optional(),
  /** Its addresses may be private ones. */
  internal: z.boolean().optional(),
});

export const manager = z.strictObject({
  /** Nodes that have it; all of the stack when left out, none when empty. */
  nodes: z.array(text).optional(),
  /** Where back-ends reach it. */
  listen: place.default("private"),
  port: port.default(8080),
  /** Certificate and key, as files of the node in PEM. berthd reads them again when they change. */
  tls: z.strictObject({ certificate: text, key: text }).optional(),
  /** Gives up encryption where the manager listens in public: tokens and all else can be read on the way. */
  plainHttp: z.boolean().default(false),
  /** By node, how back-ends reach it: behind a proxy, or by the name in the certificate. */
  urls: z.record(z.string(), text).default({}),
  /** Where ports of containers are published. */
  publish: place.default("private"),
  /** Networks that may reach the manager and the published ports. */
  allow: z.array(text).min(1).optional(),
  /** The back-ends: each has containers, repositories and images of its own. */
  tenants: z.array(tenant).min(1).max(64),
  /**
   * What is deleted for good, once it stands in no other list: of these tenants all that they had on any node, and of these nodes all
   * that tenants had there. What is left out of both lists stays, with its containers stopped.
   */
  purge: z
    .strictObject({
      tenants: z.array(text).max(256).default([]),
      nodes: z.array(text).max(1024).default([]),
    })
    .prefault({}),
  /** Kinds of containers of which some stand ready; one of the default image when left out. */
  templates: z.array(templateSchema).max(64).optional(),
  images: z
    .strictObject({
      /** Of a container whose request names none. */
      default: text.default("node:24-slim"),
      /** Names, patterns such as `node:*`, and digests that a request may name. */
      allowed: z.array(text).max(256).default(["node:*", "python:*"]),
      /** Names for which Berth's own image `dev` stands in, where no registry answers. */
      standIn: z.array(text).max(64).default([]),
    })
    .prefault({}),
  /** Hosts of Git repositories; `owner/repo` is one of the first. */
  repositories: z
    .strictObject({ hosts: z.array(repositoryHost).min(1).max(64) })
    .default({ hosts: [{ host: "github.com" }] }),
  /** Hosts and networks that callbacks may go to although they are none of the Internet's. */
  callbacks: z.strictObject({ allowed: z.array(text).max(256).default([]) }).prefault({}),
  /** Origins of pages of back-ends, which open terminals and logs of containers with a ticket. */
  origins: z.array(text).max(64).default([]),
  /** Memory of a node that containers of back-ends leave alone. */
  reserve: size.prefault("1GiB"),
  mainImages: z
    .strictObject({
      /** A main image that nobody has used for so long is removed. */
      unusedHours: z
        .int()
        .min(1)
        .max(24 * 366)
        .default(168),
    })
    .prefault({}),
});

export type ManagerConfig = z.output<typeof manager>;
