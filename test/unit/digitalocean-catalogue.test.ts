import { describe, expect, it } from "vitest";
import { readRefusal } from "../../components/digitalocean/answers";
import {
  type Asked,
  type Catalogue,
  catalogueProblems,
  verdict,
} from "../../components/digitalocean/catalogue";
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

/** One refusal each as our plugin says it, and as the official one does: godo's words, in the bridge's and the SDK's. */
const official = (said: string) =>
  `invocation of digitalocean:index/getImage:getImage returned an error: invoking digitalocean:index/getImage:getImage: 1 error occurred:\n\t* ${said}\n\n`;
const URL = "https://api.digitalocean.com/v2/images/debian-13-x64";
const texts = {
  absent: [
    "Invoke of 'digitalocean:index/getImage:getImage' failed: there is no image debian-99-x64; doctl compute image list --public lists them",
    official(
      `image not found: GET ${URL}: 404 (request "1f2e") The resource you were accessing could not be found.`,
    ),
  ],
  forbidden: [
    "find image x: the DigitalOcean API answered 403: You are not authorized (forbidden, request 1). The token may lack the scope image:read",
    official(
      `Error retrieving image: GET ${URL}: 403 (request "1f2e") You are not authorized to perform this operation`,
    ),
    official(
      `Unable to load records: Error retrieving regions: GET ${URL}?page=1&per_page=200: 403 You are not authorized`,
    ),
  ],
  away: [
    "list regions: https://api.digitalocean.com cannot be reached: ENOTFOUND",
    "list regions: https://api.digitalocean.com gave no answer within 30 s",
    "list sizes: the DigitalOcean API answered 503: Service Unavailable",
    official(
      `Error retrieving image: Get "${URL}": dial tcp: lookup api.digitalocean.com on 10.0.0.2:53: no such host`,
    ),
    official(
      `Error retrieving image: GET ${URL} giving up after 5 attempt(s): Get "${URL}": dial tcp 127.0.0.1:1: connect: connection refused`,
    ),
    official(
      `Error retrieving image: Get "${URL}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
    ),
    official(
      `Error retrieving image: GET ${URL}: 500 (request "1f2e") Server Error; giving up after 5 attempt(s)`,
    ),
    official(`Error retrieving image: GET ${URL}: 429 (request "1f2e") API rate limit exceeded`),
  ],
  refused: [
    "list regions: the DigitalOcean API answered 401: Unable to authenticate you. The token is wrong, expired or revoked",
    official(`Error retrieving image: GET ${URL}: 401 (request "1f2e") Unable to authenticate you`),
    "something that nobody knows",
  ],
} as const;
const each = (Object.keys(texts) as (keyof typeof texts)[]).flatMap((kind) =>
  texts[kind].map((text): [string, string] => [kind, text]),
);

describe("an answer that is none", () => {
  it.each(each)("is %s: %s", (kind, text) => {
    const read = readRefusal(new Error(text));
    expect(read.kind).toBe(kind);
    expect(read.said).not.toMatch(/invocation of|invoking|occurred|Invoke of|\n/);
    expect(text.replace(/\s+/g, " ")).toContain(read.said);
  });

  const whole: Asked = {
    regions: { found: catalogue.regions ?? [] },
    sizes: { found: catalogue.sizes ?? [] },
    images: [{ found: { slug: "debian-13-x64", regions: ["fra1"] } }],
  };
  const refused = (kind: keyof typeof texts, i = 0) => ({ refusal: readRefusal(texts[kind][i]) });

  it("for an image is a mistake at its place, with either plugin", () => {
    for (const i of [0, 1]) {
      const asked = { ...whole, images: [...whole.images, refused("absent", i)] };
      const { error, warnings } = verdict(plan("fra1", {}, { image: "debian-99-x64" }), asked, true);
      expect(error).toContain('berth:nodes[1].image = "debian-99-x64"');
      expect(warnings).toEqual([]);
    }
  });

  it("by a token that may not ask is a warning with the scope, and the rest is judged", () => {
    for (const i of [0, 1]) {
      const asked = { ...whole, images: [refused("forbidden", i)] };
      expect(verdict(plan("fra1", {}), asked, false)).toEqual({
        warnings: [
          expect.stringMatching(/^Not checked with DigitalOcean: images\. The token lacks image:read: /),
        ],
      });
      expect(verdict(plan("fra1", { size: "s-3vcpu-1gb" }), asked, false).error).toContain("nodes[0].size");
    }
  });

  it("from nobody is one warning in a preview, and ends an update in one line", () => {
    for (const i of texts.away.keys()) {
      const gone = refused("away", i);
      const asked = { regions: gone, sizes: gone, images: [gone, gone] };
      expect(verdict(plan("fra1", {}), asked, true)).toEqual({
        warnings: [expect.stringMatching(/regions, sizes, images\. It did not answer: /)],
      });
      const { error } = verdict(plan("fra1", {}), asked, false);
      expect(error).toMatch(/^DigitalOcean was asked for its regions, and nothing was touched: [^\n]+$/);
    }
  });

  it("to a wrong token ends preview and update", () => {
    for (const preview of [true, false]) {
      const asked = { ...whole, sizes: refused("refused", 1) };
      expect(verdict(plan("fra1", {}), asked, preview).error).toMatch(
        /sizes, and nothing was touched: .*401/,
      );
    }
  });
});
