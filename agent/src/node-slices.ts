import { existsSync } from "node:fs";
import type { LimitsDocument } from "./limits";
import type { Logger } from "./log";
import { type CgroupDriver, cgroupParent, desiredSlices, Slices, systemExec } from "./slices";

export interface NodeSlicesOptions {
  document(): LimitsDocument;
  users(): readonly { name: string; group?: string }[];
  log: Logger;
}

/** Keeps the node's slices as the limits say. Nothing to do where systemd is not the init. */
export class NodeSlices {
  private readonly slices: Slices | undefined;

  constructor(private readonly options: NodeSlicesOptions) {
    const systemd = existsSync("/run/systemd/system") && !process.env.BERTH_AGENT_ROOT;
    this.slices = systemd ? new Slices({ exec: systemExec }) : undefined;
  }

  apply(): void {
    const { slices } = this;
    const { document, users, log } = this.options;
    if (!slices) return;
    const failed = (error: unknown) =>
      log.error({ err: error }, "the limits of all containers together are not in force as they should be");
    try {
      slices.apply(desiredSlices(document(), users(), slices.cgroup)).then((report) => {
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
