/** Just enough of an account with droplets. */
import type { Answer, Seen } from "./support";

export interface Droplet extends Record<string, unknown> {
  id: number;
  name: string;
  status: string;
  locked: boolean;
  tags: string[];
  features: string[];
  volume_ids: string[];
}

export class Account {
  readonly droplets: Droplet[] = [];
  readonly actions: string[] = [];
  /** Looks at a new droplet before it is active. */
  slow = 2;
  /** Runs before the answer; its answer wins. */
  before: (seen: Seen) => Answer | undefined = () => undefined;

  readonly answer = (seen: Seen): Answer | undefined => {
    const early = this.before(seen);
    if (early !== undefined) return early;
    const { pathname, searchParams } = new URL(seen.path, "http://x");
    const id = Number(/^\/v2\/droplets\/(\d+)/.exec(pathname)?.[1]);
    const one = this.droplets.find((droplet) => droplet.id === id);
    if (pathname === "/v2/droplets" && seen.method === "POST")
      return { status: 202, body: { droplet: this.make(seen.body) } };
    if (pathname === "/v2/droplets") {
      const tag = searchParams.get("tag_name") ?? "";
      return { body: { droplets: this.droplets.filter(({ tags }) => tags.includes(tag)), links: {} } };
    }
    if (pathname.startsWith("/v2/tags/") && seen.method === "DELETE") {
      const tag = decodeURIComponent(pathname.split("/")[3] ?? "");
      for (const droplet of this.droplets) droplet.tags = droplet.tags.filter((other) => other !== tag);
      return { status: 204 };
    }
    if (pathname === "/v2/tags" && seen.method === "GET") {
      const tags = new Set(this.droplets.flatMap((droplet) => droplet.tags));
      return { body: { tags: [...tags].map((name) => ({ name })), links: {} } };
    }
    if (pathname.startsWith("/v2/tags")) return { status: 201, body: { tag: { name: seen.body.name } } };
    if (pathname.startsWith("/v2/actions/")) return { body: { action: { id: 1, status: "completed" } } };
    if (one === undefined) return undefined;
    if (pathname.endsWith("/actions")) return this.act(one, seen.body);
    if (seen.method === "DELETE") {
      this.droplets.splice(this.droplets.indexOf(one), 1);
      return { status: 204 };
    }
    if (one.status === "new" && this.slow-- <= 0) Object.assign(one, { status: "active" });
    return { body: { droplet: one } };
  };

  private make(body: Record<string, unknown>): Droplet {
    const droplet: Droplet = {
      id: 100 + this.droplets.length,
      name: String(body.name),
      status: "new",
      locked: false,
      size: { slug: body.size },
      region: { slug: body.region },
      image: { id: 9, slug: body.image },
      features: ["monitoring", "private_networking"],
      networks: {
        v4: [
          { ip_address: "10.110.0.2", type: "private" },
          { ip_address: "203.0.113.5", type: "public" },
        ],
        v6: [],
      },
      volume_ids: [],
      tags: [...(body.tags as string[])],
      vpc_uuid: body.vpc_uuid,
    };
    this.droplets.push(droplet);
    return droplet;
  }

  private act(droplet: Droplet, body: Record<string, unknown>): Answer {
    const type = String(body.type);
    this.actions.push(type);
    if (type === "power_off" || type === "shutdown") droplet.status = "off";
    if (type === "power_on") droplet.status = "active";
    if (type === "resize") Object.assign(droplet, { size: { slug: body.size } });
    if (type === "rename") droplet.name = String(body.name);
    if (type === "enable_ipv6") droplet.features.push("ipv6");
    if (type === "enable_backups") droplet.features.push("backups");
    return { status: 201, body: { action: { id: 1, status: "in-progress" } } };
  }
}
