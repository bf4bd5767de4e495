/** @file Clients beside a node: containers that ask its ports as other computers would. */
import { spawn } from "node:child_process";
import { docker } from "./docker";
import { run } from "./run";
import { SECOND } from "./time";

export interface ClientOptions {
  name: string;
  network: string;
  address: string;
  address6?: string;
  /** Any with curl and bash, such as the node image. */
  image: string;
}

export async function startClient({ name, network, address, address6, image }: ClientOptions): Promise<void> {
  await docker(
    ...["run", "--detach", "--init", "--name", name, "--network", network, "--ip", address],
    ...[...(address6 ? ["--ip6", address6] : []), "--entrypoint", "sleep", image, "7200"],
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

/** Asks for ever until stopped; whether it was ever answered. */
export function watch(client: string, host: string, port: number): { stop: () => Promise<boolean> } {
  const script = `while :; do curl -s --noproxy '*' -m 1 -o /dev/null http://${host}:${port}/ && echo open || sleep 0.05; done`;
  const child = spawn("docker", ["exec", client, "bash", "-c", script], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let seen = "";
  child.stdout.on("data", (data) => {
    seen += String(data);
  });
  return {
    stop: async () => {
      await run("docker", ["exec", client, "pkill", "curl|bash"]);
      child.kill();
      return seen.includes("open");
    },
  };
}
