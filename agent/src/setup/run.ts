/** One set-up, from its turn to its end. */

import type { PackagesOf } from "../../../core/manager";
import type { ContainerLogs } from "../container-logs";
import { DockerError, type Engine, type ExecLine, type Line } from "../docker";
import type { ManagedContainer } from "../manager";
import type { Step } from "../operations";
import type { Checkout, RepositoryCache } from "../repositories";
import { within } from "../waiting";
import { archiveOf } from "./archive";
import { failedBy, SetupFailed, tooLong, wordsOf } from "./failed";
import type { LogFollower } from "./follow";
import type { Inside, StartCommand } from "./inside";
import type { StartKeeper } from "./keeper";
import type { Candidate, MainImages, Origin } from "./main-images";
import type { SetupPackages } from "./ports";
import { type Project, readProject } from "./project";
import type { Wish } from "./request";
import type { SetupStates } from "./states";

/** How long each phase may take, in milliseconds. Fetching has bounds of its own: see `RepositoryLimits`. */
export interface SetupTimes {
  /** For its turn. @default 1 h */
  queued: number;
  /** @default 10 minutes */
  place: number;
  /** @default 20 minutes */
  install: number;
  /** Until something listens on one of the container's ports; one that runs and is silent is ready all the same. @default 60 s */
  start: number;
}

export const defaultTimes: SetupTimes = {
  queued: 3_600_000,
  place: 600_000,
  install: 1_200_000,
  start: 60_000,
};

export interface RunParts {
  engine: Pick<Engine, "putArchive">;
  repositories: Pick<RepositoryCache, "checkout">;
  logs: Pick<ContainerLogs, "append">;
  packages?: SetupPackages;
  states: SetupStates;
  images: MainImages;
  inside: Inside;
  keeper: StartKeeper;
  follower: Pick<LogFollower, "catchUp">;
  times: SetupTimes;
  log: { warn(data: object, message: string): void };
}

interface Placed {
  project: Project;
  branch: string;
  mainBranch?: string;
}

export class Run {
  private readonly id: string;

  constructor(
    private readonly parts: RunParts,
    private readonly container: ManagedContainer,
    private readonly wish: Wish,
    private readonly signal: AbortSignal,
  ) {
    this.id = container.id;
  }

  /** @throws SetupFailed, DockerError, the signal's reason: it has failed; anything else: so it has, and berthd is at fault */
  async all(step: Step<"setup">): Promise<void> {
    const checkout = await step("clone", () => this.clone());
    try {
      const placed = await step("place", () => this.place(checkout));
      // Others wait for the place that it takes.
      await checkout.remove();
      const origin = await step("install", () => this.install(placed));
      await step("image", () => this.image(placed, origin));
      await step("start", () => this.start(placed.project.start(this.wish.start)));
    } finally {
      await checkout.remove();
    }
  }

  private async clone(): Promise<Checkout> {
    const { states, repositories } = this.parts;
    const { repository, branch, token } = this.wish;
    await states.enter(this.id, "cloning");
    const given = await repositories.checkout({
      ...{ repository, owner: this.container.owner, signal: this.signal },
      ...(branch !== undefined && { branch }),
      ...(token !== undefined && { token }),
      onLine: (line) => void states.say(this.id, line),
    });
    if (!given.ok) throw failedBy(given.refusal);
    return given.value;
  }

  private async place(checkout: Checkout): Promise<Placed> {
    const { states, times } = this.parts;
    const { branch, commit, defaultBranch } = checkout;
    await states.enter(this.id, "checking-out", { branch, commit });
    const late = () => tooLong("putting the repository into the container", times.place);
    const bounds = { milliseconds: times.place, signal: this.signal, tooLong: late };
    const project = await within(bounds, (signal) => this.unpack(checkout, signal));
    return { project, branch, ...(defaultBranch !== undefined && { mainBranch: defaultBranch }) };
  }

  private async unpack(checkout: Checkout, signal: AbortSignal): Promise<Project> {
    const { engine, inside, keeper } = this.parts;
    const { container } = this.container;
    const { workdir } = this.wish;
    // What an earlier set-up keeps running works with the files that go.
    await keeper.drop(this.id);
    await inside.stop(this.id, container);
    const account = await inside.clear(container, workdir, signal);
    await engine.putArchive(container, workdir, archiveOf(checkout.folder, account, signal), signal);
    return readProject(checkout);
  }

  private async install({ project, branch, mainBranch }: Placed): Promise<Origin> {
    const { states, images, inside, times } = this.parts;
    const { env, workdir, install: override, start, repository, hasMain } = this.wish;
    const line = project.start(start);
    await states.enter(this.id, "installing", line === undefined ? {} : { start: line });
    const origin = await images.originOf(this.container, repository);
    if (hasMain && !origin.fromMain)
      await states.say(this.id, "[berth] the container was not made from the repository's main image");
    const of = { owner: this.container.owner, repository, branch, image: origin.base };
    const packages = { ...of, ...(mainBranch !== undefined && { mainBranch }) };
    const incremental = (await this.attach(packages)) || origin.fromMain;
    const { command } = project.install({ incremental, ...(override !== undefined && { override }) });
    // What the tenant wrote may have a secret in it.
    const shown = override === undefined ? command : "installCommand";
    await states.say(
      this.id,
      command === undefined ? "[berth] nothing is to be installed" : `[berth] $ ${shown}`,
    );
    if (command === undefined) return origin;
    const onLine = ({ stream: _, ...said }: ExecLine) => this.tell(said);
    const how = { timeoutMs: times.install, signal: this.signal, onLine };
    const { container } = this.container;
    await inside.install({ id: this.id, container, line: command, env: this.env(env), workdir }, how);
    await this.keep(packages, project.lock);
    return origin;
  }

  private env(own: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
    return { ...this.container.env, ...own };
  }

  private async tell(line: Line): Promise<void> {
    await this.parts.logs.append(this.id, line, Date.now(), "setup");
  }

  /** Whether something is kept that stands below what is installed. */
  private async attach(of: PackagesOf): Promise<boolean> {
    const { packages } = this.parts;
    if (packages === undefined) return false;
    let stands = false;
    await this.withoutFail("packages that were kept are not used", async () => {
      stands = (await packages.attach(this.id, of)).from !== undefined;
    });
    return stands;
  }

  private async keep(of: PackagesOf, fingerprint: string): Promise<void> {
    await this.withoutFail("the packages are not kept for later", async () => {
      const kept = await this.parts.packages?.keep(this.id, of, { fingerprint, signal: this.signal });
      if (kept?.ok === false) throw failedBy(kept.refusal);
    });
  }

  private async image({ project, branch, mainBranch }: Placed, origin: Origin): Promise<void> {
    const { images, states } = this.parts;
    const { repository, env, build } = this.wish;
    const candidate: Candidate = {
      ...{ container: this.container, repository, env: this.env(env), origin, lock: project.lock },
      ...{ isDefault: branch === mainBranch, ...(build !== undefined && { build }) },
    };
    await this.withoutFail("no main image is made", async () => {
      if (!(await images.wanted(candidate))) return;
      await states.enter(this.id, "building-image");
      const made = await images.build(candidate, this.signal);
      if (!made.ok) throw failedBy(made.refusal);
    });
  }

  private async start(line: string | undefined): Promise<void> {
    const { states } = this.parts;
    await states.enter(this.id, "starting");
    if (line === undefined) return states.enter(this.id, "ready", { message: NOTHING_TO_START });
    const { env, workdir } = this.wish;
    const command = { id: this.id, container: this.container.container, line, env: this.env(env), workdir };
    const message = await startAndSee(this.parts, this.container, command, this.signal);
    await states.enter(this.id, "ready", { message });
  }

  /** What only makes set-ups faster: without it they go on. */
  private async withoutFail(what: string, act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      this.signal.throwIfAborted();
      const reason = (error as Error).message;
      this.parts.log.warn({ container: this.id, reason }, what);
      const shown = error instanceof SetupFailed || error instanceof DockerError ? `: ${wordsOf(error)}` : "";
      await this.parts.states.say(this.id, `[berth] ${what}${shown}`.slice(0, MOST_SHOWN));
    }
  }
}

export const NOTHING_TO_START = "there is nothing to start";

const EARLY_END_MS = 3000;

/** Characters of a line of berthd's own. */
const MOST_SHOWN = 2000;

/**
 * Has it kept running from now on, and waits until it listens.
 *
 * @returns how it is, in words
 * @throws SetupFailed where it ended: nothing is kept running then
 */
export async function startAndSee(
  parts: Pick<RunParts, "inside" | "keeper" | "follower" | "times" | "log">,
  { ports }: Pick<ManagedContainer, "ports">,
  command: StartCommand,
  signal?: AbortSignal,
): Promise<string> {
  const { inside, keeper, times } = parts;
  try {
    await inside.launch(command);
    // From here on its output comes into the log.
    keeper.keep(command);
    const wanted = Object.keys(ports).map(Number);
    // Without a port there is nothing to wait for but an early end.
    const most = wanted.length === 0 ? Math.min(times.start, EARLY_END_MS) : times.start;
    const seconds = Math.round(most / 1000);
    const started = await inside.started(command, {
      ...{ ports: wanted, seconds },
      ...(signal !== undefined && { signal }),
    });
    if (started.kind === "listens") return "the project runs and listens";
    if (started.kind === "runs") return `the project runs; ${silence(wanted, seconds)}`;
    throw new SetupFailed(
      `the start command ended with exit code ${started.exitCode}; its output is in the container's log`,
    );
  } catch (error) {
    await endStart(parts, command);
    throw error;
  }
}

const silence = (ports: readonly number[], seconds: number) =>
  ports.length === 0
    ? "none of its ports is published"
    : `within ${seconds} s it did not listen on ${ports.join(", ")}`;

/** What it printed comes into the log all the same. */
async function endStart(
  { inside, keeper, follower, log }: Pick<RunParts, "inside" | "keeper" | "follower" | "log">,
  { id, container }: StartCommand,
): Promise<void> {
  await keeper.drop(id);
  try {
    await inside.stop(id, container);
    await follower.catchUp(id, container);
  } catch (error) {
    log.warn(
      { container: id, reason: (error as Error).message },
      "a start command that failed was not looked after",
    );
  }
}
