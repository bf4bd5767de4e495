/** All containers of the node as they were last seen, in memory: to be read without asking dockerd. */
import type { ContainerRecord } from "./record";

export class ContainerRegistry {
  private readonly byId = new Map<string, ContainerRecord>();
  private readonly byName = new Map<string, string>();
  private readonly byOwner = new Map<string, Map<string, ContainerRecord>>();

  get size(): number {
    return this.byId.size;
  }

  /** @param container its whole id, or its name */
  get(container: string): ContainerRecord | undefined {
    return this.byId.get(container) ?? this.byId.get(this.byName.get(container) ?? "");
  }

  /** @param owner a user's name, or `system`; left out: all of the node, also those that are none of Berth's */
  list(owner?: string): ContainerRecord[] {
    return [...(owner === undefined ? this.byId : (this.byOwner.get(owner) ?? new Map())).values()];
  }

  put(record: ContainerRecord): void {
    this.delete(record.id);
    this.byId.set(record.id, record);
    this.byName.set(record.name, record.id);
    if (record.owner === undefined) return;
    const theirs = this.byOwner.get(record.owner) ?? new Map<string, ContainerRecord>();
    this.byOwner.set(record.owner, theirs.set(record.id, record));
  }

  delete(id: string): void {
    const record = this.byId.get(id);
    if (record === undefined) return;
    this.byId.delete(id);
    // Another container may have the name by now.
    if (this.byName.get(record.name) === id) this.byName.delete(record.name);
    const theirs = this.byOwner.get(record.owner ?? "");
    theirs?.delete(id);
    if (theirs?.size === 0) this.byOwner.delete(record.owner ?? "");
  }
}
