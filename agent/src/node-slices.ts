import { existsSync } from "node:fs";
import { type CgroupDriver, cgroupParent, type LimitsDocument } from "../../core/limits";
import type { Logger } from "./log";
import { desiredSlices, Slices, systemExec } from "./slices";

export interface NodeSlicesOptions {
  document(): LimitsDocument;
  users(): readonly { name: string; group?: string }[];
  log: Logger;
  /** For tests. Default: the node's own, where systemd is the init. */
  slices?: Pick<Slices, "apply" | "cgroup">;
}

/** Keeps the node's slices as the limits say. Nothing to do where systemd is not the init. */
export class NodeSlices {
  private readonly slices: Pick<Slices, "apply" | "cgroup"> | undefined;
  /** The last call failed, or left slices that nobody needs because something runs in them. */
  private unfinished = false;

  constructor(private readonly options: NodeSlicesOptions) {
    const systemd = existsSync("/run/systemd/system") && !process.env.BERTH_AGENT_ROOT;
    this.slices = options.slices ?? (systemd ? new Slices({ exec: systemExec }) : undefined);
  }

  /** Tries again what the last call could not do. */
  finish(): void {
    if (this.unfinished) this.apply();
  }

  apply(): void {
    const { slices } = this;
    const { document, users, log } = this.options;
    if (!slices) return;
    const failed = (error: unknown) => {
      this.unfinished = true;
      log.error({ err: error }, "the limits of all containers together are not in force as they should be");
    };
    try {
      slices.apply(desiredSlices(document(), users(), slices.cgroup)).then((report) => {
        this.unfinished = report.kept.length > 0;
        for (const unheld of report.unheld)
          log.warn({ unheld }, "the kernel does not hold a limit of a slice");
        if (report.written.length + report.removed.length > 0) log.info({ report }, "slices changed");
      }, failed);
    } catch (error) {
      failed(error);
    }
  }

  /** The cgroup of a user's containers; undefined: dockerd's own. */
  parent(user: string, group: string, driver: string): string | undefined {
    return this.slices && cgroupParent({ name: user, group }, driver as CgroupDriver);
  }
}
