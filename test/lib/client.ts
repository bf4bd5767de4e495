/** @file Clients beside a node: containers and network namespaces that ask its ports as other computers would. */
import { spawn } from "node:child_process";
import { docker } from "./docker";
import { run } from "./run";
import { SECOND } from "./time";
import { until } from "./until";

export interface ClientOptions {
  name: string;
  network: string;
  address: string;
  address6?: string;
  /** Any with curl and bash, such as the node image. */
  image: string;
  /** Beside Docker's own set, such as NET_ADMIN. @default none */
  capabilities?: readonly string[];
}

export async function startClient(options: ClientOptions): Promise<void> {
  const { name, network, address, address6, image, capabilities = [] } = options;
  await docker(
    ...["run", "--detach", "--init", "--name", name, "--network", network, "--ip", address],
    ...[...(address6 ? ["--ip6", address6] : []), ...capabilities.flatMap((one) => ["--cap-add", one])],
    ...["--entrypoint", "sleep", image, "7200"],
  );
}

/** Where a client is: the name of a container, or the words that run a program in a network namespace. */
export type Client = string | readonly string[];

const into = (client: Client): readonly string[] =>
  typeof client === "string" ? ["docker", "exec", client] : client;

const urlOf = (host: string, port: number) => `http://${host.includes(":") ? `[${host}]` : host}:${port}/`;

/**
 * True when an HTTP server answers there within so many seconds, asked from a client or, without one, from this
 * computer.
 */
export async function answers(
  client: Client | undefined,
  host: string,
  port: number,
  seconds = 2,
): Promise<boolean> {
  const ask = ["-g", "-s", "--noproxy", "*", "-m", String(seconds), "-o", "/dev/null", urlOf(host, port)];
  const [program = "", ...args] = [...(client === undefined ? [] : into(client)), "curl", ...ask];
  return (await run(program, args, { deadline: 30 * SECOND })).code === 0;
}

export interface Watch {
  /** True when it was answered so far. */
  answered: () => boolean;
  /** Ends it, and tells whether it was ever answered. */
  stop: () => Promise<boolean>;
}

/** Asks for ever until stopped; it has asked once when this returns, so nothing that follows goes unseen. */
export async function watch(client: Client, host: string, port: number): Promise<Watch> {
  const ask = `curl -g -s --noproxy '*' -m 1 -o /dev/null '${urlOf(host, port)}'`;
  const script = `while :; do ${ask} && echo open || { echo closed; sleep 0.05; }; done`;
  const [program = "", ...args] = [...into(client), "bash", "-c", script];
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "ignore"] });
  let seen = "";
  child.stdout.on("data", (data) => {
    seen += String(data);
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const answered = () => seen.includes("open");
  await until(`the watch of ${host}:${port}`, 30 * SECOND, () => seen !== "");
  return {
    answered,
    stop: async () => {
      // The command `docker` ends alone: what it started in the container goes on.
      if (typeof client === "string") await run("docker", ["exec", client, "pkill", "curl|bash"]);
      else child.kill();
      // What it printed last is read before it is judged.
      await ended;
      return answered();
    },
  };
}
