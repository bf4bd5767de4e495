import { describe, expect, it } from "vitest";
import { type Catalogue, catalogueProblems } from "../../components/digitalocean/catalogue";
import { loadConfig, type Plan } from "../../config";

const catalogue: Catalogue = {
  regions: [
    { slug: "fra1", available: true },
    { slug: "tor1", available: true },
    { slug: "nyc2", available: false },
  ],
  sizes: [
    { slug: "s-2vcpu-4gb", available: true, regions: ["fra1", "tor1"] },
    { slug: "s-4vcpu-8gb", available: true, regions: ["fra1"] },
    { slug: "gpu-h100x1-80gb", available: true, regions: ["tor1"] },
    { slug: "s-8vcpu-16gb", available: false, regions: ["fra1"] },
  ],
  images: [
    { slug: "debian-13-x64", regions: ["fra1", "tor1"] },
    { slug: "gpu-h100x1-base", regions: ["tor1"] },
  ],
};

function plan(region: string, ...nodes: { size?: string; image?: string }[]): Plan {
  const config = {
    nodes: nodes.map((node, i) => ({
      kind: "digitalocean",
      name: `drop-${i}`,
      role: i === 0 ? "head" : "worker",
      size: "s-2vcpu-4gb",
      cpus: 2,
      memory: "4GiB",
      ...node,
    })),
    digitalocean: { region, allowSshFrom: ["192.0.2.0/24"] },
  };
  const raw = Object.fromEntries(Object.entries(config).map(([k, v]) => [`berth:${k}`, JSON.stringify(v)]));
  return loadConfig("cloud", raw, () => [], { placeholders: "allow" }).plan;
}

const problems = (...args: Parameters<typeof plan>) =>
  catalogueProblems(plan(...args), catalogue).map(
    ({ path, problem, allowed }) => `${path} ${problem}: ${allowed}`,
  );

describe("what the account offers", () => {
  it("takes what is there, numbered images, and placeholders", () => {
    expect(problems("fra1", {}, { size: "s-4vcpu-8gb" }, { image: "123456" }, { size: "<a size>" })).toEqual(
      [],
    );
    expect(problems("<a region>", {})).toEqual([
      // Where is not known, so nothing is offered there; the region itself is not judged.
    ]);
  });

  it("refuses an unknown and a closed region, once for all droplets", () => {
    expect(problems("xyz1", {}, {})).toEqual([
      "berth:digitalocean.region is no region that takes droplets now: fra1, tor1",
    ]);
    expect(problems("nyc2", {})).toHaveLength(1);
  });

  it("refuses an unknown size with those of its family first, and one that is not in the region", () => {
    expect(problems("fra1", { size: "s-3vcpu-1gb" })).toEqual([
      "berth:nodes[0].size is no size of this account: s-2vcpu-4gb, s-4vcpu-8gb",
    ]);
    expect(problems("fra1", { size: "gpu-h100x1-80gb" })[0]).toMatch(
      /^berth:nodes\[0\]\.size is not offered in fra1 now: .*gpu-h100x1-80gb in: tor1$/,
    );
    expect(problems("fra1", { size: "s-8vcpu-16gb" })[0]).toContain("is not offered in fra1 now");
  });

  it("refuses an unknown image, and one that is not in the region", () => {
    expect(problems("fra1", { image: "debian-99-x64" })[0]).toContain("is no image");
    expect(problems("fra1", { image: "gpu-h100x1-base" })[0]).toContain("is not offered in fra1: in tor1");
  });

  it("tells all of it at once", () => {
    expect(problems("fra1", { size: "s-3vcpu-1gb" }, { image: "debian-99-x64" })).toHaveLength(2);
  });
});
