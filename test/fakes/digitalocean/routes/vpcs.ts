/** VPCs and their members. */
import { ApiError, conflict, notFound, unprocessable } from "../errors";
import { isPrivate, parseRange, type VpcInfo, type World } from "../world";
import { type Body, page, type Route, route } from "./route";
import { vpcView } from "./views";

function find(world: World, id = ""): VpcInfo {
  const vpc = world.vpcs.get(id);
  if (vpc === undefined) throw notFound();
  return vpc;
}

function checkName(world: World, name: string, own?: VpcInfo): string {
  if (!/^[a-zA-Z0-9\-.]+$/.test(name))
    throw unprocessable("name may only contain alphanumeric characters, dashes, and periods");
  if ([...world.vpcs.values()].some((vpc) => vpc !== own && vpc.name === name))
    throw unprocessable("a VPC with the same name already exists in your account");
  return name;
}

function checkDescription(text: string): string {
  if (text.length > 255) throw unprocessable("description may not be longer than 255 characters");
  return text;
}

function checkRange(world: World, text: string): string {
  const range = parseRange(text);
  if (range === undefined || !isPrivate(range) || range.bits < 16 || range.bits > 28)
    throw unprocessable("ip_range must be a private network in CIDR notation, between /16 and /28");
  if (world.vpcOver(text) !== undefined)
    throw unprocessable("This range/size overlaps with another VPC network in your account");
  return text;
}

/** Droplets, a deleted one too until the machine is gone. */
function members(world: World, vpc: VpcInfo) {
  return [...world.droplets.values()]
    .filter((droplet) => droplet.vpc === vpc.id)
    .map((droplet) => ({
      urn: `do:droplet:${droplet.id}`,
      name: droplet.name,
      created_at: droplet.createdAt,
    }));
}

function update(world: World, vpc: VpcInfo, body: Body, whole: boolean): object {
  const name = whole ? body.required("name") : (body.text("name") ?? vpc.name);
  vpc.name = checkName(world, name, vpc);
  if (body.has("description")) vpc.description = checkDescription(body.text("description") as string);
  const asDefault = body.flag("default");
  if (asDefault === false && vpc.default)
    throw unprocessable("default cannot be unset; make another VPC the default");
  if (asDefault) {
    for (const other of world.vpcs.values()) if (other.region === vpc.region) other.default = other === vpc;
  }
  return { vpc: vpcView(vpc) };
}

export const vpcRoutes: Route[] = [
  route("GET", "/v2/vpcs", 200, "vpc:read", (call) =>
    page(call, "vpcs", [...call.world.vpcs.values()], vpcView),
  ),
  route("POST", "/v2/vpcs", 201, "vpc:create", ({ world, body }) => {
    const name = checkName(world, body.required("name"));
    const region = world.region(body.required("region"));
    const description = checkDescription(body.text("description") ?? "");
    const asked = body.refers("ip_range") ? body.text("ip_range") : undefined;
    const ipRange = asked === undefined ? world.freeRange() : checkRange(world, asked);
    world.quota("vpcs", world.vpcs.size, 1, "you have reached the limit of VPCs on your account");
    return { vpc: vpcView(world.addVpc({ name, description, region, ipRange })) };
  }),
  route("GET", "/v2/vpcs/{vpc_id}", 200, "vpc:read", ({ world, params }) => ({
    vpc: vpcView(find(world, params.vpc_id)),
  })),
  route("PUT", "/v2/vpcs/{vpc_id}", 200, "vpc:update", ({ world, params, body }) =>
    update(world, find(world, params.vpc_id), body, true),
  ),
  route("PATCH", "/v2/vpcs/{vpc_id}", 200, "vpc:update", ({ world, params, body }) =>
    update(world, find(world, params.vpc_id), body, false),
  ),
  route("DELETE", "/v2/vpcs/{vpc_id}", 204, "vpc:delete", ({ world, params }) => {
    const vpc = find(world, params.vpc_id);
    if (vpc.default) throw new ApiError(403, "Can not delete the default VPC");
    // The description says 403; the API answers 409, which its users report and the official provider retries.
    if (members(world, vpc).length > 0) throw conflict("Can not delete VPC with members");
    world.vpcs.delete(vpc.id);
  }),
  route("GET", "/v2/vpcs/{vpc_id}/members", 200, "vpc:read", (call) => {
    const type = call.query.get("resource_type");
    const all = members(call.world, find(call.world, call.params.vpc_id));
    const shown = all.filter(({ urn }) => type === null || urn.startsWith(`do:${type}:`));
    return page(call, "members", shown, (member) => member);
  }),
];
