/**
 * Judges a history by what was announced and what ran, never by how the ledger keeps it: who was granted what, which
 * containers run with which units, what the node has. Every breach is an error that says what broke.
 */
import type { Change, Grant, GrantedUnit, Inventory } from "../../../../core/gpu";

export interface CheckedLimits {
  units: number | null;
  perContainer: number | null;
  containers: number | null;
  wholeGpus: boolean;
}

export class Breach extends Error {}

export class Checker {
  private readonly live = new Map<string, Grant>();
  /** UUIDs that each running container has. */
  private readonly running = new Map<string, readonly string[]>();
  private readonly tokens = new Map<number, string>();
  private lastToken = 0;
  granted = 0;

  constructor(
    private node: Inventory,
    private readonly limitsOf: (user: string) => CheckedLimits,
  ) {}

  inventory(node: Inventory): void {
    this.node = node;
  }

  started(container: string, uuids: readonly string[]): void {
    this.running.set(container, uuids);
  }

  stopped(container: string): void {
    this.running.delete(container);
  }

  /** What was written is gone: reservations and holds are known to nobody any more. */
  databaseLost(): void {
    this.live.clear();
  }

  /** A batch that was written as one. `pool`: by the stack; `adopt`: what was found, which nobody decided. */
  written(changes: readonly Change[], by: "ask" | "pool" | "adopt" = "ask"): void {
    const pool = by === "pool";
    const users = new Set<string>();
    const back: Grant[] = [];
    for (const { grant, event } of changes) {
      const before = this.live.get(grant.id);
      if (event === "granted") {
        this.checkGrant(grant, pool);
        users.add(grant.user);
        this.granted += 1;
      } else if (event === "adopted") {
        this.checkToken(grant, this.tokens.get(grant.token) === grant.id);
      } else if (!before) throw new Breach(`${event} for ${grant.id}, which is not live`);
      else if (before.token !== grant.token) throw new Breach(`${grant.id} changed its token`);
      if (event === "declared" && before?.dropped) back.push(grant);
      if (by === "ask" && (event === "bound" || event === "resumed")) this.checkAlone(grant);
      if (grant.state === "released") {
        // A grant is over for its container alone: what another container was adopted with is its own affair.
        if (before?.container !== undefined && this.running.has(before.container)) {
          throw new Breach(`${grant.id} is over while container ${before.container} runs`);
        }
        this.live.delete(grant.id);
      } else this.live.set(grant.id, grant);
    }
    for (const grant of back) this.checkBack(grant);
    for (const user of users) this.checkLimits(user, pool);
  }

  /** What the stack dropped and takes up again may be nobody else's by now. */
  private checkBack(grant: Grant): void {
    const others = [...this.live.values()].filter(({ id, dropped }) => id !== grant.id && !dropped);
    for (const unit of grant.units) {
      const on = others.flatMap((other) => other.units.filter(({ uuid }) => uuid === unit.uuid));
      const sum = on.reduce((total, one) => total + one.memoryMiB, unit.memoryMiB);
      const memory = this.node.gpus.find(({ uuid }) => uuid === unit.gpu)?.memoryMiB ?? 0;
      const beside = unit.shared && on.every(({ shared }) => shared) && sum <= memory;
      if (on.length > 0 && !beside) throw new Breach(`double grant of ${unit.uuid}: ${grant.id} came back`);
    }
  }

  /** A container may only start on what no other container runs with. */
  private checkAlone(grant: Grant): void {
    for (const [container, uuids] of this.running) {
      if (container === grant.container) continue;
      const { units } = [...this.live.values()].find((one) => one.container === container) ?? {};
      for (const { uuid, shared } of grant.units) {
        const both = shared && units?.some((unit) => unit.uuid === uuid && unit.shared);
        if (uuids.includes(uuid) && !both) {
          throw new Breach(`${grant.container} started with ${uuid}, and ${container} runs with it`);
        }
      }
    }
  }

  private checkToken({ id, token }: Grant, known: boolean): void {
    if (!known && token <= this.lastToken) {
      throw new Breach(`token ${token} of ${id} is not larger than ${this.lastToken}`);
    }
    this.lastToken = Math.max(this.lastToken, token);
    this.tokens.set(token, id);
  }

  private checkGrant(grant: Grant, pool: boolean): void {
    this.checkToken(grant, false);
    if (this.live.has(grant.id)) throw new Breach(`${grant.id} was granted twice`);
    const limits = this.limitsOf(grant.user);
    const { length } = grant.units;
    if (length !== grant.ask.count) throw new Breach(`${length} units for a count of ${grant.ask.count}`);
    if (limits.perContainer !== null && length > limits.perContainer) {
      throw new Breach(`${grant.user}: ${length} for one container, allowed ${limits.perContainer}`);
    }
    if (grant.units.some((one) => one.uuid === one.gpu && !one.shared) && !limits.wholeGpus) {
      throw new Breach(`${grant.user} may not have whole GPUs`);
    }
    const twice = grant.units.some(
      ({ uuid }, at) => grant.units.findIndex((one) => one.uuid === uuid) !== at,
    );
    if (twice) throw new Breach(`${grant.id} has a unit twice`);
    for (const unit of grant.units) this.checkUnit(grant, unit, pool);
  }

  private checkUnit(grant: Grant, unit: GrantedUnit, pool: boolean): void {
    const gpu = this.node.gpus.find(({ uuid }) => uuid === unit.gpu);
    if (!gpu) throw new Breach(`${unit.uuid} is on no GPU of the node`);
    if (gpu.quarantined) throw new Breach(`${unit.uuid} is quarantined`);
    // The stack may promise what a container that it drops still has: the next container comes after it.
    const others = [...this.live.values()].filter((other) => !(pool && other.dropped));
    for (const other of others) {
      for (const held of other.units) {
        if (held.gpu === gpu.uuid && !this.exists(held)) {
          throw new Breach(`${unit.uuid}: GPU ${gpu.index} was divided anew under ${other.id}`);
        }
      }
    }
    if (unit.uuid === unit.gpu) {
      if (gpu.mig) throw new Breach(`GPU ${gpu.index} is in MIG mode and was granted whole`);
    } else if (!gpu.mig || !gpu.instances.some(({ uuid }) => uuid === unit.uuid)) {
      throw new Breach(`${unit.uuid} is no instance of GPU ${gpu.index}`);
    }
    const on = others.flatMap((other) => other.units.filter(({ uuid }) => uuid === unit.uuid));
    if (!unit.shared && on.length > 0) throw new Breach(`double grant of ${unit.uuid} to ${grant.id}`);
    if (unit.shared) {
      if (on.some(({ shared }) => !shared)) throw new Breach(`share of ${unit.uuid}, which is held whole`);
      const sum = on.reduce((total, one) => total + one.memoryMiB, unit.memoryMiB);
      if (sum > gpu.memoryMiB) throw new Breach(`shares of ${unit.uuid}: ${sum} of ${gpu.memoryMiB} MiB`);
    }
    for (const [container, uuids] of this.running) {
      const dropped = [...this.live.values()].some((one) => one.dropped && one.container === container);
      const sharing = [...this.live.values()].some(
        (one) =>
          one.container === container && one.units.some((held) => held.shared && held.uuid === unit.uuid),
      );
      if (!uuids.includes(unit.uuid) || (pool && dropped) || (unit.shared && sharing)) continue;
      throw new Breach(`${unit.uuid} was granted to ${grant.id} while container ${container} runs with it`);
    }
  }

  private checkLimits(user: string, pool: boolean): void {
    const limits = this.limitsOf(user);
    const grants = [...this.live.values()].filter((one) => one.user === user && !(pool && one.dropped));
    const units = grants.reduce((sum, one) => sum + one.units.length, 0);
    if (limits.units !== null && units > limits.units) {
      throw new Breach(`${user} has ${units} units, allowed ${limits.units}`);
    }
    const bound = new Set(grants.flatMap(({ container }) => container ?? []));
    const containers = bound.size + grants.filter(({ container }) => container === undefined).length;
    if (limits.containers !== null && containers > limits.containers) {
      throw new Breach(`${user} has ${containers} containers, allowed ${limits.containers}`);
    }
  }

  private exists(unit: GrantedUnit): boolean {
    const gpu = this.node.gpus.find(({ uuid }) => uuid === unit.gpu);
    if (!gpu) return false;
    if (unit.uuid === unit.gpu) return !gpu.mig;
    return gpu.instances.some(({ uuid }) => uuid === unit.uuid);
  }

  /** UUIDs of GPUs and instances that nobody has: each must be grantable, and no other. */
  expectedFree(): Set<string> {
    const free = new Set<string>();
    const held = [...this.live.values()].flatMap(({ units }) => units);
    const inUse = new Set([...held.map(({ uuid }) => uuid), ...[...this.running.values()].flat()]);
    for (const gpu of this.node.gpus) {
      if (gpu.quarantined || held.some((unit) => unit.gpu === gpu.uuid && !this.exists(unit))) continue;
      const units = gpu.mig ? gpu.instances.map(({ uuid }) => uuid) : [gpu.uuid];
      for (const uuid of units) if (!inUse.has(uuid)) free.add(uuid);
    }
    return free;
  }

  checkFree(grantable: ReadonlySet<string>): void {
    const expected = this.expectedFree();
    for (const uuid of expected)
      if (!grantable.has(uuid)) throw new Breach(`lost: nobody has ${uuid}, nobody gets it`);
    for (const uuid of grantable)
      if (!expected.has(uuid)) throw new Breach(`${uuid} is in use and could be granted`);
  }

  /** After everything ended: nothing may be held. */
  checkEmpty(): void {
    const [first] = this.live.values();
    if (first)
      throw new Breach(`lost: ${first.id} (${first.state}) holds ${first.units[0]?.uuid} for nobody`);
  }
}
