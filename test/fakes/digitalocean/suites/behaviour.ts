/** What all resources share: pages, rate limits, rights, faults on purpose, hooks. */
import { describe, expect, it } from "vitest";
import type { DropletEvent } from "..";
import { api, call, never, ok, plain, refused, start } from "./rig";

describe("pages", () => {
  it("links to those that there are, keeps the query, and counts all", async () => {
    await start();
    for (let index = 0; index < 45; index++) await ok(201, "POST", "/tags", { name: `tag-${index}` });
    const first = await ok(200, "GET", "/tags");
    expect(first.tags).toHaveLength(20);
    expect(first.meta).toEqual({ total: 45 });
    expect(first.links.pages).toEqual({
      next: `${api?.url}/v2/tags?page=2`,
      last: `${api?.url}/v2/tags?page=3`,
    });
    const names: string[] = [];
    const keysOfLinks: string[] = [];
    for (let next: string | undefined = "/tags?per_page=10"; next !== undefined; ) {
      const page: { tags: { name: string }[]; links: { pages: Record<string, string> } } = await ok(
        200,
        "GET",
        next,
      );
      names.push(...page.tags.map(({ name }) => name));
      keysOfLinks.push(Object.keys(page.links.pages).join());
      next = page.links.pages.next;
    }
    expect(names).toEqual(Array.from({ length: 45 }, (_, index) => `tag-${index}`));
    const middle = "first,prev,next,last";
    expect(keysOfLinks).toEqual(["next,last", middle, middle, middle, "first,prev"]);
    expect(await ok(200, "GET", "/tags?per_page=200")).toMatchObject({ links: {}, tags: { length: 45 } });
    expect((await ok(200, "GET", "/tags?page=9")).tags).toEqual([]);
    await refused(400, "GET", "/tags?page=0");
  });
});

describe("limits and rights", () => {
  it("counts each request for an hour, a burst for a minute, and tells how long to wait", async () => {
    let now = Date.parse("2026-01-01T00:00:00Z");
    await start({ clock: () => now, rateLimits: { hour: 4, minute: 3 } });
    const get = () => call("GET", "/account");
    const first = await get();
    expect(Object.fromEntries(first.headers)).toMatchObject({
      "ratelimit-limit": "4",
      "ratelimit-remaining": "3",
    });
    expect(Number(first.headers.get("ratelimit-reset"))).toBe(now / 1000 + 3600);
    now += 20_000;
    await get();
    await get();
    const burst = await get();
    expect(burst).toMatchObject({
      status: 429,
      body: { id: "too_many_requests", message: "API Rate limit exceeded." },
    });
    expect(Object.fromEntries(burst.headers)).toMatchObject({
      "ratelimit-remaining": "0",
      "retry-after": "40",
    });
    now += 40_000;
    expect((await get()).status).toBe(200);
    now += 60_000;
    const hourly = await get();
    expect([hourly.status, hourly.headers.get("retry-after")]).toEqual([429, null]);
    now += 3_600_000;
    expect((await get()).status).toBe(200);
  });

  it("lists SSH keys ten times a minute", async () => {
    await start();
    for (let index = 0; index < 10; index++) await ok(200, "GET", "/account/keys");
    await refused(429, "GET", "/account/keys");
    await ok(200, "GET", "/account");
  });

  it("refuses a wrong token and what a token has no scope for", async () => {
    await start({ tokens: { reader: ["droplet:read"], maker: ["droplet:create", "image:read"] } });
    for (const token of ["", "wrong"])
      expect((await call("GET", "/droplets", undefined, token)).body.id).toBe("unauthorized");
    expect((await call("GET", "/droplets", undefined, "reader")).status).toBe(200);
    expect(await call("POST", "/droplets", plain, "reader")).toMatchObject({
      status: 403,
      body: { id: "forbidden" },
    });
    expect((await call("POST", "/droplets", { ...plain, tags: ["new"] }, "maker")).status).toBe(403);
    expect((await call("POST", "/droplets", plain, "maker")).status).toBe(202);
    expect(JSON.stringify(api?.requests)).not.toContain("reader");
  });

  it("keeps to the account's quotas", async () => {
    await start({ limits: { droplets: 2, volumes: 0, reservedIps: 0 } });
    const several = { ...plain, name: undefined, names: ["a", "b", "c"] };
    expect(await refused(422, "POST", "/droplets", several)).toMatch(/exceed your droplet limit/);
    expect(await refused(422, "POST", "/volumes", { name: "v", region: "fra1", size_gigabytes: 1 })).toMatch(
      /limit exceeded/,
    );
    expect(await refused(422, "POST", "/reserved_ips", { region: "fra1" })).toMatch(/limit exceeded/);
  });
});

describe("faults", () => {
  it("strike every Nth request, so many times, where they are meant to", async () => {
    await start({
      faults: [{ kind: "rate-limit", method: "GET", path: "/v2/regions", every: 3, times: 2, retryAfter: 7 }],
    });
    const statuses: number[] = [];
    for (let index = 0; index < 12; index++) statuses.push((await call("GET", "/regions")).status);
    expect(statuses).toEqual([200, 200, 429, 200, 200, 429, 200, 200, 200, 200, 200, 200]);
    const remove = api?.fail({ kind: "rate-limit", retryAfter: 7 });
    const { headers } = await call("GET", "/sizes");
    expect(Object.fromEntries(headers)).toMatchObject({ "retry-after": "7", "ratelimit-remaining": "0" });
    remove?.();
    await ok(200, "GET", "/sizes");
  });

  it.each([
    ["server-error", 500, "server_error"],
    ["unauthorized", 401, "unauthorized"],
    ["forbidden", 403, "forbidden"],
    ["quota", 422, "unprocessable_entity"],
  ] as const)("%s answers %d and changes nothing", async (kind, status, id) => {
    await start({ faults: [{ kind, method: "POST" }] });
    expect(await call("POST", "/droplets", plain)).toMatchObject({ status, body: { id } });
    expect(api?.state.droplets.size).toBe(0);
  });

  it("cut the connection before the change, or after it", async () => {
    await start();
    api?.fail({ kind: "cut", method: "POST", times: 1 });
    await expect(call("POST", "/droplets", plain)).rejects.toThrow("fetch failed");
    expect(api?.state.droplets.size).toBe(0);
    api?.fail({ kind: "lost-answer", method: "POST", times: 1 });
    await expect(call("POST", "/droplets", plain)).rejects.toThrow("fetch failed");
    expect((await ok(200, "GET", "/droplets?name=node-1")).droplets).toHaveLength(1);
    expect(api?.requests.map(({ status }) => status)).toEqual([undefined, undefined, 200]);
  });
});

describe("hooks", () => {
  it("make the machine behind a droplet: its addresses count, its events come in turn", async () => {
    const events: string[] = [];
    const onDroplet = async (event: DropletEvent) => {
      events.push(event);
      await Promise.resolve();
      return event === "create" ? { public: "172.17.0.5", private: "10.110.0.9" } : undefined;
    };
    await start({
      hooks: { onDroplet, onVolume: (event, { name }) => void events.push(`${event} ${name}`) },
    });
    const { volume } = await ok(201, "POST", "/volumes", { name: "data", region: "fra1", size_gigabytes: 1 });
    const { droplet } = await ok(202, "POST", "/droplets", { ...plain, volumes: [volume.id] });
    await api?.idle();
    const { networks } = (await ok(200, "GET", `/droplets/${droplet.id}`)).droplet;
    expect(networks.v4).toMatchObject([{ ip_address: "10.110.0.9" }, { ip_address: "172.17.0.5" }]);
    await ok(201, "POST", `/droplets/${droplet.id}/actions`, { type: "power_cycle" });
    await api?.idle();
    await ok(204, "DELETE", `/droplets/${droplet.id}`);
    await api?.idle();
    expect(events).toEqual(["create", "attach data", "reboot", "detach data", "destroy"]);
  });

  it("that fail end the action in error", async () => {
    await start({
      hooks: { onDroplet: () => Promise.reject(new Error("no machine")), onFirewall: () => Promise.reject() },
    });
    const { droplet, links } = await ok(202, "POST", "/droplets", plain);
    await api?.idle();
    expect((await ok(200, "GET", links.actions[0].href)).action.status).toBe("errored");
    expect((await ok(200, "GET", `/droplets/${droplet.id}`)).droplet).toMatchObject({
      status: "new",
      locked: false,
    });
    const inbound_rules = [{ protocol: "tcp", ports: "all", sources: { tags: ["x"] } }];
    const { firewall } = await ok(202, "POST", "/firewalls", { name: "cell", inbound_rules });
    await api?.idle();
    expect((await ok(200, "GET", `/firewalls/${firewall.id}`)).firewall.status).toBe("failed");
  });

  it("are not told of a droplet that was deleted before its turn", async () => {
    const events: string[] = [];
    await start({ delay: never, hooks: { onDroplet: (event) => void events.push(event) } });
    const { droplet } = await ok(202, "POST", "/droplets", plain);
    await ok(204, "DELETE", `/droplets/${droplet.id}`);
    api?.release();
    await api?.idle();
    expect(events).toEqual([]);
  });
});
