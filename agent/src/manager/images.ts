/** Images of which the manager makes containers: by id, brought to the node where they are missing. */
import { type Result, refuse } from "../../../core/gpu";
import { parseImageName } from "../../../core/manager";
import type { ManagerConfig } from "../config";
import type { Log } from "../containers";
import { DockerError, type Engine, registryWords } from "../docker";
import { PlacesOfEach } from "../places";
import type { NodeMeasure } from "./measure";
import { noImageHere, noStandInHere, tooManyImages } from "./refusals";
import { namedBy, spelled } from "./request";

/** So much has to be free before an image is brought. */
const LEAST_FREE_MIB = 4096;
/** Images that are kept of those that one tenant had brought; `node:*` are thousands, and no disk holds them. */
const MOST_BROUGHT = 16;

/** What the image has that is made to stand in for others, whichever version. */
const STAND_IN_LABEL = "berth.image=dev";

export type ImageEngine = Pick<Engine, "imageId" | "images" | "pull" | "removeImage">;

export class Images {
  /** By owner and name: nobody waits behind what somebody else asked for. */
  private readonly coming = new Map<string, Promise<Result<string>>>();
  /** Each takes the node's network and disk: one at a time for each owner. */
  private readonly places = new PlacesOfEach(1, Number.POSITIVE_INFINITY);
  /** By owner: images that were brought for them since berthd began, the one longest not asked for first. */
  private readonly brought = new Map<string, Set<string>>();

  constructor(
    private readonly engine: ImageEngine,
    private readonly measure: Pick<NodeMeasure, "measure">,
    private readonly ended: AbortSignal,
    /** Undefined: the node has no manager any more. */
    private readonly config: () => ManagerConfig | undefined,
    private readonly log: Log,
  ) {}

  /**
   * The id of an image.
   *
   * @param image a name that the caller may have, or an id
   * @param owner the tenant; empty: the pool
   * @throws DockerError where dockerd does not answer
   */
  async resolve(image: string, owner = ""): Promise<Result<string>> {
    const standIn = this.standInFor(image);
    if (standIn === undefined) return this.find(image, owner);
    // It is the node's, whoever asks.
    const found = await this.find(standIn, "");
    return found.ok ? found : refuse(noStandInHere(image, found.refusal));
  }

  /** Takes away the versions of the image that stands in for others which were there before, but those that containers have. */
  async dropOldStandIns(): Promise<void> {
    const now = this.config()?.images.standIn?.image;
    const there = await this.engine.images([STAND_IN_LABEL]);
    // A main image made from one has this label with an empty value and no registry digest, so it is not found here.
    for (const reference of there.flatMap(({ RepoDigests }) => RepoDigests ?? []))
      if (reference !== now) await this.engine.removeImage(reference);
  }

  private standInFor(image: string): string | undefined {
    const { standIn } = this.config()?.images ?? {};
    return standIn?.names.some((name) => spelled(name) === image) ? standIn.image : undefined;
  }

  private async find(image: string, owner: string): Promise<Result<string>> {
    const id = await this.engine.imageId(image);
    if (id === undefined) return this.bring(image, owner);
    const own = this.brought.get(owner);
    // It goes last again.
    if (own?.delete(image)) own.add(image);
    return { ok: true, value: id };
  }

  /** Whoever wants one that is on its way to the same owner waits for that one. What two owners want, dockerd brings once. */
  private bring(image: string, owner: string): Promise<Result<string>> {
    const key = JSON.stringify([owner, image]);
    const under = this.coming.get(key);
    if (under !== undefined) return under;
    const work = this.bringInTurn(image, owner).finally(() => this.coming.delete(key));
    this.coming.set(key, work);
    return work;
  }

  private async bringInTurn(image: string, owner: string): Promise<Result<string>> {
    const giveBack = await this.places.take(owner);
    try {
      // It may have come meanwhile.
      const id = await this.engine.imageId(image);
      return id === undefined ? await this.bringNow(image, owner) : { ok: true, value: id };
    } finally {
      giveBack?.();
    }
  }

  private async bringNow(image: string, owner: string): Promise<Result<string>> {
    const name = parseImageName(image);
    if (!name.ok) return refuse(noImageHere(image, "it is named by its id"));
    if (this.measure.measure().diskFreeMiB < LEAST_FREE_MIB)
      return refuse({
        code: "full",
        message: `image ${image} is not on this node, and the disk has no room to bring it`,
        allowed: `${LEAST_FREE_MIB} MiB have to be free`,
        fix: "take an image that the node has, or have the operator make room",
      });
    const room = await this.makeRoom(owner);
    if (!room.ok) return room;
    try {
      await this.engine.pull(name.value, this.ended);
    } catch (error) {
      if (!(error instanceof DockerError) || error.outcome !== "refused") throw error;
      this.log.warn({ image, owner, reason: error.message }, "an image could not be brought");
      return refuse(noImageHere(image, registryWords(error)));
    }
    const id = await this.engine.imageId(image);
    // What the operator names whole is the node's.
    const named = namedBy(this.config()).includes(image);
    if (id !== undefined && owner !== "" && !named) this.note(image, owner);
    return id === undefined
      ? refuse(noImageHere(image, "its registry gave another one"))
      : { ok: true, value: id };
  }

  private note(image: string, owner: string): void {
    const own = this.brought.get(owner) ?? new Set();
    this.brought.set(owner, own.add(image));
  }

  /** Takes away what the owner had brought and asked for longest ago; what a container is made of stays. */
  private async makeRoom(owner: string): Promise<Result<void>> {
    const own = this.brought.get(owner) ?? new Set();
    for (const image of own) {
      if (own.size < MOST_BROUGHT) break;
      if (await this.engine.removeImage(image)) own.delete(image);
    }
    return own.size < MOST_BROUGHT
      ? { ok: true, value: undefined }
      : refuse(tooManyImages(owner, MOST_BROUGHT));
  }
}
