import { Places, PlacesOfEach } from "../places";
import { busy } from "./refusals";

const MOST_WAITING = 256;
const MOST_OF_OWNER = 32;

export interface TurnAsk {
  /** Of the repository. */
  key: string;
  owner: string;
  signal: AbortSignal;
}

export interface Turn {
  /** Lets the next one have the repository. May be called again. */
  unlock(): void;
  /** When the tree is gone. May be called again. */
  giveBack(): void;
}

/**
 * Whose turn it is. An owner has a few turns, and their own further asks wait behind those: so nobody else has more than these before
 * them, neither for a repository nor for one of the places of all.
 */
export class Turns {
  private readonly places: Places;
  private readonly owners: PlacesOfEach;
  /** Each is one's at a time. */
  private readonly repositories = new PlacesOfEach(1, MOST_WAITING);

  constructor({ atATime, atATimeOfOne }: { atATime: number; atATimeOfOne: number }) {
    this.places = new Places(atATime, MOST_WAITING);
    this.owners = new PlacesOfEach(atATimeOfOne, MOST_OF_OWNER);
  }

  get underWay(): number {
    return this.places.inUse;
  }

  isInUse(key: string): boolean {
    return this.repositories.isInUse(key);
  }

  /** @throws NotGiven where too many wait; the signal's reason */
  async take({ key, owner, signal }: TurnAsk): Promise<Turn> {
    const held: (() => void)[] = [];
    try {
      // First the owner's own: whoever has a repository waits for nothing of their own any more, while others wait for it.
      held.push(given(await this.owners.take(owner, signal)));
      held.push(given(await this.repositories.take(key, signal)));
      held.push(given(await this.places.take(signal)));
    } catch (error) {
      giveAll(held);
      throw error;
    }
    const [own, unlock = () => {}, place] = held;
    return { unlock, giveBack: () => giveAll([place, own]) };
  }
}

function giveAll(held: readonly ((() => void) | undefined)[]): void {
  for (const give of held) give?.();
}

function given(giveBack: (() => void) | undefined): () => void {
  if (!giveBack) throw busy();
  return giveBack;
}
