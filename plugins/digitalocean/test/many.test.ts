/** Many droplets at once: how many requests they cost, and how soon each is noticed. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { startApi } from "../../../test/digitalocean";
import { pollMs } from "../src/api";
import { context, realClock, resource } from "./support";

describe("many droplets", () => {
  it("are made with few requests each, far below what a minute allows", async () => {
    const api = await startApi({
      delay: (type) => (type === "create" ? 2_000 : 0),
      limits: { droplets: 40 },
    });
    try {
      const droplet = resource("droplet", api.url, realClock, { token: api.token });
      const names = Array.from({ length: 40 }, (_, i) => `node-${i}`);
      const made = await Promise.all(
        names.map((name) =>
          droplet.create(
            { name, image: "debian-13-x64", region: "fra1", size: "s-2vcpu-4gb" },
            context(name, { urn: `urn:pulumi:dev::berth::digitalocean:index/droplet:Droplet::${name}` }),
          ),
        ),
      );
      expect(new Set(made.map(({ outs }) => outs.status))).toEqual(new Set(["active"]));
      // One to make each; for all together a look for marks, and lists while they wait. One by one it would be 160.
      expect(api.requests.length).toBeLessThan(2 * names.length);
      await droplet.end();
      expect([...api.state.tags]).toEqual([]);
    } finally {
      await api.close();
    }
  });
});

describe("the distance of looks", () => {
  it("is a second at first, then a fifth of what was waited, at most 10 s, and ends on a half second", () => {
    fc.assert(
      fc.property(fc.nat(3_600_000), fc.nat(), (waited, now) => {
        const ms = pollMs(waited, now);
        const aim = Math.min(Math.max(1_000, waited / 5), 10_000);
        expect(ms).toBeLessThanOrEqual(aim);
        expect(ms).toBeGreaterThan(aim - 500);
        expect((now + ms) % 500).toBe(0);
      }),
    );
  });
});
