/** Where each set-up is: in memory, in the database, in the container's log, and told to whoever wants to be told. */
import type { Result } from "../../../core/gpu";
import { environmentBytes, PHASE_WORDS, type SetupPhase, setupStatus } from "../../../core/manager";
import { bracketed } from "../../../core/net";
import type { Callbacks } from "../callbacks";
import type { ContainerLogs } from "../container-logs";
import type { WriteTurn } from "../service";
import type { SetupRow } from "../store";
import type { SetupView } from "./ports";

export interface StatesOptions {
  /** Those that the database has. */
  rows: readonly SetupRow[];
  /** Writes in a turn of the one writer. */
  write(decide: (turn: WriteTurn) => Result<void>): Promise<Result<void>>;
  callbacks: Pick<Callbacks, "add">;
  logs: Pick<ContainerLogs, "append">;
  /** The API's base as those who call it reach it: `http://192.0.2.1:8080`. */
  url(): string;
  /** Where ports of containers are published. */
  publishAddress(): string;
}

/** What a phase brings along beside its words. */
export type Change = Partial<Pick<SetupRow, "message" | "branch" | "commit" | "start">>;

/** A phase that could not be written, so that it has not begun. */
export class NotWritten extends Error {}

const MOST_WORDS = 1000;
const fine: Result<void> = { ok: true, value: undefined };

export class SetupStates {
  private readonly rows: Map<string, SetupRow>;

  constructor(private readonly options: StatesOptions) {
    this.rows = new Map(options.rows.map((row) => [row.container, row]));
  }

  get(id: string): SetupRow | undefined {
    return this.rows.get(id);
  }

  all(): SetupRow[] {
    return [...this.rows.values()];
  }

  view(id: string): SetupView | undefined {
    const row = this.rows.get(id);
    return row && viewOf(row);
  }

  /** Bytes of what is kept of an owner's set-ups, but those of some containers. */
  bytesOf(owner: string, except: ReadonlySet<string>): number {
    const others = this.all().filter((row) => row.owner === owner && !except.has(row.container));
    return others.reduce((sum, row) => sum + keptBytes(row), 0);
  }

  /** A new set-up, in the place of the container's last one. */
  async begin(
    row: Omit<SetupRow, "phase" | "message" | "sequence" | "at" | "changedAt">,
  ): Promise<Result<void>> {
    const sequence = this.rows.get(row.container)?.sequence ?? 0;
    return this.save("queued", (at) => ({
      ...{ ...row, phase: "queued", message: PHASE_WORDS.queued, sequence: sequence + 1, at, changedAt: at },
    }));
  }

  /**
   * The set-up has come to a phase. Resolves when that is on the disk, and with it the message that tells of it. Nothing for a
   * container that is gone.
   *
   * @throws NotWritten
   */
  async enter(
    id: string,
    phase: SetupPhase,
    { message: words = PHASE_WORDS[phase], ...more }: Change = {},
  ): Promise<void> {
    const row = this.rows.get(id);
    if (row === undefined) return;
    const message = oneLine(words);
    const written = await this.save(phase, (changedAt) => ({
      ...{ ...row, ...more, phase, message, changedAt, sequence: row.sequence + 1 },
    }));
    if (!written.ok) throw new NotWritten(written.refusal.message);
  }

  /** A line of the container's log. */
  async say(id: string, line: string): Promise<void> {
    await this.options.logs.append(id, { line }, Date.now(), "setup");
  }

  /** The container is gone. */
  async forget(id: string): Promise<Result<void>> {
    const row = this.rows.get(id);
    if (row === undefined) return fine;
    this.rows.delete(id);
    return this.options.write((turn) => {
      turn.put("setups", { ...row, over: true });
      // Again: a phase that was on its way may have brought it back.
      turn.onWritten(() => this.rows.delete(id));
      return fine;
    });
  }

  private async save(phase: SetupPhase, rowAt: (now: number) => SetupRow): Promise<Result<void>> {
    const written = await this.options.write((turn) => {
      const row = rowAt(turn.now);
      turn.put("setups", row);
      this.tell(turn, row);
      turn.onWritten(() => this.rows.set(row.container, row));
      return fine;
    });
    const { container, message } = rowAt(0);
    if (written.ok) await this.say(container, `[berth] ${phase}: ${message}`);
    return written;
  }

  private tell(turn: WriteTurn, row: SetupRow): void {
    const { owner, callback: target, container: containerId, name, repository, branch = "" } = row;
    if (target === undefined) return;
    const { phase, message, sequence, hostPort = null } = row;
    const repo = `${repository.owner}/${repository.name}`;
    const base = this.options.url();
    const told = { phase, status: setupStatus(phase), message, hostPort, sequence };
    const address = this.options.publishAddress();
    const links = { url: urlOf(address, hostPort), logsUrl: `${base}/api/containers/${containerId}/logs` };
    this.options.callbacks.add(turn, {
      ...{ owner, target, message: { containerId, name, repo, branch, ...told, ...links } },
    });
  }
}

/** Of a set-up, in berthd's memory for as long as its container is there. */
export const keptBytes = ({ env, start = "" }: Pick<SetupRow, "env" | "start">) =>
  environmentBytes(env) + Buffer.byteLength(start);

/** A host or dockerd may have put its own words into it. */
function oneLine(words: string): string {
  const line = words.replace(/[\p{Cc}\p{Cs}]+/gu, " ").trim();
  return line.length > MOST_WORDS ? `${line.slice(0, MOST_WORDS)}…` : line;
}

/** The API's own host may be a proxy's, or another address of the node. */
function urlOf(address: string, hostPort: number | null): string | null {
  return hostPort === null ? null : `http://${bracketed(address)}:${hostPort}`;
}

function viewOf({ phase, message, repository, branch, commit, sequence }: SetupRow): SetupView {
  return {
    ...{ phase, status: setupStatus(phase), message, sequence },
    repo: `${repository.owner}/${repository.name}`,
    ...(branch !== undefined && { branch }),
    ...(commit !== undefined && { commit }),
  };
}
