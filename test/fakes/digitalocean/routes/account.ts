/** The account itself, what it may choose from, and its SSH keys. */
import { createHash } from "node:crypto";
import { notFound, unprocessable } from "../errors";
import { type ImageInfo, type KeyInfo, regions, sizes, type World } from "../world";
import { page, type Route, route } from "./route";
import { actionView, imageView, regionView, sizeView } from "./views";

const keyView = (key: KeyInfo) => ({
  id: key.id,
  fingerprint: key.fingerprint,
  public_key: key.publicKey,
  name: key.name,
});

/** MD5 of the key's blob, in pairs, which is how the API names a key. */
function fingerprint(publicKey: string): string {
  const [kind, blob] = publicKey.trim().split(/\s+/);
  const bytes = Buffer.from(blob ?? "", "base64");
  // The blob begins with its own kind, after a length of four bytes.
  if (kind === undefined || bytes.subarray(4, 4 + kind.length).toString("latin1") !== kind)
    throw unprocessable("Key invalid, key should be of the format `type key [comment]`");
  return (createHash("md5").update(bytes).digest("hex").match(/../g) as string[]).join(":");
}

function findKey(world: World, identifier = ""): KeyInfo {
  const key = [...world.keys.values()].find(
    ({ id, fingerprint: print }) => String(id) === identifier || print === identifier,
  );
  if (key === undefined) throw notFound();
  return key;
}

function findImage(world: World, reference = ""): ImageInfo {
  const image = world.image(reference);
  if (image === undefined) throw notFound();
  return image;
}

export const accountRoutes: Route[] = [
  route("GET", "/v2/account", 200, "account:read", ({ world }) => ({
    account: {
      droplet_limit: world.limits.droplets,
      floating_ip_limit: world.limits.reservedIps,
      name: "Berth Test",
      email: "test@example.com",
      uuid: "99999999-0000-4000-8000-000000000000",
      email_verified: true,
      status: "active",
      status_message: "",
      team: { uuid: "99999999-0000-4000-8000-000000000001", name: "Berth" },
    },
  })),
  route("GET", "/v2/regions", 200, "regions:read", (call) =>
    page(call, "regions", [...regions.keys()], regionView),
  ),
  route("GET", "/v2/sizes", 200, "sizes:read", (call) => page(call, "sizes", sizes, sizeView)),

  route("GET", "/v2/images", 200, "image:read", (call) => {
    const type = call.query.get("type");
    const tag = call.query.get("tag_name");
    const images = [...call.world.images.values()].filter(
      (image) =>
        (type === null ||
          (type === "distribution" && image.type === "base" && !image.slug?.startsWith("gpu"))) &&
        (call.query.get("private") !== "true" || image.type === "snapshot") &&
        (tag === null || image.tags.has(tag)),
    );
    return page(call, "images", images, imageView);
  }),
  route("GET", "/v2/images/{image_id}", 200, "image:read", ({ world, params }) => ({
    image: imageView(findImage(world, params.image_id)),
  })),
  route("PUT", "/v2/images/{image_id}", 200, "image:update", ({ world, params, body }) => {
    const image = findImage(world, params.image_id);
    if (image.type === "base") throw notFound();
    image.name = body.text("name") ?? image.name;
    return { image: imageView(image) };
  }),
  route("DELETE", "/v2/images/{image_id}", 204, "image:delete", ({ world, params }) => {
    const image = findImage(world, params.image_id);
    if (image.type === "base") throw notFound();
    world.images.delete(image.id);
    for (const { snapshotIds } of world.droplets.values()) {
      const at = snapshotIds.indexOf(image.id);
      if (at >= 0) snapshotIds.splice(at, 1);
    }
  }),

  route("GET", "/v2/account/keys", 200, "ssh_key:read", (call) =>
    page(call, "ssh_keys", [...call.world.keys.values()], keyView),
  ),
  route("POST", "/v2/account/keys", 201, "ssh_key:create", ({ world, body }) => {
    const publicKey = body.required("public_key");
    const print = fingerprint(publicKey);
    if ([...world.keys.values()].some((key) => key.fingerprint === print))
      throw unprocessable("SSH Key is already in use on your account");
    world.quota("keys", world.keys.size, 1, "you have reached the limit of SSH keys on your account");
    const key = { id: world.ids.number("key"), fingerprint: print, publicKey, name: body.required("name") };
    world.keys.set(key.id, key);
    return { ssh_key: keyView(key) };
  }),
  route("GET", "/v2/account/keys/{ssh_key_identifier}", 200, "ssh_key:read", ({ world, params }) => ({
    ssh_key: keyView(findKey(world, params.ssh_key_identifier)),
  })),
  route("PUT", "/v2/account/keys/{ssh_key_identifier}", 200, "ssh_key:update", ({ world, params, body }) => {
    const key = findKey(world, params.ssh_key_identifier);
    key.name = body.required("name");
    return { ssh_key: keyView(key) };
  }),
  route("DELETE", "/v2/account/keys/{ssh_key_identifier}", 204, "ssh_key:delete", ({ world, params }) => {
    world.keys.delete(findKey(world, params.ssh_key_identifier).id);
  }),

  // The description has no scope of its own for actions but this one.
  route("GET", "/v2/actions", 200, "actions:read", (call) =>
    page(call, "actions", [...call.world.actions.values()].reverse(), actionView),
  ),
  route("GET", "/v2/actions/{action_id}", 200, "actions:read", ({ world, params }) => {
    const action = world.actions.get(Number(params.action_id));
    if (action === undefined) throw notFound();
    return { action: actionView(action) };
  }),
];
