import { Places } from "./places";
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
  private readonly owners = new Map<string, Places>();
  /** Those that somebody uses or waits for; each is one's at a time. */
  private readonly repositories = new Map<string, Places>();

  constructor(private readonly options: { atATime: number; atATimeOfOne: number }) {
    this.places = new Places(options.atATime, MOST_WAITING);
  }

  get underWay(): number {
    return this.places.inUse;
  }

  isInUse(key: string): boolean {
    return this.repositories.has(key);
  }

  /** @throws NotGiven where too many wait; the signal's reason */
  async take({ key, owner, signal }: TurnAsk): Promise<Turn> {
    const held: (() => void)[] = [];
    try {
      // First the owner's own: whoever has a repository waits for nothing of their own any more, while others wait for it.
      held.push(
        await inRow(this.owners, owner, new Places(this.options.atATimeOfOne, MOST_OF_OWNER), signal),
      );
      held.push(await inRow(this.repositories, key, new Places(1, MOST_WAITING), signal));
      held.push(await taken(this.places, signal));
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

async function taken(places: Places, signal: AbortSignal): Promise<() => void> {
  const giveBack = await places.take(signal);
  if (!giveBack) throw busy();
  return giveBack;
}

/** A place in a row that is there for as long as somebody has one in it. */
async function inRow(
  rows: Map<string, Places>,
  key: string,
  empty: Places,
  signal: AbortSignal,
): Promise<() => void> {
  const places = rows.get(key) ?? empty;
  signal.throwIfAborted();
  rows.set(key, places);
  const giveBack = await taken(places, signal);
  return () => {
    giveBack();
    if (places.inUse === 0 && rows.get(key) === places) rows.delete(key);
  };
}
