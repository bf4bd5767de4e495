import * as digitalocean from "@pulumi/digitalocean";
import * as pulumi from "@pulumi/pulumi";
import {
  ConfigError,
  type DigitaloceanNodePlan,
  findPlaceholders,
  isPlaceholder,
  type Plan,
  type Problem,
} from "../../config";
import { type Refusal, readRefusal } from "./answers";

/** What the account offers: asked once a run, so that a preview refuses what a create would. */

/** A part that could not be had is left out, and nothing is judged by it. */
export interface Catalogue {
  regions?: readonly { slug: string; available: boolean }[];
  sizes?: readonly { slug: string; available: boolean; regions: readonly string[] }[];
  /** Images asked for by name that there are, and where. */
  images?: readonly { slug: string; regions: readonly string[] }[];
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
  const open = regions?.filter(({ available }) => available).map(({ slug }) => slug);
  const takes = (region: string) => open?.includes(region) ?? true;
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
    if (open && !takes(region))
      report("berth:digitalocean.region", region, "is no region that takes droplets now", listed(open));
    if (sizes) checkSize(node, i, sizes, takes(region), report);
    if (!images) return problems;
    // An image by number is a snapshot of the account's; the API says at the create what is wrong with it.
    const found = images.find(({ slug }) => slug === image);
    if (!/^\d+$/.test(image) && !found)
      report(
        `berth:nodes[${i}].image`,
        image,
        "is no image of DigitalOcean's, nor one of the account's by that slug",
        'a slug as "doctl compute image list --public" shows it, such as "debian-13-x64"',
      );
    else if (found && takes(region) && !found.regions.includes(region))
      report(`berth:nodes[${i}].image`, image, `is not offered in ${region}`, `in ${listed(found.regions)}`);
    return problems;
  });
}

function checkSize(
  { size, region }: DigitaloceanNodePlan,
  i: number,
  sizes: NonNullable<Catalogue["sizes"]>,
  taken: boolean,
  report: (path: string, value: string, problem: string, allowed: string) => void,
): void {
  const path = `berth:nodes[${i}].size`;
  const found = sizes.find(({ slug }) => slug === size);
  const here = sizes.filter(({ available, regions }) => available && regions.includes(region));
  // The same family first: what was meant is most often near.
  const family = here.filter(({ slug }) => slug.split("-")[0] === size.split("-")[0]);
  const near = listed((family.length > 0 ? family : here).map(({ slug }) => slug));
  if (!found) report(path, size, "is no size of this account", near);
  else if (!taken) return;
  else if (!found.available || !found.regions.includes(region))
    report(
      path,
      size,
      `is not offered in ${region} now`,
      `in ${region}: ${near}; ${size} in: ${listed(found.regions) || "no region"}`,
    );
}

/** What each question to the account brought: an answer, or what went wrong. */
export interface Asked {
  regions: Answer<NonNullable<Catalogue["regions"]>>;
  sizes: Answer<NonNullable<Catalogue["sizes"]>>;
  /** Of each slug; `absent` is an answer too. */
  images: readonly Answer<NonNullable<Catalogue["images"]>[number]>[];
}
export type Answer<T> = { found: T } | { refusal: Refusal };

/**
 * What is to be said of the answers: warnings, and the text that ends the run. A question that the token may not ask,
 * and in a preview one that nobody answers, is a warning: the create will tell. What the others brought is judged all
 * the same. Pure.
 */
export function verdict(plan: Plan, asked: Asked, preview: boolean): { warnings: string[]; error?: string } {
  const refusals = (
    [
      ["regions", "regions:read", [asked.regions]],
      ["sizes", "sizes:read", [asked.sizes]],
      ["images", "image:read", asked.images],
    ] as const
  ).flatMap(([what, scope, answers]) => {
    const found = answers.flatMap((answer) => ("refusal" in answer ? [answer.refusal] : []));
    const worst = found.find(({ kind }) => kind !== "absent" || what !== "images");
    return worst ? [{ what, scope, ...worst }] : [];
  });
  const fatal = refusals.find(({ kind }) => (kind === "away" ? !preview : kind !== "forbidden"));
  if (fatal) {
    const error = `DigitalOcean was asked for its ${fatal.what}, and nothing was touched: ${fatal.said}`;
    return { warnings: [], error };
  }
  const warnings: string[] = [];
  const list = (parts: typeof refusals) => parts.map(({ what }) => what).join(", ");
  const forbidden = refusals.filter(({ kind }) => kind === "forbidden");
  if (forbidden[0])
    warnings.push(
      `Not checked with DigitalOcean: ${list(forbidden)}. The token lacks ` +
        `${forbidden.map(({ scope }) => scope).join(", ")}: ${forbidden[0].said}`,
    );
  const away = refusals.filter(({ kind }) => kind === "away");
  if (away[0])
    warnings.push(`Not checked with DigitalOcean: ${list(away)}. It did not answer: ${away[0].said}`);
  const part = <T>(answer: Answer<T>) => ("found" in answer ? answer.found : undefined);
  const images = refusals.some(({ what }) => what === "images")
    ? undefined
    : asked.images.flatMap((answer) => part(answer) ?? []);
  const problems = catalogueProblems(plan, {
    regions: part(asked.regions),
    sizes: part(asked.sizes),
    images,
  });
  return {
    warnings,
    ...(problems.length > 0 ? { error: new ConfigError(plan.stack, problems).message } : {}),
  };
}

/**
 * Asks the account, and ends the run with every droplet's problem at once. A stack with placeholders is nobody's yet,
 * and nothing is asked.
 */
export function checkCatalogue(plan: Plan, provider: digitalocean.Provider): void {
  if (findPlaceholders(plan).length > 0) return;
  const slugs = plan.nodes.flatMap((node) =>
    node.kind === "digitalocean" && !/^\d+$/.test(node.image) ? [node.image] : [],
  );
  const opts = { provider };
  const answer = async <T>(question: Promise<T>): Promise<Answer<T>> => {
    try {
      return { found: await question };
    } catch (error) {
      return { refusal: readRefusal(error) };
    }
  };
  const asked = Promise.all([
    answer(digitalocean.getRegions({}, opts).then(({ regions }) => regions)),
    answer(digitalocean.getSizes({}, opts).then(({ sizes }) => sizes)),
    Promise.all([...new Set(slugs)].map((slug) => answer(digitalocean.getImage({ slug }, opts)))),
  ]);
  pulumi.output(asked).apply(([regions, sizes, images]) => {
    const { warnings, error } = verdict(plan, { regions, sizes, images } as Asked, pulumi.runtime.isDryRun());
    for (const warning of warnings) pulumi.log.warn(warning, provider);
    // For people: a stack trace would bury it.
    if (error !== undefined) throw new pulumi.RunError(error);
  });
}
