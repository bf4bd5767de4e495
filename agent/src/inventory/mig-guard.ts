import { closeSync, openSync, statSync } from "node:fs";
import { isLocked } from "../libc";

export interface MigGuardOptions {
  /**
   * The file that is locked while GPUs change: by the node's program for MIG layouts (components/host/runtime/mig.py),
   * and by the agent stage, which takes declared ones away (components/agent/steps.ts).
   */
  file: string;
  /** Reads the GPUs; a reading that is under way may be the one that is waited for. */
  refresh(): Promise<unknown>;
  /** What `look` says may have changed. */
  changed(): void;
  /** Whether somebody has the lock; throws where that cannot be told. @default asks the kernel */
  held?(file: string): boolean;
}

/** Why nothing new may be granted. */
export interface Busy {
  why: string;
  /** Within seconds it is over by itself: GPUs that were changed are being read. */
  passes: boolean;
}

/**
 * Nothing is granted while GPUs are divided anew, nor until they were read again: between the program's look at the
 * ledger and its cut somebody could be given an instance that is about to go. It is a lock of the kernel's, so that it
 * ends with the program in whatever way, and holds whether berthd starts again meanwhile or not.
 */
export class MigGuard {
  /** The file's time as of the last look: the program sets it as it divides. */
  private seen: number | undefined;
  /** Counts what was seen to happen to the GPUs; the reading that began after the last of it. */
  private happened = 0;
  private known = 0;
  private reading = false;

  constructor(private readonly options: MigGuardOptions) {
    // What was divided before is read by the first look at the GPUs.
    this.seen = this.time();
  }

  /** Looks, and begins a reading where something changed. Asked before each turn: one call of the kernel without MIG. */
  look(): Busy | undefined {
    let held: boolean;
    try {
      const time = this.time();
      held = time !== undefined && (this.options.held ?? lockHeld)(this.options.file);
      if (held || time !== this.seen) this.happened++;
      this.seen = time;
    } catch (error) {
      return {
        why: `whether the GPUs are divided anew cannot be told: ${(error as Error).message}`,
        passes: false,
      };
    }
    if (held) return { why: "the GPUs are being divided anew (MIG), or declared anew", passes: false };
    if (this.happened === this.known) return undefined;
    this.readAgain();
    return { why: "the GPUs were divided anew (MIG), and are being read", passes: true };
  }

  private time(): number | undefined {
    return statSync(this.options.file, { throwIfNoEntry: false })?.mtimeMs;
  }

  private readAgain(): void {
    if (this.reading) return;
    this.reading = true;
    const upTo = this.happened;
    const ended = () => {
      this.reading = false;
      this.options.changed();
    };
    void this.readTwice().then(() => {
      this.known = upTo;
      ended();
    }, ended);
  }

  /** The first may have begun before; what cannot be read is the inventory's own affair, and tried again by it. */
  private async readTwice(): Promise<void> {
    await this.options.refresh();
    await this.options.refresh();
  }
}

function lockHeld(file: string): boolean {
  const fd = openSync(file, "r");
  try {
    return isLocked(fd);
  } finally {
    closeSync(fd);
  }
}
