/** Tags, and which resources carry them. */
import { ApiError, notFound, unprocessable } from "../errors";
import type { World } from "../world";
import { type Call, page, type Route, route } from "./route";

function find(world: World, name = ""): string {
  const tag = world.findTag(name);
  if (tag === undefined) throw notFound();
  return tag;
}

function tagged(world: World, tag: string) {
  const has = ({ tags }: { tags: Set<string> }) => tags.has(tag);
  return {
    droplets: world.liveDroplets().filter(has),
    images: [...world.images.values()].filter(has),
    volumes: [...world.volumes.values()].filter(has),
    snapshots: [...world.snapshots.values()].filter(has),
  };
}

const count = (world: World, kind: string, items: readonly { id: number | string }[]) => {
  const last = items.at(-1);
  return { count: items.length, ...(last && { last_tagged_uri: `${world.url}/v2/${kind}/${last.id}` }) };
};

/**
 * The description spells `images` "imgages", and the client made from it reads that; godo, which the official plugin
 * is made with, reads `images` (tags.go) and falls over where that is missing. Each gets what it reads.
 */
function tagView(world: World, tag: string): object {
  const { droplets, images, volumes, snapshots } = tagged(world, tag);
  const parts = {
    droplets: count(world, "droplets", droplets),
    images: count(world, "images", images),
    volumes: count(world, "volumes", volumes),
    volume_snapshots: count(world, "snapshots", snapshots),
    databases: count(world, "databases", []),
  };
  const all = Object.values(parts);
  const last = all.findLast((part) => part.last_tagged_uri !== undefined)?.last_tagged_uri;
  return {
    name: tag,
    resources: {
      count: all.reduce((sum, part) => sum + part.count, 0),
      ...(last !== undefined && { last_tagged_uri: last }),
      ...parts,
      imgages: parts.images,
    },
  };
}

const scopes: Record<string, string> = {
  droplet: "droplet:update",
  image: "image:update",
  volume: "block_storage:update",
  volume_snapshot: "block_storage_snapshot:update",
};

/** The tag sets of the resources that the body names; all are looked up before one is changed. */
function named({ world, body, need }: Call): Set<string>[] {
  const resources = body.list<{ resource_id?: unknown; resource_type?: unknown }>("resources");
  if (resources.length === 0) throw unprocessable("resources is required");
  return resources.map(({ resource_id: id, resource_type: type }) => {
    const scope = scopes[String(type)];
    if (scope === undefined || typeof id !== "string")
      throw unprocessable(
        "each resource needs a resource_id, as a string, and a resource_type that can be tagged",
      );
    need(scope);
    if (type === "droplet") return world.droplet(id).tags;
    const resource = {
      image: world.image(id),
      volume: world.volumes.get(id),
      volume_snapshot: world.snapshots.get(id),
    }[type as "image" | "volume" | "volume_snapshot"];
    if (resource === undefined) throw notFound();
    return resource.tags;
  });
}

export const tagRoutes: Route[] = [
  route("GET", "/v2/tags", 200, "tag:read", (call) =>
    page(call, "tags", [...call.world.tags], (tag) => tagView(call.world, tag)),
  ),
  route("POST", "/v2/tags", 201, "tag:create", ({ world, body }) => {
    const name = body.required("name");
    // Making a tag that is there gives that tag.
    const [tag = name] = world.useTags([name]);
    return { tag: tagView(world, tag) };
  }),
  route("GET", "/v2/tags/{tag_id}", 200, "tag:read", ({ world, params }) => ({
    tag: tagView(world, find(world, params.tag_id)),
  })),
  route("DELETE", "/v2/tags/{tag_id}", 204, "tag:delete", ({ world, params }) => {
    const tag = find(world, params.tag_id);
    world.regroup(() => {
      const { droplets, images, volumes, snapshots } = tagged(world, tag);
      for (const { tags } of [...droplets, ...images, ...volumes, ...snapshots]) tags.delete(tag);
    });
    for (const { tags } of world.firewalls.values()) tags.delete(tag);
    world.tags.delete(tag);
  }),
  route("POST", "/v2/tags/{tag_id}/resources", 204, "tag:create", (call) => {
    const tag = find(call.world, call.params.tag_id);
    const sets = named(call);
    call.world.regroup(() => {
      for (const tags of sets) tags.add(tag);
    });
  }),
  route("DELETE", "/v2/tags/{tag_id}/resources", 204, "tag:delete", (call) => {
    const tag = find(call.world, call.params.tag_id);
    const sets = named(call);
    if (sets.some((tags) => !tags.has(tag))) throw new ApiError(404, "The resource does not carry the tag.");
    call.world.regroup(() => {
      for (const tags of sets) tags.delete(tag);
    });
  }),
];
