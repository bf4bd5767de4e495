import { request } from "node:http";
import * as pulumi from "@pulumi/pulumi";
import { ConfigError, type Plan, type Problem } from "../config";
import { sizeText } from "../config/schema-base";

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
 * What the operator's engine says of its computer.
 *
 * @param host as DOCKER_HOST has it; only what can be asked without keys is asked: `unix://…` and `tcp://…`
 * @returns undefined where no engine answers within 5 s: whoever makes the nodes tells that better
 */
export function askEngine(
  host = process.env.DOCKER_HOST || `unix://${DEFAULT_SOCKET}`,
): Promise<Computer | undefined> {
  const [, kind, rest = ""] = /^(unix|tcp):\/\/(.+)$/.exec(host) ?? [];
  if (kind === undefined || (kind === "tcp" && process.env.DOCKER_TLS_VERIFY))
    return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const give = (text: string) => {
      try {
        const { NCPU: cpus, MemTotal: memoryBytes } = JSON.parse(text) as {
          NCPU?: unknown;
          MemTotal?: unknown;
        };
        const whole =
          Number.isInteger(cpus) &&
          Number.isInteger(memoryBytes) &&
          Number(cpus) > 0 &&
          Number(memoryBytes) > 0;
        resolve(whole ? { cpus: Number(cpus), memoryBytes: Number(memoryBytes) } : undefined);
      } catch {
        resolve(undefined);
      }
    };
    try {
      const url = new URL("/info", kind === "unix" ? "http://docker" : `http://${rest}`);
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
 * Ends an update whose local nodes are said to have more than there is; a preview, which may run on another computer (on
 * a pull request), is told so.
 *
 * @throws ConfigError
 */
export async function checkRoom(
  plan: Plan,
  preview: boolean,
  ask: () => Promise<Computer | undefined> = askEngine,
  warn: (message: string) => void = (message) => void pulumi.log.warn(message),
): Promise<void> {
  if (!plan.nodes.some(({ kind }) => kind === "local")) return;
  const computer = await ask();
  const problems = computer ? roomProblems(plan, computer) : [];
  if (problems.length === 0) return;
  if (!preview) throw new ConfigError(plan.stack, problems);
  for (const { path, value, problem, allowed } of problems)
    warn(`${path} = ${value} ${problem} (${allowed}). An update there would be refused.`);
}
