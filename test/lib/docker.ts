/** @file The operator's container engine, as tests use it. */
import { must, run } from "./run";
import { MINUTE } from "./time";

/** What the command prints, without the newline at its end. */
export async function docker(...args: string[]): Promise<string> {
  return (await must("docker", args, { deadline: 5 * MINUTE })).stdout.trim();
}

export interface Image {
  ref: string;
  id: string;
  bytes: number;
}

/** An image of Berth's by its name, built where it is missing. */
export async function buildImage(name: string): Promise<Image> {
  const { stdout } = await must("node", ["scripts/image.mjs", "build", name], { deadline: 40 * MINUTE });
  return JSON.parse(stdout);
}

export interface Things {
  containers?: readonly string[];
  volumes?: readonly string[];
  networks?: readonly string[];
}

/** Removes what is there of these, a container with its own volumes; what is still used by others stays. */
export async function removeThings({ containers = [], volumes = [], networks = [] }: Things): Promise<void> {
  if (containers.length > 0) await run("docker", ["rm", "--force", "--volumes", ...containers]);
  if (volumes.length > 0) await run("docker", ["volume", "rm", ...volumes]);
  for (const name of networks) await run("docker", ["network", "rm", name]);
}
