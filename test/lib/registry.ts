/** @file A registry of Berth's own image on the operator's engine, in a network of test nodes. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildImage, docker } from "./docker";
import { ensureNetwork, type TestNetwork } from "./node";
import { must } from "./run";
import { MINUTE } from "./time";
import { until } from "./until";

export interface Account {
  username: string;
  password: string;
}

export interface TestRegistry {
  /** Of its container. */
  name: string;
  network: TestNetwork;
  /** Nodes pull from its port 5000. */
  address: string;
  /** Who may push. */
  account: Account;
  /** Keeps what was pushed. @default a volume without a name, which goes with the container */
  volume?: string;
}

/** Starts it and gives `127.0.0.1:PORT`, where this computer pushes. */
export async function startRegistry({
  name,
  network,
  address,
  account,
  volume,
}: TestRegistry): Promise<string> {
  const { ref } = await buildImage("registry");
  await ensureNetwork(network);
  const folder = mkdtempSync(join(tmpdir(), "berth-registry-"));
  try {
    writeFileSync(join(folder, "credentials.json"), JSON.stringify(account), { mode: 0o444 });
    await docker(
      ...["create", "--name", name, "--network", network.name, "--ip", address],
      ...["--publish", "127.0.0.1:0:5001"],
      ...(volume === undefined ? [] : ["--volume", `${volume}:/var/lib/registry`]),
      ref,
    );
    await docker("cp", join(folder, "credentials.json"), `${name}:/etc/berth/registry/credentials.json`);
    await docker("start", name);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const write = await docker("port", name, "5001");
  await until("the registry", MINUTE, async () => (await fetch(`http://${write}/v2/`)).status === 401);
  return write;
}

/** Pushes a built image as a stack does, and gives its digest. */
export async function pushImage(
  name: string,
  { registry, stack, account }: { registry: string; stack: string; account: Account },
): Promise<string> {
  const args = ["scripts/image.mjs", "push", name, "--registry", registry, "--stack", stack];
  const pushed = await must("node", args, { input: JSON.stringify(account), deadline: 20 * MINUTE });
  return JSON.parse(pushed.stdout).digest;
}
