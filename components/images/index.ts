import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { contentHashes } from "../../scripts/image/catalog.cjs";
import { answer } from "../known";

/** The images of this repository, parents first. */
export type ImageName = "node" | "registry" | "agent" | "dev" | "ray" | "workspace";

/** One line of `scripts/image.mjs build`. */
interface Built {
  ref: string;
  id: string;
}

let hashes: Record<string, string> | undefined;

/** The content hash of an image: its files, its parents' and the certificates that go in. Known before any build. */
function imageHash(name: ImageName): string {
  hashes ??= contentHashes();
  const hash = hashes[name];
  if (hash === undefined) throw new Error(`scripts/image/catalog.cjs knows no image "${name}"`);
  return hash;
}

/**
 * An image that exists on the operator's engine: built when its content changed, else taken as it is.
 *
 * Creates: one `command:local:Command`, which builds the image.
 * Needs: a Docker engine on this computer, and the images that it is built from; parents come first.
 * Footprint: the image on this computer's engine. Its tag `berth/NAME:HASH` stays when the stack goes, as a build cache.
 */
export class Image extends pulumi.ComponentResource {
  /** `berth/<name>:<hash>`. */
  readonly ref: pulumi.Output<string>;
  /** `sha256:…` as `docker inspect` shows it. */
  readonly id: pulumi.Output<string>;
  readonly hash: string;

  constructor(
    name: string,
    readonly image: ImageName,
    opts?: pulumi.ComponentResourceOptions,
  ) {
    super("berth:images:Image", name, {}, opts);
    this.hash = imageHash(image);
    const build = `node scripts/image.mjs build ${image} --json`;
    const built = new command.local.Command(
      name,
      {
        create: build,
        environment: { BERTH_IMAGE_HASH: this.hash },
        logging: "stderr",
        addPreviousOutputInEnv: false,
      },
      { parent: this, customTimeouts: { create: "60m", update: "60m" } },
    );
    const line = answer(built.stdout, (text) => JSON.parse(text) as Built);
    this.ref = line.ref;
    this.id = line.id;
    this.registerOutputs({ ref: this.ref, id: this.id });
  }
}
