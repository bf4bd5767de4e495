/**
 * @file A node as the host stages leave it, kept as an image: the packages that they install take half a minute on
 * a bare node. Tests of the stages themselves (host-stages, host-adopt, the cluster) begin on bare ones.
 *
 * The stages run over SSH on each node that starts from the image, and have to find nothing to change. The firewall's
 * is not among them: it installs nothing, and its rules are each test's own.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { renderBase } from "../../components/host/base";
import { renderReady } from "../../components/host/node-ready";
import { renderRuntime } from "../../components/host/runtime";
import { renderStorage } from "../../components/host/storage";
import { buildImage, docker, removeThings } from "./docker";
import { machineFlags, type TestNode } from "./node";
import { must, run } from "./run";
import { MINUTE } from "./time";
import { until } from "./until";

const REPOSITORY = "berth/test-node";
/** The nodes lie in it, so that one text of each stage is right for all of them. */
const SITE = "10.89.0.0/16";
/** Where these nodes pull from without TLS. */
export const REGISTRIES = {
  agent: "10.89.9.2:5000",
  imageOverSsh: "10.89.10.10:5000",
  stores: "10.89.11.2:5000",
} as const;

const node = "node-0";
const stages: Readonly<Record<string, string>> = {
  ready: renderReady({ node }),
  base: renderBase({ node }),
  storage: renderStorage({ node }),
  runtime: renderRuntime({
    node,
    avoidNetworks: [SITE],
    insecureRegistries: Object.values(REGISTRIES),
  }),
};

const HOST_KEY = "/etc/ssh/ssh_host_ed25519_key";

/** What a machine has for itself alone, and what only takes room. */
const CLEAN = `set -eu
systemctl stop docker.socket docker.service containerd.service
rm -f ${HOST_KEY} ${HOST_KEY}.pub
rm -rf /var/log/journal/* /var/log/berth /var/cache/apt/*.bin /var/cache/apt/archives/*.deb
: >/etc/machine-id`;

let image: Promise<string> | undefined;

/** Starts a node in SITE that the stages have nothing to do on. */
export async function startPrepared(machine: TestNode): Promise<void> {
  image ??= preparedImage();
  await machine.start(await image);
  // It starts with the machine, on a volume that is empty.
  await until("dockerd", MINUTE, () => machine.onNode("docker info"));
  for (const [name, text] of Object.entries(stages)) {
    const changed = (await machine.stage(text)).changed;
    if (!Array.isArray(changed) || changed.length > 0)
      throw new Error(`a node from ${REPOSITORY} is not as stage ${name} leaves one: ${changed}`);
  }
}

/** The image, made where there is none for this node image and these stages. */
async function preparedImage(): Promise<string> {
  const { ref: bare } = await buildImage("node");
  const made = [bare, CLEAN, ...machineFlags("docker"), ...Object.values(stages)];
  const hash = createHash("sha256").update(made.join("\n"));
  const tag = `${REPOSITORY}:${hash.digest("hex").slice(0, 12)}`;
  const there = async () => (await run("docker", ["image", "inspect", tag])).code === 0;
  if (await there()) return tag;
  // Two files of tests may find at the same time that there is none.
  const { withLock } = await import("../../scripts/image/lock.mjs");
  const { places } = await import("../../scripts/lib/paths.mjs");
  const lock = join(places().cache, "images", "test-node.lock");
  await withLock(lock, console.warn, async () => {
    if (!(await there())) await make(bare, tag);
  });
  const all = await docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", REPOSITORY);
  // One that a node still runs from stays.
  for (const old of all.split("\n").filter((one) => one !== tag)) await run("docker", ["image", "rm", old]);
  return tag;
}

async function make(bare: string, tag: string): Promise<void> {
  const name = "berth-prepare";
  const inside = (script: string) =>
    must("docker", ["exec", name, "bash", "-c", script], { deadline: 10 * MINUTE });
  const things = { containers: [name], volumes: [`${name}-docker`], networks: [name] };
  await removeThings(things);
  try {
    await docker("network", "create", name);
    await docker(
      ...["run", "--detach", "--name", name, "--hostname", node, "--network", name],
      ...[...machineFlags(`${name}-docker`), bare],
    );
    await until("systemd", MINUTE, () => inside("systemctl is-system-running"));
    // sshd checks no configuration without one; a node is given its own at its start.
    await inside(`ssh-keygen -q -t ed25519 -N '' -f ${HOST_KEY}`);
    for (const text of Object.values(stages)) await inside(text);
    await inside(CLEAN);
    await docker("stop", "--time", "60", name);
    await docker("commit", name, tag);
  } finally {
    await removeThings(things);
  }
}
