/** Volumes of tenants: so many of each, of which the one that was not used for longest makes room for another. */
import { type Result, refuse } from "../../../core/gpu";
import type { Engine } from "../docker";
import type { VolumeRow } from "../store";
import type { Book, WriteTurn } from "./book";
import { tooManyVolumes } from "./refusals";

/** Of one tenant. */
export const MOST_VOLUMES = 64;

export interface VolumesOptions {
  rows: readonly VolumeRow[];
  book: Pick<Book, "all">;
  engine: Pick<Engine, "removeVolume">;
  write<T>(decide: (turn: WriteTurn) => Result<T>): Promise<Result<T>>;
  stack: string;
  most?: number;
}

export class Volumes {
  private readonly byName = new Map<string, VolumeRow>();

  constructor(private readonly options: VolumesOptions) {
    for (const row of options.rows) this.byName.set(row.name, row);
  }

  /** Docker's name of it. A tenant's name has no dot, so two tenants' volumes never have one name. */
  nameOf(owner: string, volume: string): string {
    return `berth-${this.options.stack}-${owner}.${volume}`;
  }

  /**
   * Before a container is noted with it: removes others of the owner's that no container has, as many as it takes.
   *
   * @throws DockerError
   */
  async makeRoom(owner: string, name: string): Promise<void> {
    const { engine, write } = this.options;
    for (const { name: idle } of this.idle(owner, name)) {
      if (!this.lacks(owner, name)) return;
      if (!(await engine.removeVolume(idle))) continue;
      await write((turn) => {
        // Somebody may have asked for it meanwhile, and has an empty one.
        if (!this.isUsed(idle)) this.put(turn, { name: idle, owner, usedAt: 0, over: true });
        return { ok: true, value: undefined };
      });
    }
  }

  /** In the turn that notes a container with it. */
  use(turn: WriteTurn, owner: string, name: string): Result<void> {
    if (this.lacks(owner, name)) return refuse(tooManyVolumes(owner, this.most));
    this.put(turn, { name, owner, usedAt: turn.now });
    return { ok: true, value: undefined };
  }

  /** Who has some. */
  owners(): string[] {
    return [...this.byName.values()].map(({ owner }) => owner);
  }

  /** Removes all of an owner's. @throws Error where a container has one still; DockerError */
  async removeOf(owner: string): Promise<void> {
    const { engine, write } = this.options;
    for (const row of this.of(owner)) {
      if (!(await engine.removeVolume(row.name))) throw new Error(`a container has the volume ${row.name}`);
      const gone = await write((turn) => {
        this.put(turn, { ...row, over: true });
        return { ok: true, value: undefined };
      });
      if (!gone.ok) throw new Error(gone.refusal.message);
    }
  }

  private get most(): number {
    return this.options.most ?? MOST_VOLUMES;
  }

  /** There is no room for one more of this name. */
  private lacks(owner: string, name: string): boolean {
    return !this.byName.has(name) && this.of(owner).length >= this.most;
  }

  private of(owner: string): VolumeRow[] {
    return [...this.byName.values()].filter((row) => row.owner === owner);
  }

  private idle(owner: string, except: string): VolumeRow[] {
    return this.of(owner)
      .filter(({ name }) => name !== except && !this.isUsed(name))
      .sort((a, b) => a.usedAt - b.usedAt);
  }

  private isUsed(name: string): boolean {
    return this.options.book.all().some(({ volume }) => volume === name);
  }

  private put(turn: WriteTurn, row: VolumeRow): void {
    const before = this.byName.get(row.name);
    turn.put("volumes", row);
    turn.onUndo(() => {
      if (before === undefined) this.byName.delete(row.name);
      else this.byName.set(row.name, before);
    });
    if (row.over) this.byName.delete(row.name);
    else this.byName.set(row.name, row);
  }
}
