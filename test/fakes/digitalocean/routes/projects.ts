/** Projects and the resources in them. */
import { ApiError, conflict, notFound, unprocessable } from "../errors";
import type { ProjectInfo, World } from "../world";
import { type Body, type Call, page, type Route, route } from "./route";

const purposes = [
  "Just trying out DigitalOcean",
  "Class project / Educational purposes",
  "Website or blog",
  "Web Application",
  "Service or API",
  "Mobile Application",
  "Machine learning / AI / Data processing",
  "IoT",
  "Operational / Developer tooling",
];
const environments = ["Development", "Staging", "Production"];

const projectView = (project: ProjectInfo) => ({
  id: project.id,
  owner_uuid: "99999999-0000-4000-8000-000000000000",
  owner_id: 258992,
  name: project.name,
  description: project.description,
  purpose: project.purpose,
  environment: project.environment,
  created_at: project.createdAt,
  updated_at: project.updatedAt,
  is_default: project.default,
});

/** `default` is a name for the default project in each path that takes an id. */
function find(world: World, id = "default"): ProjectInfo {
  const project = id === "default" ? world.defaultProject() : world.projects.get(id);
  if (project === undefined) throw notFound();
  return project;
}

function limited(name: string, text: string, length: number): string {
  if (text.length > length) throw unprocessable(`${name} may not be longer than ${length} characters`);
  return text;
}

function checkName(world: World, name: string, own?: ProjectInfo): string {
  if ([...world.projects.values()].some((project) => project !== own && project.name === name))
    throw conflict("name is already in use");
  return limited("name", name, 175);
}

function checkEnvironment(text: string): string {
  const environment = environments.find((one) => one.toLowerCase() === text.toLowerCase());
  if (environment === undefined) throw unprocessable(`environment must be one of ${environments.join(", ")}`);
  return environment;
}

/** A purpose of one's own is kept under "Other". */
const checkPurpose = (text: string) =>
  purposes.includes(text) || text.startsWith("Other: ") ? text : `Other: ${limited("purpose", text, 255)}`;

function update(world: World, project: ProjectInfo, body: Body, whole: boolean): object {
  const keys = ["name", "description", "purpose", "environment"];
  if (whole)
    for (const key of [...keys, "is_default"]) if (!body.has(key)) throw unprocessable(`${key} is required`);
  if (body.has("name")) project.name = checkName(world, body.required("name"), project);
  if (body.has("description"))
    project.description = limited("description", body.text("description") ?? "", 255);
  if (body.has("purpose")) project.purpose = checkPurpose(body.required("purpose"));
  if (body.has("environment")) project.environment = checkEnvironment(body.required("environment"));
  if (body.flag("is_default")) for (const other of world.projects.values()) other.default = other === project;
  project.updatedAt = world.now();
  return { project: projectView(project) };
}

function exists(world: World, urn: string): boolean {
  const [, kind, id = ""] = /^do:(\w+):(.+)$/.exec(urn) ?? [];
  if (kind === "droplet") return world.droplets.get(Number(id))?.leaving === false;
  if (kind === "volume") return world.volumes.has(id);
  if (kind === "domain") return world.domains.has(id);
  if (kind === "floatingip" || kind === "reservedip") return world.reservedIps.has(id);
  return false;
}

const folders: Record<string, string> = {
  droplet: "droplets",
  volume: "volumes",
  domain: "domains",
  floatingip: "reserved_ips",
};

function resourceView(world: World, urn: string, at: string, status: string): object {
  const [, kind = "", id] = /^do:(\w+):(.+)$/.exec(urn) ?? [];
  return { urn, assigned_at: at, links: { self: `${world.url}/v2/${folders[kind] ?? kind}/${id}` }, status };
}

function assign({ world, body, params }: Call): object {
  const project = find(world, params.project_id);
  const urns = body.texts("resources").map((urn) => urn.replace(/^do:reservedip:/, "do:floatingip:"));
  const unknown = urns.filter((urn) => !exists(world, urn));
  if (unknown.length > 0) throw new ApiError(404, `resource not found: ${unknown.join(", ")}`);
  const resources = urns.map((urn) => {
    const there = project.resources.has(urn);
    if (!there) world.assign(urn, project);
    const reserved = world.reservedIps.get(urn.replace("do:floatingip:", ""));
    if (reserved !== undefined) reserved.project = project.id;
    return resourceView(
      world,
      urn,
      project.resources.get(urn) ?? world.now(),
      there ? "already_assigned" : "assigned",
    );
  });
  return { resources };
}

const list = (call: Call) =>
  page(call, "resources", [...find(call.world, call.params.project_id).resources], ([urn, at]) =>
    resourceView(call.world, urn, at, "ok"),
  );

/** The description has the same operations twice: by id and for the default project. */
const both = (path: string) =>
  [
    route("GET", path, 200, "project:read", ({ world, params }) => ({
      project: projectView(find(world, params.project_id)),
    })),
    route("PUT", path, 200, "project:update", ({ world, params, body }) =>
      update(world, find(world, params.project_id), body, true),
    ),
    route("PATCH", path, 200, "project:update", ({ world, params, body }) =>
      update(world, find(world, params.project_id), body, false),
    ),
    route("GET", `${path}/resources`, 200, "project:read", list),
    route("POST", `${path}/resources`, 200, "project:assign_resource", assign),
  ] satisfies Route[];

export const projectRoutes: Route[] = [
  route("GET", "/v2/projects", 200, "project:read", (call) =>
    page(call, "projects", [...call.world.projects.values()], projectView),
  ),
  route("POST", "/v2/projects", 201, "project:create", ({ world, body }) => {
    const project = world.addProject({
      name: checkName(world, body.required("name")),
      description: limited("description", body.text("description") ?? "", 255),
      purpose: checkPurpose(body.required("purpose")),
      environment: checkEnvironment(body.text("environment") ?? "Development"),
    });
    return { project: projectView(project) };
  }),
  ...both("/v2/projects/default"),
  ...both("/v2/projects/{project_id}"),
  route("DELETE", "/v2/projects/{project_id}", 204, "project:delete", ({ world, params }) => {
    const project = find(world, params.project_id);
    if (project.default) throw unprocessable("the default project cannot be deleted");
    if (project.resources.size > 0)
      throw new ApiError(412, "cannot delete a project with resources. move or remove the resources first");
    world.projects.delete(project.id);
  }),
];
