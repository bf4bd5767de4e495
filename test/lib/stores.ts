/**
 * @file Docker stores filled beforehand: what a machine's /var/lib/docker holds once it has the images of a stack. A
 * test of a stack whose subject is not how images travel begins with it: its pushes and pulls are made as ever, and
 * find that the layers are there.
 *
 * A store is kept as a volume of the operator's engine, named by what is in it. A machine's own copy shares the files
 * of layers and blobs by hard links: nothing writes into those, so a copy takes seconds and no room.
 */
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { type Ownership, ownerLabels, physicalName, SYSTEM } from "../../core/containers";
import { buildImage, docker, removeThings } from "./docker";
import { TestNode } from "./node";
import { REGISTRIES, startPrepared } from "./prepared-node";
import { pushImage, startRegistry } from "./registry";
import { run } from "./run";
import { MINUTE } from "./time";

/** What is changed with the way in which a store is made. */
const RECIPE = 1;
const PREFIX = "berth-teststore";
/** The empty file in a store that says that its making ended: one without it is made again. */
const WHOLE = "whole";
const NETWORK = { name: PREFIX, subnets: ["10.89.11.0/24"] };
const ADDRESS = "10.89.11.10";
/**
 * Pulled in this order; the registry of a head is sent to it under its name of the operator's engine. berthd's is not
 * among them: it is small, it changes often, and a node does not keep it.
 */
const IMAGES = ["registry", "ray", "workspace"] as const;

/** Stacks whose registry stands on a machine: its volume is filled as well. */
const STACKS = [
  { stack: "cloud-e2e", node: "drop-0" },
  { stack: "mixed-e2e", node: "metal-0" },
] as const;

/** Where files are linked: the folder of all volumes, as a link cannot lead from one mount to another. */
async function inVolumes(image: string, script: string): Promise<number> {
  const name = `${PREFIX}-copy-${process.pid}`;
  const root = await docker("info", "--format", "{{.DockerRootDir}}");
  const options = ["run", "--rm", "--name", name, "--network", "none", "--entrypoint", "sh"];
  try {
    const args = [...options, "--volume", `${root}/volumes:/v`, image, "-euc", script];
    const ran = await run("docker", args, { deadline: 10 * MINUTE });
    if (![0, NOT_THERE].includes(ran.code)) throw new Error(`the images' store: ${ran.text}`);
    return ran.code;
  } catch (error) {
    await removeThings({ containers: [name] });
    throw error;
  }
}

const NOT_THERE = 9;
const missing = (store: string) => `there is no store ${store} yet: prepareStore() makes it`;

/** What a registry has: blobs by link, the names that lead to them for themselves. */
const copyRegistry = (from: string, to: string) => `
cp -al "${from}/docker" "${to}/"
rm -r "${to}/docker/registry/v2/repositories"
cp -a "${from}/docker/registry/v2/repositories" "${to}/docker/registry/v2/"
`;

/** What a store is copied of: layers and blobs by link, all that is ever rewritten for itself. */
const copy = (from: string, to: string) => `
from=/v/${from}/_data to=/v/${to}/_data
[ -e "$from/${WHOLE}" ] || exit ${NOT_THERE}
rm -rf "$to/.part"
[ -z "$(ls -A "$to")" ] || exit 0
mkdir "$to/.part"
cp -a "$from/image" "$to/.part/"
cp -al "$from/overlay2" "$from/volumes" "$to/.part/"
cp -a --remove-destination "$from/volumes/metadata.db" "$to/.part/volumes/"
cd "$from"
for data in volumes/*/_data/docker/registry/v2/repositories; do
  rm -r "$to/.part/$data"
  cp -a "$data" "$to/.part/$data"
done
mv "$to"/.part/* "$to/"
rmdir "$to/.part"
`;

/** One after the other: the first one that finds no store makes it. */
let turn: Promise<unknown> = Promise.resolve();

function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const done = turn.then(work);
  turn = done.catch(() => {});
  return done;
}

interface Named {
  /** The node image. */
  node: string;
  /** The volume with the store of these images. */
  store: string;
}

let named: Promise<Named> | undefined;

/** Asked for once: it starts a program for each image, and no image changes under a test. */
function storeName(): Promise<Named> {
  named ??= findName();
  return named;
}

async function findName(): Promise<Named> {
  const built = await Promise.all(IMAGES.map(buildImage));
  const node = (await buildImage("node")).ref;
  const content = [RECIPE, node, STACKS, built.map(({ id }) => id)];
  const hash = createHash("sha256").update(JSON.stringify(content)).digest("hex").slice(0, 12);
  return { node, store: `${PREFIX}-${hash}` };
}

/** Makes the store where there is none yet, which takes some minutes. Another lane of tests that wants it meanwhile waits. */
export function prepareStore(): Promise<void> {
  return inTurn(async () => {
    const { node, store } = await storeName();
    const { places } = await import("../../scripts/lib/paths.mjs");
    const { withLock } = await import("../../scripts/image/lock.mjs");
    await withLock(join(places().cache, "teststore.lock"), console.log, async () => {
      const there = await inVolumes(node, `[ -e /v/${store}/_data/${WHOLE} ] || exit ${NOT_THERE}`);
      if (there === NOT_THERE) await make(store, node);
    });
  });
}

/**
 * Fills a machine's Docker volume, before its container is made. A volume that holds anything is left as it is.
 *
 * @throws {Error} where there is no store
 */
export function fillStore(volume: string): Promise<void> {
  return inTurn(async () => {
    const { node, store } = await storeName();
    if ((await inVolumes(node, copy(store, volume))) === NOT_THERE) throw new Error(missing(store));
  });
}

/** Flags of `docker volume create`, as a stack labels what is its own. */
const flagsOf = (of: Omit<Ownership, "owner">) =>
  Object.entries(ownerLabels({ ...of, owner: SYSTEM })).flatMap((pair) => ["--label", pair.join("=")]);

async function createVolume(name: string, of: Omit<Ownership, "owner">): Promise<void> {
  await docker("volume", "create", ...flagsOf(of), name);
}

/** Makes the volume of a local node of a stack as the stack will want it, filled. */
export async function fillLocalNode(stack: string, node: string): Promise<void> {
  const name = physicalName(stack, node, "docker");
  await createVolume(name, { stack, component: "node", node });
  await fillStore(name);
}

/**
 * Makes the volume of a local stack's registry, filled: its pushes find their layers there, and compress nothing.
 *
 * @throws {Error} where there is no store
 */
export async function fillLocalRegistry(stack: string): Promise<void> {
  const name = physicalName(stack, "registry");
  await createVolume(name, { stack, component: "registry" });
  await inTurn(async () => {
    const { node, store } = await storeName();
    const from = `/v/${store}/_data/volumes/${physicalName(STACKS[0].stack, "registry")}/_data`;
    const script = `[ -e "${from}/docker" ] || exit ${NOT_THERE}
      ${copyRegistry(from, `/v/${name}/_data`)}`;
    if ((await inVolumes(node, script)) === NOT_THERE) throw new Error(missing(store));
  });
}

async function make(store: string, nodeImage: string): Promise<void> {
  const node = new TestNode({
    ...{ name: `${PREFIX}-node`, hostname: "store", network: NETWORK, address: ADDRESS, memory: "3g" },
  });
  const registry = {
    name: `${PREFIX}-registry`,
    network: NETWORK,
    address: REGISTRIES.stores.replace(/:.*/, ""),
  };
  const cleanUp = async () => {
    await removeThings({ containers: [registry.name], volumes: [registry.name] });
    await node.cleanUp();
  };
  await cleanUp();
  // Of other images, or begun and not finished.
  const old = await docker("volume", "ls", "--quiet", "--filter", `name=^${PREFIX}-[0-9a-f]{12}$`);
  await removeThings({ volumes: old.split("\n").filter(Boolean) });
  try {
    const account = { username: "push", password: randomBytes(16).toString("hex") };
    const [write] = await Promise.all([
      startRegistry({ ...registry, account, volume: registry.name }),
      startPrepared(node),
    ]);
    for (const name of IMAGES) {
      const digest = await pushImage(name, { registry: write, stack: "teststore", account });
      const ref = `${REGISTRIES.stores}/berth/${name}@${digest}`;
      await node.onNode(`docker pull -q ${ref}`, { deadline: 20 * MINUTE });
      if (name === "registry") await node.onNode(`docker tag ${ref} ${(await buildImage(name)).ref}`);
    }
    const volumes = STACKS.map((of) => ({
      name: physicalName(of.stack, "registry"),
      flags: flagsOf({ ...of, component: "registry" }),
    }));
    for (const { name, flags } of volumes) {
      await node.onNode(`docker volume create ${flags.join(" ")} ${name}`);
    }
    await node.onNode("systemctl stop docker.socket docker.service");
    await docker("stop", registry.name);
    await docker("volume", "create", store);
    const fills = volumes.map(({ name }) => `cp -al "$blobs/docker" "$to/volumes/${name}/_data/"`).join("\n");
    await inVolumes(
      nodeImage,
      `from=/v/${node.volume}/_data to=/v/${store}/_data blobs=/v/${registry.name}/_data
       cp -al "$from/image" "$from/overlay2" "$from/volumes" "$to/"
       ${fills}
       touch "$to/${WHOLE}"`,
    );
  } finally {
    await cleanUp();
    await node.removeFiles();
  }
}
