/** Reserved IPs and firewalls. */
import { conflict, notFound, unprocessable } from "../errors";
import type { ActionInfo, FirewallInfo, InboundRule, OutboundRule, ReservedIpInfo, World } from "../world";
import { type Body, type Call, page, type Route, route } from "./route";
import { actionLink, actionView, firewallView, reservedIpView } from "./views";

function findReserved(world: World, ip = ""): ReservedIpInfo {
  const reserved = world.reservedIps.get(ip);
  if (reserved === undefined) throw notFound();
  return reserved;
}

function assign(world: World, reserved: ReservedIpInfo, dropletId: number | undefined): ActionInfo {
  if (reserved.pending !== undefined) throw unprocessable("The reserved IP already has a pending event.");
  if (dropletId === undefined && reserved.dropletId === undefined)
    throw unprocessable("The reserved IP is not assigned to a Droplet.");
  if (dropletId !== undefined) {
    const droplet = world.droplet(dropletId);
    if (droplet.region !== reserved.region) throw unprocessable("The Droplet is in another region.");
    if (!droplet.publicNetworking) throw unprocessable("The Droplet has no public networking.");
  }
  const about = {
    type: dropletId === undefined ? "unassign_ip" : "assign_ip",
    // The API numbers reserved IPs inside; nothing refers to that number.
    resourceId: 758_604_968,
    resourceType: "reserved_ip",
    region: reserved.region,
    subject: reserved.ip,
  };
  const action = world.act(
    about,
    async () => {
      const droplet = dropletId === undefined ? undefined : world.droplet(dropletId);
      await world.hooks.onReservedIp?.(reserved.ip, droplet);
      reserved.dropletId = dropletId;
    },
    () => {
      reserved.pending = undefined;
    },
  );
  reserved.pending = action.id;
  return action;
}

function reserve({ world, body }: Call): object {
  const dropletId = body.number("droplet_id");
  if ((dropletId === undefined) === !body.has("region"))
    throw unprocessable("either droplet_id or region must be given");
  const region =
    dropletId === undefined ? world.region(body.required("region")) : world.droplet(dropletId).region;
  const project = body.text("project_id") ?? world.defaultProject().id;
  if (!world.projects.has(project)) throw notFound();
  world.quota("reservedIps", world.reservedIps.size, 1, "reserved IP limit exceeded");
  const reserved: ReservedIpInfo = { ip: world.ids.publicAddress("reserved"), region, project };
  world.reservedIps.set(reserved.ip, reserved);
  const holder = world.projects.get(project);
  if (holder !== undefined) world.assign(`do:floatingip:${reserved.ip}`, holder);
  if (dropletId === undefined) return { reserved_ip: reservedIpView(world, reserved), links: {} };
  const action = assign(world, reserved, dropletId);
  return {
    reserved_ip: reservedIpView(world, reserved),
    links: {
      droplets: [{ id: dropletId, rel: "droplet", href: `${world.url}/v2/droplets/${dropletId}` }],
      actions: [actionLink(world, action)],
    },
  };
}

const reservedActions = (world: World, ip: string | undefined) => {
  const reserved = findReserved(world, ip);
  return [...world.actions.values()].filter(({ subject }) => subject === reserved.ip).reverse();
};

const withProject = (world: World, action: ActionInfo) => ({
  ...actionView(action),
  project_id: world.reservedIps.get(action.subject ?? "")?.project ?? null,
});

function findFirewall(world: World, id = ""): FirewallInfo {
  const firewall = world.firewalls.get(id);
  if (firewall === undefined) throw notFound();
  return firewall;
}

const addressPattern = /^([\da-f:]+|\d{1,3}(\.\d{1,3}){3})(\/\d{1,3})?$/i;

/** `22`, `8000-9000`, `all` or `0`; the API answers with `0` for all ports and for ICMP. */
function checkPorts(protocol: string, ports: string | undefined): string {
  if (protocol === "icmp" || ports === "all" || ports === "0") return "0";
  const [first = Number.NaN, last = first] = (ports ?? "").split("-").map(Number);
  const valid = /^\d+(-\d+)?$/.test(ports ?? "") && first >= 1 && first <= last && last <= 65_535;
  if (!valid) throw unprocessable(`ports must be a port, a range or 0, not ${ports ?? "nothing"}`);
  return ports as string;
}

function checkRules<Rule extends InboundRule | OutboundRule>(
  rules: readonly Rule[],
  side: "sources" | "destinations",
): Rule[] {
  return rules.map((rule) => {
    const target = (rule as unknown as Record<string, InboundRule["sources"] | undefined>)[side];
    if (!["tcp", "udp", "icmp"].includes(rule.protocol))
      throw unprocessable("protocol must be tcp, udp or icmp");
    const lists = Object.values(target ?? {}).filter((list) => Array.isArray(list) && list.length > 0);
    if (lists.length === 0) throw unprocessable(`a rule must have at least one of its ${side}`);
    for (const address of target?.addresses ?? [])
      if (!addressPattern.test(address)) throw unprocessable(`${address} is neither an address nor a range`);
    return { ...rule, ports: checkPorts(rule.protocol, rule.ports) };
  });
}

function rulesOf(body: Body): Pick<FirewallInfo, "inbound" | "outbound"> {
  return {
    inbound: checkRules(body.list<InboundRule>("inbound_rules"), "sources"),
    outbound: checkRules(body.list<OutboundRule>("outbound_rules"), "destinations"),
  };
}

/** Everything that a firewall is made of; `own` is the one that the request replaces. */
function firewallFields(world: World, body: Body, own?: FirewallInfo) {
  const name = body.required("name");
  if (!/^[a-zA-Z0-9][a-zA-Z0-9.-]+$/.test(name))
    throw unprocessable("name must begin with an alphanumeric character, then alphanumerics, . and -");
  if ([...world.firewalls.values()].some((firewall) => firewall !== own && firewall.name === name))
    throw conflict("duplicate name");
  const rules = rulesOf(body);
  if (rules.inbound.length + rules.outbound.length === 0)
    throw unprocessable("must specify at least one rule");
  const dropletIds = new Set(body.numbers("droplet_ids").map((id) => world.droplet(id).id));
  const tags = new Set(existingTags(world, body));
  return { name, ...rules, dropletIds, tags };
}

/** A firewall takes no tag that is not there yet. */
function existingTags(world: World, body: Body): string[] {
  return body.texts("tags").map((tag) => {
    const known = world.findTag(tag);
    if (known === undefined) throw unprocessable(`tag ${tag} does not exist`);
    return known;
  });
}

const sameRule = (one: object, other: object) => JSON.stringify(one) === JSON.stringify(other);

/** A change of one firewall by a sub-resource. */
function changing(change: (call: Call, firewall: FirewallInfo) => void) {
  return (call: Call): void => {
    const firewall = findFirewall(call.world, call.params.firewall_id);
    const before = call.world.covered(firewall);
    change(call, firewall);
    call.world.firewallChanged("update", firewall, before);
  };
}

const one = "/v2/firewalls/{firewall_id}";

export const firewallRoutes: Route[] = [
  route("GET", "/v2/firewalls", 200, "firewall:read", (call) =>
    page(call, "firewalls", [...call.world.firewalls.values()], firewallView),
  ),
  route("POST", "/v2/firewalls", 202, "firewall:create", ({ world, body }) => {
    const fields = firewallFields(world, body);
    world.quota("firewalls", world.firewalls.size, 1, "firewall limit exceeded");
    const firewall: FirewallInfo = {
      ...fields,
      id: world.ids.uuid("firewall"),
      status: "waiting",
      createdAt: world.now(),
      pendingChanges: [],
    };
    world.firewalls.set(firewall.id, firewall);
    world.firewallChanged("create", firewall, []);
    return { firewall: firewallView(firewall) };
  }),
  route("GET", one, 200, "firewall:read", ({ world, params }) => ({
    firewall: firewallView(findFirewall(world, params.firewall_id)),
  })),
  route("PUT", one, 200, "firewall:update", ({ world, params, body }) => {
    const firewall = findFirewall(world, params.firewall_id);
    const before = world.covered(firewall);
    Object.assign(firewall, firewallFields(world, body, firewall));
    world.firewallChanged("update", firewall, before);
    return { firewall: firewallView(firewall) };
  }),
  route("DELETE", one, 204, "firewall:delete", ({ world, params }) => {
    const firewall = findFirewall(world, params.firewall_id);
    const before = world.covered(firewall);
    world.firewalls.delete(firewall.id);
    world.firewallChanged("delete", firewall, before);
  }),
  route(
    "POST",
    `${one}/droplets`,
    204,
    "firewall:update",
    changing(({ world, body }, firewall) => {
      for (const { id } of body.numbers("droplet_ids").map((id) => world.droplet(id)))
        firewall.dropletIds.add(id);
    }),
  ),
  route(
    "DELETE",
    `${one}/droplets`,
    204,
    "firewall:update",
    changing(({ body }, firewall) => {
      for (const id of body.numbers("droplet_ids")) firewall.dropletIds.delete(id);
    }),
  ),
  route(
    "POST",
    `${one}/tags`,
    204,
    "firewall:update",
    changing(({ world, body }, firewall) => {
      for (const tag of existingTags(world, body)) firewall.tags.add(tag);
    }),
  ),
  route(
    "DELETE",
    `${one}/tags`,
    204,
    "firewall:update",
    changing(({ body }, firewall) => {
      for (const tag of body.texts("tags")) firewall.tags.delete(tag);
    }),
  ),
  route(
    "POST",
    `${one}/rules`,
    204,
    "firewall:update",
    changing(({ body }, firewall) => {
      const added = rulesOf(body);
      firewall.inbound = [...firewall.inbound, ...added.inbound];
      firewall.outbound = [...firewall.outbound, ...added.outbound];
    }),
  ),
  route(
    "DELETE",
    `${one}/rules`,
    204,
    "firewall:update",
    changing(({ body }, firewall) => {
      const gone = rulesOf(body);
      firewall.inbound = firewall.inbound.filter(
        (rule) => !gone.inbound.some((other) => sameRule(rule, other)),
      );
      firewall.outbound = firewall.outbound.filter(
        (rule) => !gone.outbound.some((other) => sameRule(rule, other)),
      );
    }),
  ),
];

export const reservedIpRoutes: Route[] = [
  route("GET", "/v2/reserved_ips", 200, "reserved_ip:read", (call) =>
    page(call, "reserved_ips", [...call.world.reservedIps.values()], (reserved) =>
      reservedIpView(call.world, reserved),
    ),
  ),
  route("POST", "/v2/reserved_ips", 202, "reserved_ip:create", reserve),
  route("GET", "/v2/reserved_ips/{reserved_ip}", 200, "reserved_ip:read", ({ world, params }) => ({
    reserved_ip: reservedIpView(world, findReserved(world, params.reserved_ip)),
  })),
  route("DELETE", "/v2/reserved_ips/{reserved_ip}", 204, "reserved_ip:delete", ({ world, params }) => {
    const reserved = findReserved(world, params.reserved_ip);
    if (reserved.pending !== undefined) throw unprocessable("The reserved IP already has a pending event.");
    world.reservedIps.delete(reserved.ip);
    world.forget(`do:floatingip:${reserved.ip}`);
    world.works.start(
      "unassign_ip",
      () => world.hooks.onReservedIp?.(reserved.ip, undefined),
      () => undefined,
    );
  }),
  route("GET", "/v2/reserved_ips/{reserved_ip}/actions", 200, "reserved_ip:read", (call) =>
    page(call, "actions", reservedActions(call.world, call.params.reserved_ip), actionView),
  ),
  route(
    "POST",
    "/v2/reserved_ips/{reserved_ip}/actions",
    201,
    "reserved_ip:update",
    ({ world, params, body }) => {
      const reserved = findReserved(world, params.reserved_ip);
      const type = body.required("type");
      if (type !== "assign" && type !== "unassign") throw unprocessable("type must be assign or unassign");
      const droplet = type === "assign" ? body.requiredNumber("droplet_id") : undefined;
      return { action: withProject(world, assign(world, reserved, droplet)) };
    },
  ),
  route(
    "GET",
    "/v2/reserved_ips/{reserved_ip}/actions/{action_id}",
    200,
    "reserved_ip:read",
    ({ world, params }) => {
      const action = reservedActions(world, params.reserved_ip).find(
        ({ id }) => String(id) === params.action_id,
      );
      if (action === undefined) throw notFound();
      return { action: withProject(world, action) };
    },
  ),
];
