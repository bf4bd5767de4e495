/** How many commands, or terminals, go on at once. Pure. */
import { type Refusal, type Result, refuse } from "../../../core/gpu";
import { PlacesOfEach } from "../places";

export interface Bounds {
  /** In one container. */
  container: number;
  /** Of one owner. */
  owner: number;
  /** That an owner always gets, though others have all. */
  own: number;
  /** In all, but for those. */
  all: number;
}

export class AtOnce {
  private readonly containers: PlacesOfEach;
  private readonly owners: PlacesOfEach;

  /** @param what `commands` */
  constructor(
    private readonly what: string,
    private readonly most: Bounds,
  ) {
    this.containers = new PlacesOfEach(most.container, 0);
    this.owners = new PlacesOfEach(most.owner, 0, most.all, most.own);
  }

  /** @returns gives the place back, once */
  take(owner: string, container: string): Result<() => void> {
    const inContainer = this.containers.takeNow(container);
    if (!inContainer)
      return refuse(this.full(`Container ${container} has ${this.containers.inUseOf(container)}`));
    const ofOwner = this.owners.takeNow(owner);
    if (ofOwner) {
      const giveBack = () => {
        inContainer();
        ofOwner();
      };
      return { ok: true, value: giveBack };
    }
    inContainer();
    const mine = this.owners.inUseOf(owner);
    return refuse(
      this.full(mine >= this.most.owner ? `${owner} has ${mine}` : `All together have ${this.owners.inUse}`),
    );
  }

  private full(have: string): Refusal {
    const { container, owner, own, all } = this.most;
    return {
      code: "busy",
      message: `${have} ${this.what} at once, and no more are begun.`,
      allowed: `${container} ${this.what} in one container at once, ${own} of each owner, and beyond that ${owner} of one, ${all} of all`,
      fix: "Let one end, then ask again.",
    };
  }
}
