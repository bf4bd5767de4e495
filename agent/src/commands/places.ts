/** How many things go on at once. Pure. */
import { type Refusal, type Result, refuse } from "../../../core/gpu";

export interface PlaceLimits {
  /** In one container. */
  container: number;
  /** Of one owner. */
  owner: number;
  /** That an owner always gets, though others have all. */
  own: number;
  /** In all, but for those. */
  all: number;
}

export class Places {
  private readonly taken = new Set<{ owner: string; container: string }>();

  /** @param what `commands` */
  constructor(
    private readonly what: string,
    private readonly most: PlaceLimits,
  ) {}

  /** @returns gives the place back, once */
  take(owner: string, container: string): Result<() => void> {
    const mine = [...this.taken].filter((one) => one.owner === owner);
    const here = mine.filter((one) => one.container === container).length;
    if (here >= this.most.container) return refuse(this.full(`Container ${container} has ${here}`));
    if (mine.length >= this.most.owner) return refuse(this.full(`${owner} has ${mine.length}`));
    if (mine.length >= this.most.own && this.taken.size >= this.most.all)
      return refuse(this.full(`All together have ${this.taken.size}`));
    const place = { owner, container };
    this.taken.add(place);
    return { ok: true, value: () => void this.taken.delete(place) };
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
