import { readFileSync } from "node:fs";
import { z } from "zod";
import { strategySchema } from "../../core/gpu";
import { IMAGE, USER_NAME } from "../../core/names";
import type { PortRange } from "../../core/net";
import { issueTexts } from "../../core/problems";
import { managerSchema } from "./manager/config";

const listen = ["loopback", "private", "off"] as const;

/** The plan's default (config/network/ports.ts of the stack), for a node.json that says nothing of it. */
export const defaultContainerPorts: Readonly<PortRange> = { start: 20_000, end: 29_999 };

const port = z.int().min(1).max(65_535);

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
    /** Whose programs may hold tokens of role `tenant`; none is a user too. No setting of the stack writes them yet. */
    tenants: z.array(z.strictObject({ name: z.string().regex(USER_NAME) })).default([]),
    /** The TCP API: `loopback`, the node's private address, or none. */
    listen: z.enum(listen).default("loopback"),
    port: z.int().min(0).max(65535).default(9700),
    /** Required for `listen: private`. */
    privateAddress: z.union([z.ipv4(), z.ipv6()]).optional(),
    /**
     * `containers`: host ports that berthd's own containers may be published on. Left out: `defaultContainerPorts`.
     */
    ports: z.strictObject({ containers: z.strictObject({ start: port, end: port }) }).optional(),
    /** Images of which people may make containers, beside those of the stack's own containers on the node. */
    images: z.array(z.string().regex(IMAGE)).optional(),
    /** The container manager, for tenants. Left out: this node has none. */
    manager: managerSchema.optional(),
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
    node.tenants.forEach(({ name }, index) => {
      once(names, name, ["tenants", index, "name"]);
    });
  });

export type NodeConfig = z.infer<typeof nodeSchema>;

/** Whether `node.json` names this user, or this tenant. */
export function isNamed({ users, tenants }: NodeConfig, what: "user" | "tenant", name: string): boolean {
  return (what === "user" ? users : tenants).some((one) => one.name === name);
}

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
