/** What is done to a droplet that exists: power, size, name, address, snapshot. */
import { ApiError, notFound, pendingEvent, unprocessable } from "../errors";
import type { ActionInfo, DropletEvent, DropletInfo, ImageInfo, World } from "../world";
import { type Body, page, type Route, route } from "./route";
import { actionView } from "./views";

interface Kind {
  /** Event that the hook gets. */
  readonly event: DropletEvent;
  /** Refuses; runs before the action is made. */
  readonly check?: (world: World, droplet: DropletInfo, body: Body) => void;
  /** What holds afterwards. */
  readonly apply: (world: World, droplet: DropletInfo, body: Body) => void;
  /** May be asked of all droplets with a tag at once. */
  readonly byTag?: boolean;
}

const status = (value: DropletInfo["status"]) => (_: World, droplet: DropletInfo) => {
  droplet.status = value;
};

function checkResize(world: World, droplet: DropletInfo, body: Body): void {
  if (droplet.status !== "off") throw unprocessable("Droplet must be powered off to be resized.");
  const size = world.size(body.required("size"));
  if (size.slug === droplet.size) throw unprocessable("You specified the Droplet's current size.");
  if (size.disk < droplet.disk)
    throw unprocessable("This size is not available because it has a smaller disk.");
}

function resize(world: World, droplet: DropletInfo, body: Body): void {
  droplet.size = body.required("size");
  if (body.flag("disk")) droplet.disk = world.size(droplet.size).disk;
}

function snapshot(world: World, droplet: DropletInfo, body: Body): void {
  const image: ImageInfo = {
    id: world.ids.number("image"),
    name: body.text("name") ?? `${droplet.name}-snapshot`,
    distribution: droplet.image.distribution,
    slug: null,
    type: "snapshot",
    minDisk: droplet.disk,
    createdAt: world.now(),
    regions: [droplet.region],
    from: droplet.id,
    sizeGigabytes: 2.5,
    tags: new Set(),
  };
  world.images.set(image.id, image);
  droplet.snapshotIds.push(image.id);
}

function findImage(world: World, body: Body): ImageInfo {
  const reference = body.raw("image");
  const image =
    typeof reference === "string" || typeof reference === "number" ? world.image(reference) : undefined;
  if (image === undefined) throw unprocessable("You specified an invalid image.");
  return image;
}

const rebuild: Kind = {
  event: "rebuild",
  check: (world, _, body) => void findImage(world, body),
  apply: (world, droplet, body) => {
    droplet.image = findImage(world, body);
    droplet.status = "active";
  },
};

const kinds: Record<string, Kind> = {
  power_on: {
    event: "power_on",
    check: (_, droplet) => {
      if (droplet.status === "active") throw unprocessable("Droplet is already powered on.");
    },
    apply: status("active"),
    byTag: true,
  },
  power_off: {
    event: "power_off",
    check: (_, droplet) => {
      if (droplet.status === "off") throw unprocessable("Droplet is already powered off.");
    },
    apply: status("off"),
    byTag: true,
  },
  shutdown: { event: "power_off", apply: status("off"), byTag: true },
  reboot: { event: "reboot", apply: status("active") },
  power_cycle: { event: "reboot", apply: status("active"), byTag: true },
  resize: { event: "resize", check: checkResize, apply: resize },
  rename: {
    event: "rename",
    check: (_, __, body) => void body.required("name"),
    apply: (_, droplet, body) => {
      droplet.name = body.required("name");
    },
  },
  rebuild,
  restore: rebuild,
  enable_ipv6: {
    event: "enable_ipv6",
    apply: (world, droplet) => {
      droplet.ipv6 = true;
      droplet.publicAddress6 ??= world.ids.publicAddress6();
    },
    byTag: true,
  },
  enable_backups: {
    event: "enable_backups",
    apply: (_, droplet) => {
      droplet.backups = true;
    },
    byTag: true,
  },
  disable_backups: {
    event: "disable_backups",
    apply: (_, droplet) => {
      droplet.backups = false;
    },
    byTag: true,
  },
  snapshot: { event: "snapshot", apply: snapshot, byTag: true },
};

function kindOf(body: Body): [string, Kind] {
  const type = body.required("type");
  const kind = kinds[type];
  if (kind === undefined) {
    // Known to the API, yet nothing that a cluster's machines need.
    if (["change_kernel", "password_reset", "change_backup_policy"].includes(type))
      throw new ApiError(501, `the test API does not play the action ${type}`);
    throw unprocessable(`${type} is not a valid action type`);
  }
  return [type, kind];
}

function act(world: World, droplet: DropletInfo, body: Body): ActionInfo {
  const [type, kind] = kindOf(body);
  if (droplet.pending !== undefined) throw pendingEvent();
  kind.check?.(world, droplet, body);
  const action = world.act(
    { type, resourceId: droplet.id, resourceType: "droplet", region: droplet.region },
    async () => {
      await world.tell(kind.event, droplet);
      kind.apply(world, droplet, body);
    },
    () => {
      droplet.pending = undefined;
    },
  );
  droplet.pending = action.id;
  return action;
}

const ofDroplet = (world: World, id = "") => {
  const droplet = world.droplet(id);
  return [...world.actions.values()]
    .filter(({ resourceType, resourceId }) => resourceType === "droplet" && resourceId === droplet.id)
    .reverse();
};

export const dropletActionRoutes: Route[] = [
  route("GET", "/v2/droplets/{droplet_id}/actions", 200, "droplet:read", (call) =>
    page(call, "actions", ofDroplet(call.world, call.params.droplet_id), actionView),
  ),
  route(
    "POST",
    "/v2/droplets/{droplet_id}/actions",
    201,
    "droplet:update",
    ({ world, params, body, need }) => {
      if (body.text("type") === "snapshot") need("image:create");
      return { action: actionView(act(world, world.droplet(params.droplet_id as string), body)) };
    },
  ),
  route("GET", "/v2/droplets/{droplet_id}/actions/{action_id}", 200, "droplet:read", ({ world, params }) => {
    const action = ofDroplet(world, params.droplet_id).find(({ id }) => String(id) === params.action_id);
    if (action === undefined) throw notFound();
    return { action: actionView(action) };
  }),
  route("POST", "/v2/droplets/actions", 201, "droplet:update", ({ world, query, body }) => {
    const tag = world.findTag(query.get("tag_name") ?? "");
    if (tag === undefined) throw notFound();
    const [type, { byTag }] = kindOf(body);
    if (!byTag) throw unprocessable(`${type} cannot be done to several Droplets`);
    const droplets = world.liveDroplets().filter(({ tags }) => tags.has(tag));
    return { actions: droplets.map((droplet) => actionView(act(world, droplet, body))) };
  }),
];
