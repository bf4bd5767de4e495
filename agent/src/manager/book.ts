/** The manager's containers as they are written down, and in memory. */

import { environmentBytes, quarantine } from "../../../core/manager";
import type { WriteTurn } from "../service";
import type { ManagedRow } from "../store";

export type { WriteTurn } from "../service";
export type { ManagedRow } from "../store";

export class Book {
  private readonly byId = new Map<string, ManagedRow>();
  private quarantined: ReadonlyMap<number, number> = new Map();

  /**
   * @param rows those that the database has
   * @param written told of each row that was put, once it is on the disk
   */
  constructor(
    rows: readonly ManagedRow[],
    now: number,
    private readonly written: (row: ManagedRow) => void = () => {},
  ) {
    for (const row of rows) {
      if (row.state === "gone") this.retire(row, Math.min(row.goneAt ?? 0, now));
      else this.byId.set(row.id, row);
    }
  }

  /** Undefined: there is none, or it is gone. */
  get(id: string): ManagedRow | undefined {
    return this.byId.get(id);
  }

  all(): ManagedRow[] {
    return [...this.byId.values()];
  }

  of(owner: string): ManagedRow[] {
    return this.all().filter((row) => row.owner === owner);
  }

  /** Of the variables of all that the owner has: they are kept in memory. */
  environmentOf(owner: string): number {
    return this.of(owner).reduce((sum, { env = {} }) => sum + environmentBytes(env), 0);
  }

  /** Those of a template's pool, which nobody has. */
  pool(template: string): ManagedRow[] {
    return this.all().filter((row) => row.owner === undefined && row.template === template);
  }

  get size(): number {
    return this.byId.size;
  }

  /** Writes a row in a turn; what is in memory goes back where the turn cannot be written. */
  put(turn: WriteTurn, row: ManagedRow): void {
    const { id } = row;
    const [before, ports] = [this.byId.get(id), this.quarantined];
    turn.put("managed", row);
    turn.onWritten(() => this.written(row));
    turn.onUndo(() => {
      this.quarantined = ports;
      if (before === undefined) this.byId.delete(id);
      else this.byId.set(id, before);
    });
    if (row.state !== "gone") {
      this.byId.set(id, row);
      return;
    }
    this.byId.delete(id);
    this.retire(row, turn.now);
  }

  /** Ports of the node that containers have, running or not. */
  ports(): Set<number> {
    return new Set(this.all().flatMap(({ ports }) => ports.map(({ host }) => host)));
  }

  /** By port: until when nobody gets it. */
  resting(): ReadonlyMap<number, number> {
    return this.quarantined;
  }

  private retire({ ports }: ManagedRow, at: number): void {
    const hosts = ports.map(({ host }) => host);
    this.quarantined = quarantine(this.quarantined, hosts, at);
  }
}
