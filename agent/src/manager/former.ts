/**
 * Tenants that the stack names no more. Where it says that all that one had may go, it goes, and until it is gone nobody of that
 * name is let in: whoever is called so later begins with nothing. Else it stays as it is, and its containers stand still.
 */
import type { Log } from "../containers";
import { OPERATIONS, type Operations } from "../operations";

/** Something that tenants have. */
export interface Holding {
  /** Who has some of it. */
  owners(): Iterable<string>;
  /** Removes all that one has. @throws Error where not all could be: it is called again */
  removeOf(owner: string): Promise<void>;
  /** Whether there is some of which it is not known yet whose it is. @default never */
  isUnread?(): boolean;
}

/** All that tenants have, by the step that removes it. */
type Holdings = Readonly<Record<(typeof OPERATIONS)["leave"][number], Holding>>;

interface FormerTenantsOptions {
  operations: Pick<Operations, "run" | "handle" | "has" | "hasKind">;
  /** Asked for when all parts are there. */
  holdings(): Holdings;
  /** By what the stack says now. */
  isTenant(name: string): boolean;
  /** Whether the stack says that what a tenant had, which it names no more, is to be removed. */
  mayGo(name: string): boolean;
  log: Log;
}

const ownersOf = (holdings: readonly Holding[]): string[] => [
  ...new Set(holdings.flatMap((one) => [...one.owners()])),
];

const operationOf = (owner: string) => `leave-${owner}`;

export class FormerTenants {
  /** Of whom it is not noted yet. */
  private readonly beginning = new Set<string>();
  private readonly begun = new Map<string, number>();
  private readonly told = new Set<string>();

  constructor(private readonly options: FormerTenantsOptions) {
    options.operations.handle("leave", ({ owner }) => this.remove(owner));
  }

  /** Whether all that one had is being removed, also by a berthd before this one. */
  leaves(owner: string): boolean {
    return this.beginning.has(owner) || this.options.operations.has(operationOf(owner));
  }

  /** How often that began since berthd did: what was asked for before is none of a later tenant's of that name. */
  times(owner: string): number {
    return this.begun.get(owner) ?? 0;
  }

  /** Whether anybody has something, or may have, or all that one had is to be removed still. */
  get isNeeded(): boolean {
    const { operations, holdings } = this.options;
    const someHave = (one: Holding) => one.isUnread?.() === true || ownersOf([one]).length > 0;
    return operations.hasKind("leave") || Object.values(holdings()).some(someHave);
  }

  /** Those whose things stay, though the stack names them no more. Keys do not: they are over within a day. */
  get staying(): string[] {
    const { isTenant, mayGo, holdings } = this.options;
    const { keys: _, ...lasting } = holdings();
    return ownersOf(Object.values(lasting)).filter(
      (owner) => !isTenant(owner) && !this.leaves(owner) && !mayGo(owner),
    );
  }

  /** Begins what is due; it is waited for by nobody. */
  look(): void {
    const { isTenant, mayGo, log } = this.options;
    for (const owner of ownersOf(Object.values(this.options.holdings())))
      if (!isTenant(owner) && !this.leaves(owner) && mayGo(owner)) this.begin(owner);
    const staying = this.staying;
    for (const owner of this.told) if (!staying.includes(owner)) this.told.delete(owner);
    for (const owner of staying) {
      if (!this.told.has(owner))
        log.warn(
          { owner },
          "the stack names a tenant no more: its containers are stopped, and all it has stays",
        );
      this.told.add(owner);
    }
  }

  private begin(owner: string): void {
    const { operations, log } = this.options;
    this.beginning.add(owner);
    this.begun.set(owner, this.times(owner) + 1);
    log.info({ owner }, "all that a tenant had is removed, as the stack says");
    operations
      .run("leave", { id: operationOf(owner), owner, body: {} }, async (step) => {
        const holdings = this.options.holdings();
        for (const name of OPERATIONS.leave) await step(name, () => holdings[name].removeOf(owner));
        return { ok: true, value: undefined };
      })
      .then((done) => (done.ok ? undefined : done.refusal.message))
      .catch((error: Error) => error.message)
      .then((reason) => {
        if (reason === undefined) log.info({ owner }, "nothing is left of a tenant");
        else log.warn({ owner, reason }, "not all that a tenant had could be removed; tried again later");
      })
      .finally(() => this.beginning.delete(owner));
  }

  /** From its first step on: each does nothing where nothing is left. */
  private async remove(owner: string): Promise<void> {
    const holdings = this.options.holdings();
    for (const name of OPERATIONS.leave) await holdings[name].removeOf(owner);
  }
}
