/** Droplets: made, read, deleted. What is done to them later is in `droplet-actions.ts`. */
import { ApiError, notFound, unprocessable } from "../errors";
import type {
  ActionInfo,
  Addresses,
  DropletInfo,
  ImageInfo,
  KeyInfo,
  VolumeInfo,
  VpcInfo,
  World,
} from "../world";
import { regionsOf } from "../world";
import { type Body, type Call, page, type Route, route } from "./route";
import { actionLink, dropletView, firewallView, imageView } from "./views";
import { attachNow, detachNow } from "./volumes";

const namePattern = /^[a-zA-Z0-9]?[a-z0-9A-Z.-]*[a-z0-9A-Z]$/;
const userDataLimit = 64 * 1024;

function names(body: Body): { names: string[]; several: boolean } {
  const several = body.has("names");
  const list = several ? body.texts("names") : [body.required("name")];
  if (several && body.has("name")) throw unprocessable("name and names cannot be used together");
  if (list.length === 0) throw unprocessable("names must not be empty");
  if (list.length > 10) throw unprocessable("up to ten Droplets may be created at a time");
  for (const name of list)
    if (name.length > 255 || !namePattern.test(name))
      throw unprocessable("Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)");
  return { names: list, several };
}

function findImage(world: World, body: Body): ImageInfo {
  const reference = body.raw("image");
  const image =
    typeof reference === "string" || typeof reference === "number" ? world.image(reference) : undefined;
  if (image === undefined) throw unprocessable("You specified an invalid image for Droplet creation.");
  return image;
}

function findKeys(world: World, references: readonly unknown[]): KeyInfo[] {
  const keys = [...world.keys.values()];
  const found = references.map((wanted) =>
    keys.find(({ id, fingerprint }) => String(id) === String(wanted) || fingerprint === wanted),
  );
  const unknown = references.filter((_, index) => found[index] === undefined);
  if (unknown.length > 0)
    throw unprocessable(`${unknown.join(", ")} are invalid key identifiers for Droplet creation.`);
  return found as KeyInfo[];
}

function findVpc(world: World, body: Body, region: string): VpcInfo {
  const id = body.text("vpc_uuid");
  if (id === undefined || id === "") return world.defaultVpc(region);
  const vpc = world.vpcs.get(id);
  if (vpc === undefined || vpc.region !== region)
    throw unprocessable("The VPC UUID is invalid for this region.");
  return vpc;
}

function findVolumes(world: World, ids: readonly string[], region: string): VolumeInfo[] {
  return ids.map((id) => {
    const volume = world.volumes.get(id);
    if (volume === undefined || volume.region !== region)
      throw unprocessable(`volume ${id} does not exist in this region`);
    if (volume.dropletId !== undefined) throw unprocessable(`volume ${id} is already attached to a Droplet`);
    return volume;
  });
}

/** Makes the machine: its addresses, its volumes, its firewalls; whoever hooks in may bring a real one. */
async function boot(
  world: World,
  droplet: DropletInfo,
  volumes: readonly VolumeInfo[],
  vpc: VpcInfo,
): Promise<void> {
  if (droplet.leaving) throw new Error("deleted before it was made");
  const made: Addresses = (await world.tell("create", droplet)) ?? {};
  droplet.privateAddress = made.private ?? world.privateAddress(vpc);
  if (droplet.publicNetworking) droplet.publicAddress = made.public ?? world.ids.publicAddress("droplet");
  if (droplet.ipv6) droplet.publicAddress6 = made.public6 ?? world.ids.publicAddress6();
  droplet.status = "active";
  for (const volume of volumes) await attachNow(world, volume, droplet);
}

function create({ world, body, need }: Call): object {
  const wanted = names(body);
  const region = world.region(body.text("region") ?? "nyc3");
  const size = world.size(body.required("size"));
  if (!regionsOf(size).includes(region)) throw unprocessable("Size is not available in this region.");
  need("image:read");
  const image = findImage(world, body);
  if (image.minDisk > size.disk) throw unprocessable("The image is larger than the size's disk.");
  const references = body.list<unknown>("ssh_keys");
  if (references.length > 0) need("ssh_key:read");
  const sshKeys = findKeys(world, references);
  if (body.refers("vpc_uuid")) need("vpc:read");
  const vpc = findVpc(world, body, region);
  const volumeIds = body.texts("volumes");
  if (volumeIds.length > 0) need("block_storage:read");
  if (wanted.several && volumeIds.length > 0)
    throw unprocessable("volumes cannot be attached to several Droplets");
  const volumes = findVolumes(world, volumeIds, region);
  const userData = body.text("user_data") ?? "";
  if (Buffer.byteLength(userData) > userDataLimit)
    throw unprocessable("User data is too long (maximum is 64 KiB).");
  const publicNetworking = body.flag("public_networking") ?? true;
  const ipv6 = body.flag("ipv6") ?? false;
  if (ipv6 && !publicNetworking) throw unprocessable("ipv6 needs public networking");
  world.quota(
    "droplets",
    world.liveDroplets().length,
    wanted.names.length,
    "creating this/these droplet(s) will exceed your droplet limit",
  );
  const tagNames = body.texts("tags");
  if (tagNames.length > 0) need("tag:create");
  const tags = world.useTags(tagNames);

  const actions: ActionInfo[] = [];
  const droplets = wanted.names.map((name) => {
    const droplet: DropletInfo = {
      id: world.ids.number("droplet"),
      name,
      region,
      size: size.slug,
      disk: size.disk,
      image,
      status: "new",
      createdAt: world.now(),
      tags: new Set(tags),
      volumeIds: [],
      snapshotIds: [],
      vpc: vpc.id,
      userData,
      sshKeys,
      monitoring: body.flag("monitoring") ?? false,
      backups: body.flag("backups") ?? false,
      ipv6,
      publicNetworking,
      leaving: false,
    };
    world.regroup(() => world.droplets.set(droplet.id, droplet));
    world.assign(`do:droplet:${droplet.id}`, world.defaultProject());
    const about = { type: "create", resourceId: droplet.id, resourceType: "droplet", region };
    const action = world.act(
      about,
      () => boot(world, droplet, volumes, vpc),
      () => {
        droplet.pending = undefined;
      },
    );
    droplet.pending = action.id;
    actions.push(action);
    return droplet;
  });
  const links = { actions: actions.map((action) => actionLink(world, action)) };
  const views = droplets.map((droplet) => dropletView(world, droplet));
  return wanted.several ? { droplets: views, links } : { droplet: views[0], links };
}

/**
 * A deleted droplet answers 404 from now on, yet keeps its volumes and its place in the VPC for as long as
 * `destroy` takes, as the API's droplets do: who deletes those too early is refused.
 */
function destroy(world: World, droplet: DropletInfo): void {
  world.regroup(() => {
    droplet.leaving = true;
  });
  world.forget(`do:droplet:${droplet.id}`);
  for (const firewall of world.firewalls.values()) firewall.dropletIds.delete(droplet.id);
  for (const reserved of world.reservedIps.values())
    if (reserved.dropletId === droplet.id) reserved.dropletId = undefined;
  world.works.start(
    "destroy",
    async () => {
      for (const id of [...droplet.volumeIds]) {
        const volume = world.volumes.get(id);
        if (volume !== undefined) await detachNow(world, volume, droplet);
      }
      if (world.wasMade(droplet)) await world.tell("destroy", droplet);
    },
    () => world.droplets.delete(droplet.id),
  );
}

function shown({ world, query }: Call): DropletInfo[] {
  const tag = query.get("tag_name");
  const name = query.get("name");
  const type = query.get("type");
  if (tag !== null && (name !== null || type !== null))
    throw new ApiError(400, "tag_name cannot be combined with name or type");
  return world.liveDroplets().filter((droplet) => {
    if (tag !== null) return droplet.tags.has(world.findTag(tag) ?? tag);
    if (name !== null && droplet.name.toLowerCase() !== name.toLowerCase()) return false;
    // GPU droplets are listed only where they are asked for.
    return (world.size(droplet.size).gpu !== undefined) === (type === "gpus");
  });
}

const snapshotView = (image: ImageInfo) => {
  const { id, name, created_at, regions, min_disk_size, size_gigabytes } = imageView(image);
  return { id, name, created_at, regions, min_disk_size, size_gigabytes, type: "snapshot" };
};

export const dropletRoutes: Route[] = [
  route("GET", "/v2/droplets", 200, "droplet:read", (call) =>
    page(call, "droplets", shown(call), (droplet) => dropletView(call.world, droplet)),
  ),
  route("POST", "/v2/droplets", 202, "droplet:create", create),
  route("DELETE", "/v2/droplets", 204, ["droplet:delete", "tag:read"], ({ world, query }) => {
    const tag = world.findTag(query.get("tag_name") ?? "");
    if (tag === undefined) throw notFound();
    for (const droplet of world.liveDroplets()) if (droplet.tags.has(tag)) destroy(world, droplet);
  }),
  route("GET", "/v2/droplets/{droplet_id}", 200, "droplet:read", ({ world, params }) => ({
    droplet: dropletView(world, world.droplet(params.droplet_id as string)),
  })),
  route("DELETE", "/v2/droplets/{droplet_id}", 204, "droplet:delete", ({ world, params }) =>
    destroy(world, world.droplet(params.droplet_id as string)),
  ),
  route("GET", "/v2/droplets/{droplet_id}/snapshots", 200, "droplet:read", (call) => {
    const { id } = call.world.droplet(call.params.droplet_id as string);
    return page(
      call,
      "snapshots",
      [...call.world.images.values()].filter(({ from }) => from === id),
      snapshotView,
    );
  }),
  route("GET", "/v2/droplets/{droplet_id}/firewalls", 200, "firewall:read", (call) => {
    const { id } = call.world.droplet(call.params.droplet_id as string);
    const there = [...call.world.firewalls.values()].filter((firewall) =>
      call.world.covered(firewall).includes(id),
    );
    return page(call, "firewalls", there, firewallView);
  }),
  route("GET", "/v2/droplets/{droplet_id}/neighbors", 200, "droplet:read", ({ world, params }) => {
    world.droplet(params.droplet_id as string);
    return { droplets: [] };
  }),
];
