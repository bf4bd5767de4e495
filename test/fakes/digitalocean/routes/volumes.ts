/** Block storage volumes, what is done to them, and their snapshots. */
import { conflict, notFound, pendingEvent, unprocessable } from "../errors";
import type { ActionInfo, DropletInfo, SnapshotInfo, VolumeInfo, World } from "../world";
import { type Body, type Call, page, type Route, route } from "./route";
import { actionView, volumeView } from "./views";

/** Volumes on one droplet. */
const perDroplet = 15;
const maximumGigabytes = 16_384;
const labelLimit: Record<string, number> = { ext4: 16, xfs: 12 };

export async function attachNow(world: World, volume: VolumeInfo, droplet: DropletInfo): Promise<void> {
  await world.hooks.onVolume?.("attach", volume, droplet);
  volume.dropletId = droplet.id;
  droplet.volumeIds.push(volume.id);
}

export async function detachNow(world: World, volume: VolumeInfo, droplet: DropletInfo): Promise<void> {
  await world.hooks.onVolume?.("detach", volume, droplet);
  volume.dropletId = undefined;
  const at = droplet.volumeIds.indexOf(volume.id);
  if (at >= 0) droplet.volumeIds.splice(at, 1);
}

function find(world: World, id = ""): VolumeInfo {
  const volume = world.volumes.get(id);
  if (volume === undefined) throw notFound();
  return volume;
}

/** By name and region, for the operations that do not take an id. */
function named(world: World, name: string | null | undefined, region: string | null | undefined): VolumeInfo {
  const volume = [...world.volumes.values()].find((one) => one.name === name && one.region === region);
  if (volume === undefined) throw notFound();
  return volume;
}

function create({ world, body, need }: Call): object {
  const name = body.required("name");
  if (!/^[a-z][a-z0-9-]{0,63}$/.test(name))
    throw unprocessable("name must begin with a letter and be lowercase letters, numbers and -, at most 64");
  const refers = body.refers("snapshot_id");
  const snapshot = refers ? world.snapshots.get(body.required("snapshot_id")) : undefined;
  if (refers && snapshot === undefined) throw notFound();
  const region = world.region(body.text("region") ?? snapshot?.regions[0] ?? "");
  const sizeGigabytes = body.number("size_gigabytes") ?? snapshot?.sizeGigabytes;
  if (sizeGigabytes === undefined || sizeGigabytes < 1 || sizeGigabytes > maximumGigabytes)
    throw unprocessable("size_gigabytes must be between 1 and 16384");
  const filesystemType = body.text("filesystem_type") ?? "";
  const filesystemLabel = body.text("filesystem_label") ?? "";
  if (filesystemType !== "" && labelLimit[filesystemType] === undefined)
    throw unprocessable("filesystem_type must be ext4 or xfs");
  if (filesystemLabel.length > (labelLimit[filesystemType] ?? 0))
    throw unprocessable("filesystem_label is too long, or there is no filesystem_type");
  if ([...world.volumes.values()].some((volume) => volume.name === name && volume.region === region))
    throw conflict(`a volume with the name ${name} already exists in ${region}`);
  world.quota("volumes", world.volumes.size, 1, "failed to create volume: volume limit exceeded");
  if (body.texts("tags").length > 0) need("tag:create");
  const volume: VolumeInfo = {
    id: world.ids.uuid("volume"),
    name,
    region,
    description: body.text("description") ?? "",
    sizeGigabytes,
    createdAt: world.now(),
    filesystemType,
    filesystemLabel,
    snapshot: snapshot?.id,
    tags: new Set(world.useTags(body.texts("tags"))),
  };
  world.volumes.set(volume.id, volume);
  world.assign(`do:volume:${volume.id}`, world.defaultProject());
  return { volume: volumeView(volume) };
}

function remove(world: World, volume: VolumeInfo): void {
  if (volume.dropletId !== undefined || volume.pending !== undefined)
    throw conflict("attached volume cannot be deleted");
  world.volumes.delete(volume.id);
  world.forget(`do:volume:${volume.id}`);
  world.works.start(
    "destroy",
    () => world.hooks.onStorage?.("destroy", volume, volume.sizeGigabytes),
    () => undefined,
  );
}

/** The droplet that is to get the volume, or to lose it. */
function attaching(world: World, volume: VolumeInfo, body: Body): DropletInfo {
  const droplet = world.droplet(body.requiredNumber("droplet_id"));
  if (droplet.region !== volume.region)
    throw unprocessable("the volume and the Droplet are in different regions");
  if (volume.dropletId !== undefined) throw unprocessable("This volume is already attached to a Droplet.");
  if (droplet.volumeIds.length >= perDroplet) throw unprocessable("A Droplet can have 15 volumes at most.");
  return droplet;
}

function detaching(world: World, volume: VolumeInfo, body: Body): DropletInfo {
  if (volume.dropletId !== body.requiredNumber("droplet_id"))
    throw unprocessable("Attachment not found: the volume is not attached to this Droplet.");
  return world.droplet(volume.dropletId);
}

/** An attach or detach is an event of the droplet too: meanwhile it takes no other. */
function move(world: World, volume: VolumeInfo, type: "attach" | "detach", droplet: DropletInfo): ActionInfo {
  if (droplet.pending !== undefined) throw pendingEvent();
  const now = type === "attach" ? attachNow : detachNow;
  const action = world.act(
    // The API says "backend" and no id here: the volume's id is no number.
    {
      type: `${type}_volume`,
      resourceId: 0,
      resourceType: "backend",
      region: volume.region,
      subject: volume.id,
    },
    () => now(world, volume, droplet),
    () => {
      volume.pending = undefined;
      droplet.pending = undefined;
    },
  );
  volume.pending = action.id;
  droplet.pending = action.id;
  return action;
}

function resize(world: World, volume: VolumeInfo, body: Body): ActionInfo {
  const size = body.requiredNumber("size_gigabytes");
  if (size < volume.sizeGigabytes || size > maximumGigabytes)
    throw unprocessable("volumes may only be resized upwards, to 16384 GiB at most");
  const about = { type: "resize_volume", resourceId: 0, resourceType: "backend", region: volume.region };
  const action = world.act(
    { ...about, subject: volume.id },
    async () => {
      await world.hooks.onStorage?.("resize", volume, size);
      volume.sizeGigabytes = size;
    },
    () => {
      volume.pending = undefined;
    },
  );
  volume.pending = action.id;
  return action;
}

function act(world: World, volume: VolumeInfo, body: Body): object {
  if (volume.pending !== undefined) throw unprocessable("Volume already has a pending event.");
  const region = body.text("region");
  if (region !== undefined && region !== volume.region) throw notFound();
  const type = body.required("type");
  if (type === "attach") return actionView(move(world, volume, type, attaching(world, volume, body)));
  if (type === "detach") return actionView(move(world, volume, type, detaching(world, volume, body)));
  if (type === "resize") return actionView(resize(world, volume, body));
  throw unprocessable("type must be attach, detach or resize");
}

const actionsOf = (world: World, id = "") => {
  const volume = find(world, id);
  return [...world.actions.values()].filter(({ subject }) => subject === volume.id).reverse();
};

const snapshotView = (snapshot: SnapshotInfo) => ({
  id: snapshot.id,
  name: snapshot.name,
  created_at: snapshot.createdAt,
  regions: snapshot.regions,
  min_disk_size: snapshot.sizeGigabytes,
  size_gigabytes: snapshot.sizeGigabytes,
  resource_id: snapshot.volume,
  resource_type: "volume",
  tags: [...snapshot.tags],
});

function findSnapshot(world: World, id = ""): SnapshotInfo {
  const snapshot = world.snapshots.get(id);
  if (snapshot === undefined) throw notFound();
  return snapshot;
}

export const volumeRoutes: Route[] = [
  route("GET", "/v2/volumes", 200, "block_storage:read", (call) => {
    const name = call.query.get("name");
    const region = call.query.get("region");
    const shown = [...call.world.volumes.values()].filter(
      (volume) => (name === null || volume.name === name) && (region === null || volume.region === region),
    );
    return page(call, "volumes", shown, volumeView);
  }),
  route("POST", "/v2/volumes", 201, "block_storage:create", create),
  route("DELETE", "/v2/volumes", 204, "block_storage:delete", ({ world, query }) =>
    remove(world, named(world, query.get("name"), query.get("region"))),
  ),
  route("POST", "/v2/volumes/actions", 202, "block_storage_action:create", ({ world, body }) => ({
    action: act(world, named(world, body.required("volume_name"), body.text("region")), body),
  })),
  route("GET", "/v2/volumes/{volume_id}", 200, "block_storage:read", ({ world, params }) => ({
    volume: volumeView(find(world, params.volume_id)),
  })),
  route("DELETE", "/v2/volumes/{volume_id}", 204, "block_storage:delete", ({ world, params }) =>
    remove(world, find(world, params.volume_id)),
  ),
  route("GET", "/v2/volumes/{volume_id}/actions", 200, "block_storage_action:read", (call) =>
    page(call, "actions", actionsOf(call.world, call.params.volume_id), actionView),
  ),
  route(
    "POST",
    "/v2/volumes/{volume_id}/actions",
    202,
    "block_storage_action:create",
    ({ world, params, body }) => ({
      action: act(world, find(world, params.volume_id), body),
    }),
  ),
  route(
    "GET",
    "/v2/volumes/{volume_id}/actions/{action_id}",
    200,
    "block_storage_action:read",
    ({ world, params }) => {
      const action = actionsOf(world, params.volume_id).find(({ id }) => String(id) === params.action_id);
      if (action === undefined) throw notFound();
      return { action: actionView(action) };
    },
  ),
  route("GET", "/v2/volumes/{volume_id}/snapshots", 200, "block_storage_snapshot:read", (call) => {
    const { id } = find(call.world, call.params.volume_id);
    return page(
      call,
      "snapshots",
      [...call.world.snapshots.values()].filter(({ volume }) => volume === id),
      snapshotView,
    );
  }),
  route(
    "POST",
    "/v2/volumes/{volume_id}/snapshots",
    201,
    "block_storage_snapshot:create",
    ({ world, params, body }) => {
      const volume = find(world, params.volume_id);
      const snapshot: SnapshotInfo = {
        id: world.ids.uuid("snapshot"),
        name: body.required("name"),
        volume: volume.id,
        createdAt: world.now(),
        regions: [volume.region],
        sizeGigabytes: volume.sizeGigabytes,
        tags: new Set(world.useTags(body.texts("tags"))),
      };
      world.snapshots.set(snapshot.id, snapshot);
      return { snapshot: snapshotView(snapshot) };
    },
  ),
  route(
    "GET",
    "/v2/volumes/snapshots/{snapshot_id}",
    200,
    "block_storage_snapshot:read",
    ({ world, params }) => ({
      snapshot: snapshotView(findSnapshot(world, params.snapshot_id)),
    }),
  ),
  route(
    "DELETE",
    "/v2/volumes/snapshots/{snapshot_id}",
    204,
    "block_storage_snapshot:delete",
    ({ world, params }) => {
      world.snapshots.delete(findSnapshot(world, params.snapshot_id).id);
    },
  ),
];
