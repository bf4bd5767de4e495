/** The bash that every host stage starts with, and the parts that only some need. Pure text. */
import { scriptsOf } from "./script";

const script = scriptsOf(__dirname);

/** Where a stage keeps its things on a node. Only tests use other places. */
export interface StagePaths {
  /** Logs, 0700. @default "/var/log/berth" */
  logs: string;
  /** State that outlives a reboot, 0700. @default "/var/lib/berth" */
  state: string;
  /** One stage at a time on a node. @default "/run/berth-stage.lock" */
  lock: string;
}

export const defaultPaths: StagePaths = {
  logs: "/var/log/berth",
  state: "/var/lib/berth",
  lock: "/run/berth-stage.lock",
};

export const coreLibrary = script("stage.sh");

export const filesLibrary = script("stage-files.sh");

export const aptLibrary = script("stage-apt.sh");

export const secretsLibrary = script("stage-secrets.sh");
