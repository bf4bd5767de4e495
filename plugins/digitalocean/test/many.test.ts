/** Many droplets at once: how many requests they cost, and how soon each is noticed. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { startApi } from "../../../test/fakes/digitalocean";
import { pollMs } from "../src/api";
import { closeServers, context, realClock, resource } from "./support";

closeServers();

/** Looks for all together lie a half second apart at least; some more may begin beside the first ones. */
const looksWithin = (began: number) => 4 * Math.ceil((Date.now() - began) / 1000);

describe("many droplets", () => {
  it("are made with few requests each, far below what a minute allows", async () => {
    const api = await startApi({
      delay: (type) => (type === "create" ? 2_000 : 0),
      limits: { droplets: 40 },
    });
    try {
      const droplet = resource("droplet", api.url, realClock, { token: api.token });
      const names = Array.from({ length: 40 }, (_, i) => `node-${i}`);
      const began = Date.now();
      const made = await Promise.all(
        names.map((name) =>
          droplet.create(
            { name, image: "debian-13-x64", region: "fra1", size: "s-2vcpu-4gb" },
            context(name, { urn: `urn:pulumi:dev::berth::digitalocean:index/droplet:Droplet::${name}` }),
          ),
        ),
      );
      expect(new Set(made.map(({ outs }) => outs.status))).toEqual(new Set(["active"]));
      // One to make each; for all together a look for marks, and lists while they wait. One by one it would be a look
      // a second for each.
      expect(api.requests.length).toBeLessThan(names.length + 30 + looksWithin(began));
      await droplet.end();
      expect([...api.state.tags]).toEqual([]);
    } finally {
      await api.close();
    }
  });
});

describe("many volumes", () => {
  it("are waited for together until they hang on their droplets", async () => {
    const api = await startApi({ delay: (type) => (type === "attach_volume" ? 4_000 : 0) });
    try {
      const with_ = { token: api.token };
      const [droplets, volumes, attachments] = ["droplet", "volume", "volumeAttachment"].map((kind) =>
        resource(kind, api.url, realClock, with_),
      );
      if (!droplets || !volumes || !attachments) throw new Error("unreachable: three kinds");
      const names = Array.from({ length: 12 }, (_, i) => `node-${i}`);
      const pairs = await Promise.all(
        names.map(async (name) => {
          const at = (kind: string) => context(name, { urn: `urn:pulumi:dev::berth::${kind}::${name}` });
          const droplet = await droplets.create(
            { name, image: "debian-13-x64", region: "fra1", size: "s-2vcpu-4gb" },
            at("digitalocean:index/droplet:Droplet"),
          );
          const volume = await volumes.create(
            { name, region: "fra1", size: 10 },
            at("digitalocean:index/volume:Volume"),
          );
          return { dropletId: Number(droplet.id), volumeId: volume.id };
        }),
      );
      const before = api.requests.length;
      const began = Date.now();
      await Promise.all(pairs.map((pair, i) => attachments.create(pair, context(`${i}`))));
      const requests = api.requests.slice(before);
      // One by one it would be a look a second for each.
      const looks = requests.filter(({ method, path }) => method === "GET" && path.startsWith("/v2/actions"));
      expect(looks.length).toBeGreaterThan(2);
      expect(looks.length).toBeLessThan(names.length + looksWithin(began));
      expect([...api.state.volumes.values()].every((volume) => volume.dropletId !== undefined)).toBe(true);
      for (const one of [droplets, volumes, attachments]) await one.end();
    } finally {
      await api.close();
    }
  });
});

describe("the distance of looks", () => {
  it("is a second at first, then a tenth of what was waited, at most 10 s, and ends on a half second", () => {
    fc.assert(
      fc.property(fc.nat(3_600_000), fc.nat(), (waited, now) => {
        const ms = pollMs(waited, now);
        const aim = Math.min(Math.max(1_000, waited / 10), 10_000);
        expect(ms).toBeLessThanOrEqual(aim);
        expect(ms).toBeGreaterThan(aim - 500);
        expect((now + ms) % 500).toBe(0);
      }),
    );
  });
});
