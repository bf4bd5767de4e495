/** What the check against the API's description lets pass and what it does not. */
import { describe, expect, it } from "vitest";
import { loadDescription } from "..";
import { api, ok, plain, refused, start } from "./rig";

describe("what is checked against the description", () => {
  it("refuses a property, a parameter and a path that the description does not have, and says where", async () => {
    const { takeViolations } = await start();
    const message = await refused(422, "POST", "/droplets", {
      ...plain,
      nmae: "x",
      backup_policy: { pln: "daily" },
    });
    expect(message).toContain("POST /v2/droplets body.nmae: DropletsPostRequestBody has no such property");
    expect(message).toContain(
      "POST /v2/droplets body.backup_policy.pln: Droplet_backup_policy has no such property",
    );
    expect(await refused(422, "GET", "/droplets?tagname=x")).toContain("GET /v2/droplets query.tagname");
    expect(
      await refused(422, "POST", "/volumes", { name: "v", region: "fra1", size_gigabytes: "10" }),
    ).toContain("body.size_gigabytes: a string, where VolumesPostRequestBody has number");
    await refused(404, "GET", "/dropletts");
    expect(takeViolations()).toHaveLength(5);
    expect(api?.state.droplets.size).toBe(0);
  });

  it("closes with an error that names each violation, so that no test overlooks one", async () => {
    const { close, takeViolations } = await start();
    await refused(422, "POST", "/tags", { nam: "x" });
    await expect(close()).rejects.toThrow(/POST \/v2\/tags body\.nam: Tags has no such property/);
    expect(takeViolations()).toHaveLength(1);
  });

  it("sees what is wrong in an answer: names, types, choices, required properties, at any depth", async () => {
    await start();
    await ok(202, "POST", "/droplets", plain);
    await api?.idle();
    const [{ id }] = (await ok(200, "GET", "/droplets")).droplets;
    const good = await ok(200, "GET", `/droplets/${id}`);
    const operation = (await loadDescription()).operation("GET", "/v2/droplets/{droplet_id}");
    // biome-ignore lint/suspicious/noExplicitAny: each change spoils it in its own way
    const check = (change: (droplet: any) => void) => {
      const copy = structuredClone(good);
      change(copy.droplet);
      return operation?.checkResponse(200, copy);
    };
    const at = "GET /v2/droplets/{droplet_id} 200.droplet";
    expect(check(() => {})).toEqual([]);
    expect(check((droplet) => Object.assign(droplet.networks.v4[0], { ip_adress: "x" }))).toEqual([
      expect.stringContaining(`${at}.networks.v4[0].ip_adress: Network_v4 has no such property`),
    ]);
    expect(check((droplet) => Object.assign(droplet, { status: "on" }))).toEqual([
      `${at}.status: a string, where Droplet has one of new, active, off, archive`,
    ]);
    expect(check((droplet) => Object.assign(droplet, { created_at: "yesterday", vcpus: "2" }))).toHaveLength(
      2,
    );
    expect(check((droplet) => Reflect.deleteProperty(droplet, "vcpus"))).toEqual([
      `${at}.vcpus: missing, Droplet requires it`,
    ]);
    expect(check((droplet) => Reflect.deleteProperty(droplet.region, "slug"))).toEqual([
      `${at}.region.slug: missing, Region requires it`,
    ]);
  });

  it("says of an operation that it does not play that it does not, not that there is none", async () => {
    await start();
    expect(await refused(501, "GET", "/kubernetes/clusters")).toContain("GET /v2/kubernetes/clusters");
  });
});
