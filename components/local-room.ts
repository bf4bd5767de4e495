import { request } from "node:http";
import * as pulumi from "@pulumi/pulumi";
import { ConfigError, type Plan, type Problem, sizeText } from "../config";
import { containerPolicies, LABEL } from "../core/containers";

/** What local nodes may take of the computer that they run on. Only its engine knows how much there is. */

export interface Computer {
  cpus: number;
  memoryBytes: number;
}

const GiB = 2 ** 30;

/** The kernel keeps a part for itself: a computer of 8 GB shows 7.6 GiB. What it is sold as may be given away. */
const KERNEL_SHARE = 0.05;

const DEFAULT_SOCKET = "/var/run/docker.sock";

/**
 * Local nodes that are said to have more than the computer. Docker takes any amount of memory for a limit, and what runs
 * in the node would be given out twice over; more CPUs than there are it refuses in the middle of an update. Nodes may
 * share: their sum is not judged. Pure.
 */
export function roomProblems(plan: Plan, computer: Computer): Problem[] {
  const most = Math.ceil((computer.memoryBytes * (1 + KERNEL_SHARE)) / GiB) * GiB;
  return plan.nodes.flatMap((node, i): Problem[] => {
    if (node.kind !== "local") return [];
    const problem = "is more than the computer has that its Docker engine runs on";
    const path = `berth:nodes[${i}]`;
    return [
      ...(node.memoryBytes > most
        ? [
            {
              path: `${path}.memory`,
              value: sizeText(node.memoryBytes),
              problem,
              allowed: `at most ${sizeText(most)}`,
            },
          ]
        : []),
      ...(node.cpus > computer.cpus
        ? [{ path: `${path}.cpus`, value: node.cpus, problem, allowed: `at most ${computer.cpus}` }]
        : []),
    ];
  });
}

/**
 * One answer of the operator's engine.
 *
 * @param host as DOCKER_HOST has it; only what can be asked without keys is asked: `unix://…` and `tcp://…`
 * @returns JSON; undefined where no engine answers within 5 s: whoever makes the nodes tells that better
 */
function askDocker(
  path: string,
  host = process.env.DOCKER_HOST || `unix://${DEFAULT_SOCKET}`,
): Promise<unknown> {
  const [, kind, rest = ""] = /^(unix|tcp):\/\/(.+)$/.exec(host) ?? [];
  if (kind === undefined || (kind === "tcp" && process.env.DOCKER_TLS_VERIFY))
    return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const give = (text: string) => {
      try {
        resolve(JSON.parse(text));
      } catch {
        resolve(undefined);
      }
    };
    try {
      const url = new URL(path, kind === "unix" ? "http://docker" : `http://${rest}`);
      const options = {
        timeout: 5000,
        agent: false as const,
        ...(kind === "unix" ? { socketPath: rest } : {}),
      };
      const asked = request(url, options, (answer) => {
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (part) => {
          text += part;
        });
        answer.on("end", () => give(text));
        answer.on("error", () => resolve(undefined));
      });
      asked.on("timeout", () => asked.destroy());
      asked.on("error", () => resolve(undefined));
      asked.on("close", () => resolve(undefined));
      asked.end();
    } catch {
      resolve(undefined);
    }
  });
}

/**
 * What the operator's engine says of its computer.
 *
 * @param host as DOCKER_HOST has it
 * @returns undefined where no engine answers
 */
export async function askEngine(host?: string): Promise<Computer | undefined> {
  const { NCPU: cpus, MemTotal: memoryBytes } = ((await askDocker("/info", host)) ?? {}) as Record<
    string,
    unknown
  >;
  const whole = (value: unknown): value is number => Number.isInteger(value) && Number(value) > 0;
  return whole(cpus) && whole(memoryBytes) ? { cpus, memoryBytes } : undefined;
}

/**
 * The local nodes of a stack that the operator's engine has already, by name.
 *
 * @param host as DOCKER_HOST has it
 */
export async function askNodes(stack: string, host?: string): Promise<Set<string>> {
  const label = [`${LABEL.stack}=${stack}`, `${LABEL.component}=${containerPolicies.node.component}`];
  const filters = encodeURIComponent(JSON.stringify({ label }));
  const found = await askDocker(`/containers/json?all=true&filters=${filters}`, host);
  const names = (Array.isArray(found) ? found : []).map(
    (one: { Labels?: Record<string, string> } | null) => one?.Labels?.[LABEL.node],
  );
  return new Set(names.filter((name) => name !== undefined));
}

export interface Asked {
  /** @default {@link askEngine} */
  engine?: () => Promise<Computer | undefined>;
  /** Nodes that are there already. @default {@link askNodes} */
  nodes?: () => Promise<ReadonlySet<string>>;
  /** @default Pulumi's log */
  warn?: (message: string) => void;
}

/**
 * Ends an update whose local nodes are said to have more than there is. Whoever may go on is told so: a preview, which
 * may run on another computer (on a pull request), and a node that is there already, whose memory is a limit that
 * Docker took before; more CPUs than there are it refuses at each start.
 *
 * @throws ConfigError
 */
export async function checkRoom(
  plan: Plan,
  preview: boolean,
  {
    engine = askEngine,
    nodes = () => askNodes(plan.stack),
    warn = (message) => void pulumi.log.warn(message),
  }: Asked = {},
): Promise<void> {
  if (!plan.nodes.some(({ kind }) => kind === "local")) return;
  const computer = await engine();
  const problems = computer ? roomProblems(plan, computer) : [];
  if (problems.length === 0) return;
  const there = preview ? undefined : await nodes();
  const stays = ({ path }: Problem) => {
    const [, i] = /\[(\d+)\]\.memory$/.exec(path) ?? [];
    return i !== undefined && there?.has(plan.nodes[Number(i)]?.name ?? "") === true;
  };
  const refused = preview ? [] : problems.filter((problem) => !stays(problem));
  if (refused.length > 0) throw new ConfigError(plan.stack, refused);
  const then = preview ? "An update there would be refused." : "The node is there, and stays as it is.";
  for (const { path, value, problem, allowed } of problems)
    warn(`${path} = ${value} ${problem} (${allowed}). ${then}`);
}
