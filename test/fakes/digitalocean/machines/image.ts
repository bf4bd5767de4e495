/** The image of the droplets: the node image with what DigitalOcean's Debian image has besides. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { must, run } from "./command";

const root = join(__dirname, "../../../..");
const recipe = join(__dirname, "image");

/**
 * Builds the image where this computer's engine lacks it, and the node image below it; gives its tag. The tag is
 * made of the content: what changes one file is another image.
 */
export async function dropletImage(): Promise<string> {
  const built = await must(process.execPath, [join(root, "scripts/image.mjs"), "build", "node", "--json"], {
    seconds: 1800,
  });
  const parent = (JSON.parse(built) as { ref: string }).ref;
  const hash = createHash("sha256").update(parent);
  for (const file of readdirSync(recipe).sort())
    hash.update(`\0${file}\0`).update(readFileSync(join(recipe, file)));
  const tag = `berth-test/droplet:${hash.digest("hex").slice(0, 12)}`;
  if ((await run("docker", ["image", "inspect", tag])).code === 0) return tag;

  const { buildSettings } = await import("../../../../scripts/image/settings.mjs");
  const settings: Record<string, string> = await buildSettings(
    readFileSync(join(recipe, "Dockerfile"), "utf8"),
  );
  const args = ["build", "--quiet", "--tag", tag, "--build-arg", `PARENT=${parent}`];
  // Only the names: docker takes the values from its environment.
  for (const name of Object.keys(settings)) args.push("--build-arg", name);
  if (process.env.BERTH_BUILD_NETWORK) args.push("--network", process.env.BERTH_BUILD_NETWORK);
  await must("docker", [...args, recipe], { seconds: 900, env: { ...process.env, ...settings } });
  return tag;
}
