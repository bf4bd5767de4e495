/**
 * Containers with a grant: reserve, create, start, bind. The reservation is written before anything is created, so that
 * whatever ends berthd in between, no GPU is given twice; `recover` then brings the half-done to an end.
 */
import { randomBytes } from "node:crypto";
import { claim } from "../../../core/containers";
import type { Grant, Refusal, Result } from "../../../core/gpu";
import { DockerError, type Engine, short } from "../docker";
import { NotNoted, type Step } from "../operations";
import type { CreateCaller, CreatedContainer, CreatorPort } from "../service/ports";
import { pause } from "../waiting";
import type { CreatorOptions } from "./options";
import { type Prepared, prepare, type UnderWay } from "./prepare";
import { grantKey, type RecoverOptions, recoverCreation, recoverRemoval, takeAwayUnstarted } from "./recover";
import { callerGone, dockerRefusal, notOurs, notThere, refuse, textOf } from "./refusals";
import type { CreateRequest } from "./request";
import { containerSpec, DEFAULT_STOP_SECONDS } from "./spec";

export class Creator implements CreatorPort<CreateRequest> {
  /** By creation. */
  private readonly underWay = new Map<string, UnderWay>();
  private readonly forRecovery: RecoverOptions;
  private recovering: Promise<void> | undefined;
  private readonly stopListening: () => void;
  private readonly ended = new AbortController();

  constructor(private readonly options: CreatorOptions) {
    this.forRecovery = { ...options, takeAway: (id) => this.takeAway(id) };
    options.operations.handle("create", (operation) => recoverCreation(this.forRecovery, operation));
    options.operations.handle("remove", (operation) => recoverRemoval(this.forRecovery, operation));
    this.stopListening = options.containers.onEvent((event) => {
      if (event.kind !== "looked") return;
      this.recover().catch((error: unknown) => {
        options.log.warn(
          { error: textOf(error) },
          "half-done creations could not be looked after; tried again later",
        );
      });
    });
  }

  /**
   * Starts a container with what it asks for, or leaves nothing.
   *
   * @param request as `createSchema` made it of a body.
   * @param signal whoever asked has gone: ends the wait for a grant, and what is there by then is taken away.
   */
  async create(
    request: CreateRequest,
    caller: CreateCaller,
    signal?: AbortSignal,
  ): Promise<Result<CreatedContainer>> {
    if (this.ended.signal.aborted)
      return refuse({ code: "closed", message: "berthd is ending", fix: "try again" });
    const creation = randomBytes(8).toString("hex");
    const over = this.options.containers.await(creation);
    const work = this.prepareAndRun(creation, request, caller, signal);
    this.underWay.set(creation, { user: request.user, gpus: request.gpus !== undefined, done: work });
    let looked = false;
    try {
      const done = await work;
      looked = true;
      return done;
    } catch (error) {
      if (error instanceof DockerError || error instanceof NotNoted) return refuse(dockerRefusal(error));
      throw error;
    } finally {
      this.underWay.delete(creation);
      over(looked);
    }
  }

  /** Stops and removes a container that berthd made; its grant is over once no process of it is left. */
  async remove(container: string, _caller: CreateCaller): Promise<Result<{ id: string }>> {
    try {
      return await this.removeNow(container);
    } catch (error) {
      if (error instanceof DockerError || error instanceof NotNoted) return refuse(dockerRefusal(error));
      throw error;
    }
  }

  /** Ends what a berthd before this one, or a dockerd that did not answer, left half-done. */
  recover(): Promise<void> {
    // One after the other, so that the end of the last is the end of all.
    const before = this.recovering?.catch(() => {}); // whoever began it hears of it
    this.recovering = (before ?? Promise.resolve()).then(() => this.recoverNow());
    return this.recovering;
  }

  /** @throws Error with all that could not be done; the rest is. */
  private async recoverNow(): Promise<void> {
    const { containers, operations } = this.options;
    await containers.current();
    const unstarted = { ...this.forRecovery, underWay: (creation: string) => this.underWay.has(creation) };
    const problems: string[] = [];
    for (const work of [() => operations.recover(), () => takeAwayUnstarted(unstarted)])
      await work().catch((error: unknown) => problems.push(textOf(error)));
    if (problems.length > 0) throw new Error(problems.join("; "));
  }

  /** Takes no more creations, and waits for those under way. */
  async close(): Promise<void> {
    this.stopListening();
    this.ended.abort();
    await Promise.allSettled([...this.underWay.values()].map(({ done }) => done));
    await this.recovering?.catch(() => {}); // whoever began it hears of it
  }

  private async prepareAndRun(
    creation: string,
    request: CreateRequest,
    caller: CreateCaller,
    signal: AbortSignal | undefined,
  ): Promise<Result<CreatedContainer>> {
    // Before anything is reserved: most mistakes show here.
    const prepared = await this.prepare(creation, request);
    if (!prepared.ok) return prepared;
    const { name } = prepared.value;
    const { actor } = caller;
    return this.options.operations.run(
      "create",
      { id: creation, owner: request.user, body: { name, actor } },
      (step) => this.run(request, prepared.value, { creation, actor, signal, step }),
    );
  }

  private prepare(creation: string, request: CreateRequest): Promise<Result<Prepared>> {
    return prepare(creation, request, { ...this.options, underWay: this.underWay });
  }

  /** @throws DockerError when something may be left behind. */
  private async run(
    request: CreateRequest,
    { context, containers, name }: Prepared,
    { creation, actor, signal, step }: Running,
  ): Promise<Result<CreatedContainer>> {
    const { ledger } = this.options;
    let grant: Grant | undefined;
    let current = context;
    if (request.gpus !== undefined) {
      const wish = {
        user: request.user,
        ask: request.gpus,
        purpose: `container ${name}`,
        containers,
        actor,
        idempotencyKey: grantKey(creation),
        ...(request.wait_seconds === undefined ? {} : { waitSeconds: request.wait_seconds }),
      };
      const reserved = await step("reserve", () => ledger.reserve(wish, signal));
      if (!reserved.ok) return reserved;
      grant = reserved.value;
      // It may have waited for a day: limits, containers and dockerd are others by now.
      const again = await this.prepare(creation, request).catch((error: unknown) =>
        refuse(dockerRefusal(error)),
      );
      if (!again.ok) return this.giveBack(grant, again.refusal);
      current = again.value.context;
    }
    if (signal?.aborted) return this.giveBack(grant, callerGone);
    const spec = containerSpec(request, { ...current, ...(grant === undefined ? {} : { grant }) });
    if (!spec.ok) return this.giveBack(grant, spec.refusal);
    return this.createAndStart(spec.value, grant, { creation, signal, step });
  }

  private async createAndStart(
    spec: { name: string; body: Parameters<Engine["create"]>[1] },
    grant: Grant | undefined,
    { creation, signal, step }: Omit<Running, "actor">,
  ): Promise<Result<CreatedContainer>> {
    const { engine } = this.options;
    let id: string;
    try {
      id = await step("create", () => engine.create(spec.name, spec.body));
    } catch (error) {
      if (!(error instanceof DockerError && error.outcome === "unreachable"))
        await this.after(error, () => this.undoCreate(creation, spec.name));
      return this.giveBack(grant, dockerRefusal(error));
    }
    if (signal?.aborted) return this.takeBack(id, grant, callerGone);
    try {
      await step("start", () => engine.start(id));
    } catch (error) {
      await this.after(error, () => this.takeAway(id));
      return this.giveBack(grant, dockerRefusal(error));
    }
    if (signal?.aborted) return this.takeBack(id, grant, callerGone);
    if (grant === undefined) {
      // It runs, whatever dockerd answers now; what is missed here is found by the next comparison with its list.
      await this.options.containers.tell(id).catch(() => {});
      return { ok: true, value: { id, name: spec.name } };
    }
    const bound = await this.bind(id, spec.name, grant, step);
    return bound.ok && signal?.aborted ? this.takeBack(id, grant, callerGone) : bound;
  }

  private async bind(
    id: string,
    name: string,
    grant: Grant,
    step: Step<"create">,
  ): Promise<Result<CreatedContainer>> {
    const { containers, ledger } = this.options;
    await containers.settled();
    const request = { id: grant.id, token: grant.token, container: id };
    const bound = await step("bind", () => ledger.bind(request)).catch((error: unknown) => {
      if (!(error instanceof NotNoted)) throw error;
      return refuse(dockerRefusal(error));
    });
    if (!bound.ok && (await this.ranAndEnded(id))) {
      await containers.tell(id);
      // It ended before it was bound, and its user's grants are not held: that is its end, and no mistake.
      return { ok: true, value: { id, name, grant: ledger.grant(grant.id) ?? grant } };
    }
    if (!bound.ok) return this.takeBack(id, grant, bound.refusal);
    // What ended before it was bound was told to a ledger that did not know it yet.
    await containers.tell(id);
    return { ok: true, value: { id, name, grant: ledger.grant(grant.id) ?? bound.value } };
  }

  private async removeNow(container: string): Promise<Result<{ id: string }>> {
    const { containers, engine, ledger } = this.options;
    const found = await engine.inspect(container);
    if (found === undefined) return refuse(notThere(container));
    const labels = claim(found.Config?.Labels);
    if (labels.creation === undefined) return refuse(notOurs(container));
    const id = found.Id;
    const operation = { id: randomBytes(8).toString("hex"), owner: labels.user, body: { container: id } };
    return this.options.operations.run("remove", operation, async (step) => {
      await step("stop", () => engine.stop(id, found.Config?.StopTimeout ?? DEFAULT_STOP_SECONDS));
      await step("remove", () => this.takeAway(id));
      await containers.settled();
      const gone = await step("release", () => ledger.containerGone(id));
      return gone.ok ? { ok: true, value: { id } } : gone;
    });
  }

  /**
   * Removes a container, and returns when dockerd has none such and no process of it is left.
   *
   * @throws DockerError when either cannot be said.
   */
  private async takeAway(id: string): Promise<void> {
    const { containers, engine } = this.options;
    await engine.remove(id);
    const end = Date.now() + (this.options.endSeconds ?? 30) * 1000;
    for (;;) {
      await containers.tell(id);
      if (containers.get(id) === undefined && !(await containers.alive(id))) return;
      if (Date.now() > end) {
        throw new DockerError(
          `container ${short(id)} was removed, and something of it is still there; its GPUs stay taken until it ends`,
          "unknown",
        );
      }
      await pause(100);
    }
  }

  /** After a creation of which nobody knows what came: dockerd may have made it all the same. */
  private async undoCreate(creation: string, name: string): Promise<void> {
    const found = await this.options.engine.inspect(name);
    if (found === undefined || claim(found.Config?.Labels).creation !== creation) return;
    await this.takeAway(found.Id);
  }

  /** After a failure: undoes it, and says both where that fails too. */
  private async after<T>(error: unknown, undo: () => Promise<T>): Promise<void> {
    try {
      await undo();
    } catch (second) {
      throw new DockerError(`${textOf(error)}; and what is left of it: ${textOf(second)}`, "unknown");
    }
  }

  private async takeBack(id: string, grant: Grant | undefined, refusal: Refusal): Promise<Result<never>> {
    await this.takeAway(id);
    return this.giveBack(grant, refusal);
  }

  private async giveBack(grant: Grant | undefined, refusal: Refusal): Promise<Result<never>> {
    if (grant !== undefined) {
      // A grant that is over already is what is wanted.
      const released = await this.options.ledger.release(
        grant.id,
        `creation failed: ${refusal.message}`,
        true,
      );
      if (!released.ok && released.refusal.code !== "not-found") {
        this.options.log.warn(
          { grant: grant.id, reason: released.refusal.message },
          "a grant could not be given back",
        );
        throw new DockerError(`${refusal.message}; its grant could not be given back yet`, "unknown");
      }
    }
    return refuse(refusal);
  }

  private async ranAndEnded(id: string): Promise<boolean> {
    const found = await this.options.engine.inspect(id);
    return found?.State.Status === "exited" && !(await this.options.containers.alive(id));
  }
}

interface Running {
  creation: string;
  actor: string;
  signal: AbortSignal | undefined;
  step: Step<"create">;
}
