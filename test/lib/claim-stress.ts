/**
 * @file Many claims and deletes on a node of a stack, by clients of several tenants at the same time. Each client writes a mark into
 * what it got, and has to find it there alone.
 *
 * Each delete makes room for a new container of the pool, which Docker makes in about as long as it deletes one: so it is Docker and
 * the number of processors that say how long all of it takes.
 */
import { MINUTE } from "./time";
import { until } from "./until";

// biome-ignore lint/suspicious/noExplicitAny: what the API answers
type Answer = { status: number; body: any };

export interface StressNode {
  call(method: string, path: string, body: object | undefined, token: string): Promise<Answer>;
  /** The clients take turns with them. */
  tokens: readonly string[];
  /** Runs bash on the node. */
  onNode(script: string): Promise<string>;
}

export interface Stress {
  template: string;
  claims: number;
  clients: number;
  /** Of all claims and deletes together. */
  deadlineMs: number;
}

export interface Stressed {
  /** In the order in which they were handed out. */
  claims: { id: string; fromPool: boolean; took: number }[];
  milliseconds: number;
  /** Of Docker's, when the pools were full. */
  containers: { before: number; after: number };
  /** What berthd has more at the end than at the beginning. */
  more: { files: number; mebibytes: number };
}

interface Look {
  files: number;
  mebibytes: number;
}

/** berthd is looked at so often; of the first looks and of the last ones the lowest counts, as garbage comes and goes. */
const LOOKS = 12;

/** @throws Error where an answer is not as it should be, or a client does not find its own mark alone */
export async function stress(node: StressNode, options: Stress): Promise<Stressed> {
  const { tokens } = node;
  const { claims: count, clients, deadlineMs } = options;
  await full(node);
  const before = await containersOf(node);
  const claims: Stressed["claims"] = [];
  const looks: Look[] = [];
  const began = performance.now();
  let begun = 0;
  const client = async (number: number) => {
    for (let n = begun++; n < count; n = begun++) {
      if (performance.now() - began > deadlineMs)
        throw new Error(`${claims.length} of ${count} claims in ${deadlineMs / MINUTE} minutes`);
      try {
        claims.push(
          await turn(node, options.template, tokens[number % tokens.length] ?? "", `${number}-${n}`),
        );
      } catch (error) {
        // The others need not go on.
        begun = count;
        throw error;
      }
      if (claims.length % Math.ceil(count / LOOKS) === 0) looks.push(await lookAt(node));
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: clients }, (_, number) => client(number)));
  const failed = ended.flatMap((one) => (one.status === "rejected" ? [String(one.reason)] : []));
  if (failed.length > 0) throw new Error(failed.join("\n"));
  const milliseconds = performance.now() - began;
  await full(node);
  const after = await until(`${before} containers`, MINUTE, async () => {
    const now = await containersOf(node);
    if (now !== before) throw new Error(`${now} are there`);
    return now;
  });
  looks.push(await lookAt(node));
  return { claims, milliseconds, containers: { before, after }, more: growth(looks) };
}

async function ok(
  { call }: Pick<StressNode, "call">,
  status: number,
  ...request: Parameters<StressNode["call"]>
) {
  const answer = await call(...request);
  if (answer.status !== status)
    throw new Error(`${request[0]} ${request[1]}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

/** One claim to its delete. */
async function turn(node: StressNode, template: string, token: string, mark: string) {
  const began = performance.now();
  const claimed = await ok(node, 201, "POST", "/api/containers/claim", { template }, token);
  const took = performance.now() - began;
  const { id, fromPool } = claimed;
  const command = `echo ${mark} >/mark-${mark} && cat /mark-*`;
  const said = await ok(node, 200, "POST", `/api/containers/${id}/exec`, { command }, token);
  if (said.exitCode !== 0 || said.stdout !== `${mark}\n`)
    throw new Error(`container ${id} of client ${mark}: ${JSON.stringify(said)}`);
  await ok(node, 200, "DELETE", `/api/containers/${id}`, undefined, token);
  return { id, fromPool, took };
}

/** Until each pool is at its target, and nothing is made for it. */
const full = (node: StressNode) =>
  until("pools that are full", 3 * MINUTE, async () => {
    const { pools } = await ok(node, 200, "GET", "/api/pool", undefined, node.tokens[0] ?? "");
    for (const { ready, target, warming } of pools)
      if (ready !== target || warming !== 0) throw new Error(JSON.stringify(pools));
    return true;
  });

const containersOf = async ({ onNode }: StressNode) =>
  Number(await onNode("docker ps --all --quiet | wc -l"));

async function lookAt({ onNode }: StressNode): Promise<Look> {
  const text = await onNode(
    'pid=$(systemctl show --property MainPID --value berthd); ls "/proc/$pid/fd" | wc -l; grep RssAnon: "/proc/$pid/status"',
  );
  const [files, kibibytes] = text.match(/\d+/g)?.map(Number) ?? [];
  if (files === undefined || kibibytes === undefined) throw new Error(`berthd is not there: ${text}`);
  return { files, mebibytes: kibibytes / 1024 };
}

/** Of the last third of the looks beyond the first: before the first look what is loaded once is loaded. */
function growth(looks: readonly Look[]): Look {
  const third = Math.max(1, Math.floor(looks.length / 3));
  const lowest = (some: readonly Look[], of: keyof Look) => Math.min(...some.map((one) => one[of]));
  const of = (key: keyof Look) => lowest(looks.slice(-third), key) - lowest(looks.slice(0, third), key);
  return { files: of("files"), mebibytes: of("mebibytes") };
}
