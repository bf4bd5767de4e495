import { readFileSync } from "node:fs";
import { z } from "zod";
import { SYSTEM } from "../../core/containers";
import { strategySchema } from "../../core/gpu";
import { templatesSchema } from "../../core/manager";
import { IMAGE, USER_NAME } from "../../core/names";
import type { PortRange } from "../../core/net";
import { issueTexts } from "../../core/problems";

const listen = ["loopback", "private", "off"] as const;

/** The plan's default (config/network/ports.ts of the stack), for a node.json that says nothing of it. */
export const defaultContainerPorts: Readonly<PortRange> = { start: 20_000, end: 29_999 };

const port = z.int().min(1).max(65_535);
const address = z.union([z.ipv4(), z.ipv6()]);
const file = z.string().regex(/^\/[^\0\r\n]{1,4095}$/, "is no path of a file");
const word = z.string().min(1).max(512);
/** `HOST:PORT/berth/dev@sha256:…`, in the stack's registry. */
const ownImage = z
  .string()
  .max(512)
  .regex(
    /^[A-Za-z0-9.:[\]-]+\/berth\/dev@sha256:[0-9a-f]{64}$/,
    "is no image of the stack's registry by digest",
  );

/** The container manager of a node: containers that tenants ask for. */
export const managerSchema = z.strictObject({
  /** A listener of its own, for tenants alone. */
  listen: z.strictObject({
    address,
    port: z.int().min(0).max(65_535),
    /** PEM; read again when they change. Left out: plain HTTP. */
    tls: z.strictObject({ certificate: file, key: file }).optional(),
  }),
  /** Where containers' ports are published. */
  publish: z.strictObject({ address }),
  /** How back-ends reach the manager, without a slash at its end. */
  url: z
    .string()
    .max(512)
    .regex(/^https?:\/\/[^\s/?#@]+(\/[^\s?#]*[^\s?#/])?$/, "is no address of HTTP"),
  templates: templatesSchema,
  images: z.strictObject({
    default: word,
    allowed: z.array(word).max(256),
    /** Taken from the stack's registry where a container is to begin with one of these names. */
    standIn: z.strictObject({ names: z.array(word).max(64), image: ownImage }).optional(),
  }),
  repositories: z.strictObject({
    hosts: z
      .array(
        z.strictObject({
          host: word,
          port: port.optional(),
          insecure: z.boolean().optional(),
          internal: z.boolean().optional(),
        }),
      )
      .max(64),
  }),
  /** Hosts and networks that callbacks may go to although they are none of the Internet's. */
  callbacks: z.strictObject({ allowed: z.array(word).max(256) }),
  /** Of back-ends' pages, which open terminals and logs with a ticket: `https://HOST`. */
  origins: z.array(word).max(64).default([]),
  /** Memory that tenants' containers leave alone. */
  reserveMiB: z.int().min(0),
  mainImages: z.strictObject({ unusedHours: z.int().min(1) }),
});

/** `node.json`: what the stack says of a node. Written by the stack; berthd only reads it. */
export const nodeSchema = z
  .strictObject({
    stack: z.string().min(1).max(128),
    node: z.string().min(1).max(128),
    /** Where a place is chosen when the ask says nothing. */
    strategy: strategySchema.default("least-allocated"),
    /** `shared`: GPUs may be granted in shares of their memory. */
    allocation: z.enum(["exclusive", "shared"]).default("exclusive"),
    /** The most of a GPU's memory that one share may have; 0: no limit. */
    memoryLimitMiB: z.int().min(0).default(0),
    /** Who may ask. `uid`: of the account on the node, for the main socket; left out where there is none. */
    users: z
      .array(
        z.strictObject({
          name: z.string().regex(USER_NAME),
          uid: z.int().min(1).max(4_294_967_294).optional(),
          group: z.string().min(1).max(64).optional(),
        }),
      )
      .default([]),
    /**
     * Whose programs may hold tokens of role `tenant`; none is a user too. `tokenHash`: SHA-256, in hex, of the token that the
     * stack gave out; another one replaces it, and the one before stays good for a while.
     */
    tenants: z
      .array(
        z.strictObject({
          name: z.string().regex(USER_NAME),
          tokenHash: z
            .string()
            .regex(/^[0-9a-f]{64}$/, "is no SHA-256 in hex")
            .optional(),
        }),
      )
      .default([]),
    /** Left out: the node has no container manager. */
    manager: managerSchema.optional(),
    /**
     * Tenants that the node has no more, whose containers, volumes, images, packages and logs are to be removed for good; true: all
     * that it has no more. Left out: what they had stays, and their containers are stopped.
     */
    purgeTenants: z.union([z.literal(true), z.array(z.string().regex(USER_NAME)).max(256)]).optional(),
    /** The TCP API: `loopback`, the node's private address, or none. */
    listen: z.enum(listen).default("loopback"),
    port: z.int().min(0).max(65535).default(9700),
    /** Required for `listen: private`. */
    privateAddress: address.optional(),
    /**
     * `containers`: host ports that berthd's own containers may be published on. Left out: `defaultContainerPorts`.
     */
    ports: z.strictObject({ containers: z.strictObject({ start: port, end: port }) }).optional(),
    /** Images of which people may make containers, beside those of the stack's own containers on the node. */
    images: z.array(z.string().regex(IMAGE)).optional(),
    /** How long a reservation without a container lasts, in seconds. */
    reserveSeconds: z.int().min(1).max(86_400).default(600),
  })
  .superRefine((node, context) => {
    if (node.listen === "private" && node.privateAddress === undefined) {
      context.addIssue({
        code: "custom",
        path: ["privateAddress"],
        message: "is missing, and listen is private",
      });
    }
    const containers = node.ports?.containers;
    if (containers !== undefined && containers.end < containers.start) {
      context.addIssue({ code: "custom", path: ["ports", "containers"], message: "ends before it starts" });
    }
    const names = new Map<string, string>();
    const uids = new Map<string, string>();
    /** Notes who has a value, and says so where somebody else has it. */
    const once = (seen: Map<string, string>, value: string, path: [string, number, string]) => {
      const [list, index] = path;
      const first = seen.get(value);
      if (first === undefined) seen.set(value, `${list}[${index}]`);
      else context.addIssue({ code: "custom", path, message: `is that of ${first} too` });
    };
    node.users.forEach(({ name, uid }, index) => {
      once(names, name, ["users", index, "name"]);
      if (uid !== undefined) once(uids, `${uid}`, ["users", index, "uid"]);
    });
    const hashes = new Map<string, string>();
    node.tenants.forEach(({ name, tokenHash }, index) => {
      once(names, name, ["tenants", index, "name"]);
      if (name === SYSTEM)
        context.addIssue({ code: "custom", path: ["tenants", index, "name"], message: "is Berth's own" });
      if (tokenHash !== undefined) once(hashes, tokenHash, ["tenants", index, "tokenHash"]);
    });
  });

export type NodeConfig = z.infer<typeof nodeSchema>;
export type ManagerConfig = z.infer<typeof managerSchema>;

/** Whether `node.json` names this user, or this tenant. */
export function isNamed({ users, tenants }: NodeConfig, what: "user" | "tenant", name: string): boolean {
  return (what === "user" ? users : tenants).some((one) => one.name === name);
}

/** Whether all that a tenant had, which the node has no more, is to be removed. */
export const mayGo = ({ purgeTenants = [] }: NodeConfig, name: string): boolean =>
  purgeTenants === true || purgeTenants.includes(name);

/** A file that berthd cannot start with; the message names the file and every problem in it. */
export class FileProblem extends Error {
  constructor(
    readonly file: string,
    readonly problems: readonly string[],
    fix: string,
  ) {
    super([`${file} cannot be used:`, ...problems.map((p, i) => `  ${i + 1}. ${p}`), fix].join("\n"));
    this.name = "FileProblem";
  }
}

const fix =
  "Mend: run the stack again (npm run up), which writes this file; until then the running berthd keeps the old one.";

/** Reads JSON; throws FileProblem when the file is missing or is no JSON. */
export function readJson(file: string, mend: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new FileProblem(file, [`it cannot be read: ${(error as Error).message}`], mend);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new FileProblem(file, [`it is not JSON: ${(error as Error).message}`], mend);
  }
}

/** Reads and checks `node.json`; throws FileProblem with all its problems. */
export function readNode(file: string): NodeConfig {
  const parsed = nodeSchema.safeParse(readJson(file, fix));
  if (!parsed.success) throw new FileProblem(file, issueTexts(parsed.error), fix);
  return parsed.data;
}
