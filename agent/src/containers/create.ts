/**
 * Containers with a grant: reserve, create, bind, start. The reservation is written before anything is created, and a container
 * starts once the grant is bound to it, so that whatever comes in between, no GPU is given twice: not where berthd ends, nor where
 * the grant is released meanwhile or used for another container. `recover` brings the half-done to an end.
 */
import { randomBytes } from "node:crypto";
import { CREATED_NETWORK, claim, containerPolicies, ownerLabels, SYSTEM } from "../../../core/containers";
import { type Grant, type Refusal, type Result, refuse } from "../../../core/gpu";
import { DockerError, type Engine, type IsolatedNetwork, short, wordsFor } from "../docker";
import { NotNoted, type Step } from "../operations";
import type { CreateCaller, CreatedContainer, CreatorPort } from "../service/ports";
import { pause } from "../waiting";
import type { CreatorOptions, Making } from "./options";
import { type Prepared, prepare, type UnderWay } from "./prepare";
import type { ContainerRecord } from "./record";
import {
  giveBack,
  grantKey,
  type RecoverOptions,
  recoverCreation,
  recoverRemoval,
  removeOfThoseWhoLeft,
  takeAwayUnstarted,
} from "./recover";
import { callerGone, dockerRefusal, notOurs, notThere, textOf } from "./refusals";
import { type CreateRequest, grantNamed } from "./request";
import { containerSpec, DEFAULT_STOP_SECONDS } from "./spec";

export class Creator implements CreatorPort<CreateRequest> {
  /** By creation. */
  private readonly underWay = new Map<string, UnderWay>();
  /** By container. */
  private readonly removals = new Map<string, Promise<Result<{ id: string }>>>();
  private readonly forRecovery: RecoverOptions;
  private recovering: Promise<void> | undefined;
  private readonly stopListening: () => void;
  private readonly ended = new AbortController();

  constructor(private readonly options: CreatorOptions) {
    this.forRecovery = { ...options, takeAway: (id) => this.takeAway(id) };
    options.operations.handle("create", (operation) => recoverCreation(this.forRecovery, operation));
    options.operations.handle("remove", (operation) => recoverRemoval(this.forRecovery, operation));
    this.stopListening = options.containers.onEvent((event) => {
      if (event.kind === "looked") this.recoverSoon();
    });
  }

  /**
   * Starts a container with what it asks for, or leaves nothing.
   *
   * @param request as `createSchema` made it of a body.
   * @param signal whoever asked has gone: ends the wait for a grant, and what is there by then is taken away.
   * @param making of the container manager's alone
   */
  async create(
    request: CreateRequest,
    caller: CreateCaller,
    signal?: AbortSignal,
    making?: Making,
  ): Promise<Result<CreatedContainer>> {
    if (this.ended.signal.aborted)
      return refuse({ code: "closed", message: "berthd is ending", fix: "try again" });
    const creation = making?.creation ?? randomBytes(8).toString("hex");
    const over = this.options.containers.await(creation);
    const work = this.prepareAndRun(request, { creation, caller, signal, making });
    this.underWay.set(creation, {
      user: request.user,
      actor: caller.actor,
      gpus: request.gpus !== undefined,
      done: work,
    });
    let looked = false;
    try {
      const done = await work;
      looked = true;
      return done;
    } catch (error) {
      if (error instanceof DockerError || error instanceof NotNoted)
        return refuse(this.refusalOf(error, { creation, making }));
      throw error;
    } finally {
      this.underWay.delete(creation);
      over(looked);
    }
  }

  /** Stops and removes a container that berthd made; its grant is over once no process of it is left. */
  async remove(container: string, caller: CreateCaller): Promise<Result<{ id: string }>> {
    try {
      return await this.removeNow(container, caller);
    } catch (error) {
      if (error instanceof DockerError || error instanceof NotNoted) return refuse(dockerRefusal(error));
      throw error;
    }
  }

  /**
   * Ends what a berthd before this one, or a dockerd that did not answer, left half-done, and removes the containers of those
   * who are no users of the node any more.
   */
  recover(): Promise<void> {
    // One after the other, so that the end of the last is the end of all.
    const before = this.recovering?.catch(() => {}); // whoever began it hears of it
    this.recovering = (before ?? Promise.resolve()).then(() => this.recoverNow());
    return this.recovering;
  }

  /** For whoever does not wait for it. */
  recoverSoon(): void {
    this.recover().catch((error: unknown) => {
      this.options.log.warn(
        { error: textOf(error) },
        "half-done creations could not be looked after; tried again later",
      );
    });
  }

  /** @throws Error with all that could not be done; the rest is. */
  private async recoverNow(): Promise<void> {
    const { containers, ledger, operations } = this.options;
    // Until the GPUs are read every grant looks lost, and its container as one to take away.
    if (ledger.closed() !== undefined) return;
    await containers.current();
    const unstarted = { ...this.forRecovery, underWay: (creation: string) => this.underWay.has(creation) };
    const problems: string[] = [];
    const left = {
      ...unstarted,
      isUser: this.options.isUser,
      isManaged: this.options.isManaged,
      remove: (one: ContainerRecord) => this.removeOnce(one),
    };
    for (const work of [
      () => operations.recover(),
      () => takeAwayUnstarted(unstarted),
      () => removeOfThoseWhoLeft(left),
    ])
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
    request: CreateRequest,
    asked: Omit<Running, "step">,
  ): Promise<Result<CreatedContainer>> {
    const { creation, caller } = asked;
    // Before anything is reserved: most mistakes show here.
    const prepared = await this.prepare(request, asked);
    if (!prepared.ok) return prepared;
    const { name } = prepared.value;
    const grant = grantNamed(request);
    const body = { name, actor: caller.actor, ...(grant === undefined ? {} : { grant }) };
    return this.options.operations.run("create", { id: creation, owner: request.user, body }, (step) =>
      this.run(request, prepared.value, { ...asked, step }),
    );
  }

  private prepare(request: CreateRequest, asked: Omit<Running, "step">): Promise<Result<Prepared>> {
    const { creation, caller, making } = asked;
    return prepare(creation, request, caller, { ...this.options, underWay: this.underWay, making });
  }

  /** @throws DockerError when something may be left behind. */
  private async run(
    request: CreateRequest,
    prepared: Prepared,
    running: Running,
  ): Promise<Result<CreatedContainer>> {
    const { signal } = running;
    let { context } = prepared;
    let held: Held | undefined;
    const { gpus } = request;
    if (gpus !== undefined) {
      const found = await this.grantFor({ ...request, gpus }, prepared, running);
      if (!found.ok) return found;
      held = found.value;
      if (!held.own) {
        // It may have waited for a day: limits, containers and dockerd are others by now.
        const again = await this.prepare(request, running).catch((error: unknown) =>
          refuse(this.refusalOf(error, running)),
        );
        if (!again.ok) return this.giveBack(held, again.refusal);
        context = again.value.context;
      }
    }
    if (signal?.aborted) return this.giveBack(held, callerGone);
    const spec = containerSpec(request, { ...context, ...(held === undefined ? {} : { grant: held.grant }) });
    if (!spec.ok) return this.giveBack(held, spec.refusal);
    return this.createAndStart(spec.value, held, running);
  }

  /** The grant that the request names, or a new one. */
  private async grantFor(
    request: CreateRequest & Required<Pick<CreateRequest, "gpus">>,
    { name, containers }: Prepared,
    { creation, caller, signal, step, making }: Running,
  ): Promise<Result<Held>> {
    const { ledger } = this.options;
    const { user, gpus } = request;
    if ("grant" in gpus) {
      const usable = ledger.usable({ id: gpus.grant, user });
      return usable.ok ? { ok: true, value: { grant: usable.value, own: true } } : usable;
    }
    const wish = {
      user,
      ask: gpus,
      purpose: `container ${name}`,
      // The manager bounds a tenant's containers itself; the ledger counts those with GPUs.
      ...(making === undefined && { containers }),
      actor: caller.actor,
      idempotencyKey: grantKey(creation),
      ...(request.wait_seconds === undefined ? {} : { waitSeconds: request.wait_seconds }),
    };
    const reserved = await step("reserve", () => ledger.reserve(wish, signal));
    return reserved.ok ? { ok: true, value: { grant: reserved.value, own: false } } : reserved;
  }

  private async createAndStart(
    spec: { name: string; body: Parameters<Engine["create"]>[1] },
    held: Held | undefined,
    running: Running,
  ): Promise<Result<CreatedContainer>> {
    const { creation, caller, signal, step } = running;
    const { containers, engine, ledger } = this.options;
    let id: string;
    try {
      id = await step("create", async () => {
        await engine.ensureNetwork(this.network());
        return engine.create(spec.name, spec.body);
      });
    } catch (error) {
      if (!(error instanceof DockerError && error.outcome === "unreachable"))
        await this.after(error, () => this.undoCreate(creation, spec.name));
      return this.giveBack(held, this.refusalOf(error, running));
    }
    if (signal?.aborted) return this.takeBack(id, held, callerGone);
    try {
      if (held !== undefined) {
        await this.hearOfHolder(held.grant);
        const own = { id: held.grant.id, user: held.grant.user, container: id };
        const bound = await step("bind", () => ledger.bindOwn(own, caller.actor));
        if (!bound.ok) return this.takeBack(id, held, bound.refusal);
      }
      if (signal?.aborted) return this.takeBack(id, held, callerGone);
      await step("start", () => engine.start(id));
    } catch (error) {
      await this.after(error, () => this.takeAway(id));
      return this.giveBack(held, this.refusalOf(error, running), id);
    }
    if (signal?.aborted) return this.takeBack(id, held, callerGone);
    // It runs, whatever dockerd answers now; what is missed here is found by the next comparison with its list.
    await containers.tell(id).catch(() => {});
    if (held === undefined) return { ok: true, value: { id, name: spec.name } };
    return { ok: true, value: { id, name: spec.name, grant: ledger.grant(held.grant.id) ?? held.grant } };
  }

  /**
   * A held grant is still that of the container that stopped: where that one runs again, and its news has not come, the ledger
   * hears of it now. Then that container keeps the grant, and the new one is refused.
   */
  private async hearOfHolder({ container }: Grant): Promise<void> {
    const { containers } = this.options;
    if (container !== undefined && (await containers.alive(container))) await containers.tell(container);
  }

  /** Of all containers that berthd makes on this node. */
  private network(): IsolatedNetwork {
    const { node, stack } = this.options;
    const { component } = containerPolicies.created;
    return { ...CREATED_NETWORK, labels: ownerLabels({ stack, node, owner: SYSTEM, component }) };
  }

  private async removeNow(container: string, { user }: CreateCaller): Promise<Result<{ id: string }>> {
    const { containers } = this.options;
    await containers.current();
    // From the registry: dockerd is asked for nothing that is not the caller's, nor by any other text than an id.
    const record = containers.get(container);
    // Somebody else's is not told from none.
    if (record === undefined || (user !== undefined && user !== record.owner))
      return refuse(notThere(container));
    if (record.creation === undefined) return refuse(notOurs(container));
    return this.removeOnce(record);
  }

  /** Whoever asks for a removal that is under way waits for that one. */
  private removeOnce(record: ContainerRecord): Promise<Result<{ id: string }>> {
    const { id } = record;
    const underWay = this.removals.get(id);
    if (underWay !== undefined) return underWay;
    const removal = this.removeRecorded(record).finally(() => this.removals.delete(id));
    this.removals.set(id, removal);
    return removal;
  }

  private async removeRecorded({ id, owner = SYSTEM }: ContainerRecord): Promise<Result<{ id: string }>> {
    const { containers, engine, ledger } = this.options;
    const found = await engine.inspect(id);
    if (found === undefined) return refuse(notThere(id));
    const operation = { id: randomBytes(8).toString("hex"), owner, body: { container: id } };
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

  /** People and operators hear Docker's words; a tenant hears what they mean, and the operator's log has them. */
  private refusalOf(error: unknown, { creation, making }: Pick<Running, "creation" | "making">): Refusal {
    if (making === undefined || !(error instanceof DockerError)) return dockerRefusal(error);
    this.options.log.warn({ creation, reason: error.message }, "a tenant's container could not be made");
    return wordsFor(error);
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

  private async takeBack(id: string, held: Held | undefined, refusal: Refusal): Promise<Result<never>> {
    await this.takeAway(id);
    return this.giveBack(held, refusal, id);
  }

  /** @param container which may have the grant, and is gone */
  private async giveBack(
    held: Held | undefined,
    refusal: Refusal,
    container?: string,
  ): Promise<Result<never>> {
    if (held === undefined) return refuse(refusal);
    const { ledger, log } = this.options;
    const { id } = held.grant;
    const why = `creation failed: ${refusal.message}`;
    const kept = await giveBack(ledger, { id, own: held.own, container }, why);
    if (kept !== undefined) {
      log.warn({ grant: id, reason: kept.message }, "a grant could not be given back");
      throw new DockerError(`${refusal.message}; its grant could not be given back yet`, "unknown");
    }
    return refuse(refusal);
  }
}

interface Running {
  creation: string;
  caller: CreateCaller;
  signal: AbortSignal | undefined;
  making: Making | undefined;
  step: Step<"create">;
}

interface Held {
  grant: Grant;
  /** Its user asked for it before: it stays theirs where the creation fails. */
  own: boolean;
}
