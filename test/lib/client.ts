/** @file Clients beside a node: containers that ask its ports as other computers would. */
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

/**
 * True when an HTTP server answers there within so many seconds, asked from a client container or, without one, from
 * this computer.
 */
export async function answers(
  client: string | undefined,
  host: string,
  port: number,
  seconds = 2,
): Promise<boolean> {
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${port}/`;
  const curl = ["curl", "-g", "-s", "--noproxy", "*", "-m", String(seconds), "-o", "/dev/null", url];
  const [command = "", ...args] = client ? ["docker", "exec", client, ...curl] : curl;
  return (await run(command, args, { deadline: 30 * SECOND })).code === 0;
}

export interface Watch {
  /** True when it was answered so far. */
  answered: () => boolean;
  /** Ends it, and tells whether it was ever answered. */
  stop: () => Promise<boolean>;
}

/** Asks for ever until stopped; it has asked once when this returns, so nothing that follows goes unseen. */
export async function watch(client: string, host: string, port: number): Promise<Watch> {
  const ask = `curl -s --noproxy '*' -m 1 -o /dev/null http://${host}:${port}/`;
  const script = `while :; do ${ask} && echo open || { echo closed; sleep 0.05; }; done`;
  const child = spawn("docker", ["exec", client, "bash", "-c", script], {
    stdio: ["ignore", "pipe", "ignore"],
  });
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
      await run("docker", ["exec", client, "pkill", "curl|bash"]);
      // What it printed last is read before it is judged.
      await ended;
      return answered();
    },
  };
}
