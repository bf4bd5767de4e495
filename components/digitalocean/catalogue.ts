import * as digitalocean from "@pulumi/digitalocean";
import * as pulumi from "@pulumi/pulumi";
import { ConfigError, type DigitaloceanNodePlan, type Plan, type Problem } from "../../config";
import { findPlaceholders, isPlaceholder } from "../../config/placeholders";

/** What the account offers: asked once a run, so that a preview refuses what a create would. */

export interface Catalogue {
  regions: readonly { slug: string; available: boolean }[];
  sizes: readonly { slug: string; available: boolean; regions: readonly string[] }[];
  /** Images asked for by name that there are, and where. */
  images: readonly { slug: string; regions: readonly string[] }[];
}

/** At most so many of a list are shown. */
const SHOWN = 12;

function listed(slugs: readonly string[]): string {
  const sorted = [...slugs].sort();
  const more = sorted.length - SHOWN;
  return more > 0 ? `${sorted.slice(0, SHOWN).join(", ")} and ${more} more` : sorted.join(", ");
}

/** Regions, sizes and images of the droplets that the account does not offer. Pure. */
export function catalogueProblems(plan: Plan, { regions, sizes, images }: Catalogue): Problem[] {
  const open = regions.filter(({ available }) => available).map(({ slug }) => slug);
  const seen = new Set<string>();
  return plan.nodes.flatMap((node, i): Problem[] => {
    if (node.kind !== "digitalocean") return [];
    const problems: Problem[] = [];
    const report = (path: string, value: string, problem: string, allowed: string) => {
      // What all droplets inherit is said once.
      if (isPlaceholder(value) || seen.has(path)) return;
      seen.add(path);
      problems.push({ path, value, problem, allowed });
    };
    const { region, image } = node;
    if (!open.includes(region))
      report("berth:digitalocean.region", region, "is no region that takes droplets now", listed(open));
    checkSize(node, i, sizes, open, report);
    // An image by number is a snapshot of the account's; the API says at the create what is wrong with it.
    const found = images.find(({ slug }) => slug === image);
    if (!/^\d+$/.test(image) && !found)
      report(
        `berth:nodes[${i}].image`,
        image,
        "is no image of DigitalOcean's, nor one of the account's by that slug",
        'a slug as "doctl compute image list --public" shows it, such as "debian-13-x64"',
      );
    else if (found && open.includes(region) && !found.regions.includes(region))
      report(`berth:nodes[${i}].image`, image, `is not offered in ${region}`, `in ${listed(found.regions)}`);
    return problems;
  });
}

function checkSize(
  { size, region }: DigitaloceanNodePlan,
  i: number,
  sizes: Catalogue["sizes"],
  open: readonly string[],
  report: (path: string, value: string, problem: string, allowed: string) => void,
): void {
  const path = `berth:nodes[${i}].size`;
  const found = sizes.find(({ slug }) => slug === size);
  const here = sizes.filter(({ available, regions }) => available && regions.includes(region));
  // The same family first: what was meant is most often near.
  const family = here.filter(({ slug }) => slug.split("-")[0] === size.split("-")[0]);
  const near = listed((family.length > 0 ? family : here).map(({ slug }) => slug));
  if (!found) report(path, size, "is no size of this account", near);
  else if (!open.includes(region)) return;
  else if (!found.available || !found.regions.includes(region))
    report(
      path,
      size,
      `is not offered in ${region} now`,
      `in ${region}: ${near}; ${size} in: ${listed(found.regions) || "no region"}`,
    );
}

/**
 * Asks the account, and ends the run with every droplet's problem at once. A token that may not ask (403), and in a
 * preview an API that cannot be reached, are warnings: the create will tell. A stack with placeholders is nobody's yet, and
 * nothing is asked.
 */
export function checkCatalogue(plan: Plan, provider: digitalocean.Provider): void {
  if (findPlaceholders(plan).length > 0) return;
  const slugs = plan.nodes.flatMap((node) =>
    node.kind === "digitalocean" && !/^\d+$/.test(node.image) ? [node.image] : [],
  );
  const opts = { provider };
  const image = async (slug: string) => {
    try {
      return [await digitalocean.getImage({ slug }, opts)];
    } catch (error) {
      if (/answered 404/.test(String(error))) return [];
      throw error;
    }
  };
  const asked = Promise.all([
    digitalocean.getRegions({}, opts),
    digitalocean.getSizes({}, opts),
    Promise.all([...new Set(slugs)].map(image)),
  ]).then(
    ([{ regions }, { sizes }, images]) => ({ regions, sizes, images: images.flat() }),
    (error) => {
      const away = pulumi.runtime.isDryRun() && /cannot be reached/.test(String(error));
      if (!away && !/answered 403/.test(String(error))) throw error;
      pulumi.log.warn(`Regions, sizes and images were not checked: ${(error as Error).message}`, provider);
      return undefined;
    },
  );
  pulumi.output(asked).apply((catalogue) => {
    if (!catalogue) return;
    const problems = catalogueProblems(plan, catalogue as Catalogue);
    if (problems.length > 0) throw new pulumi.RunError(new ConfigError(plan.stack, problems).message);
  });
}
