/** The first stage of a node: it waits until the machine has finished starting, then says what it is. Pure. */

import { userDataMarker } from "../../cloud-init";
import { ownAddresses } from "./bridges";
import { scriptsOf } from "./script";
import { checkPath, checkWhole, quote } from "./shell";
import { renderStage, type StageStep } from "./stage";

const script = scriptsOf(__dirname);

export interface ReadyOptions {
  /** Seconds that cloud-init may take; 0 where there is none. @default 900 */
  cloudInitSeconds?: number;
  /** Seconds that systemd may take to finish starting. @default 300 */
  startSeconds?: number;
  /**
   * Free space that the installation needs, checked only while the node has no Docker yet (later the space is
   * used by what was installed).
   */
  minFree?: readonly { path: string; bytes: number }[];
}

/** The oldest releases that the stages are written for: systemd 249, nftables, Docker 20.10 with updates. */
export const supported = { debian: 12, ubuntu: 22.04 } as const;

export function renderReady(options: ReadyOptions & { node: string }): string {
  return renderStage({
    name: "ready",
    node: options.node,
    uses: [],
    steps: [
      { name: "distribution", body: DISTRIBUTION, deadlineSeconds: 30 },
      ...cloudInit(checkWhole(options.cloudInitSeconds ?? 900, "ready.cloudInitSeconds", 0, 7200)),
      ...systemd(checkWhole(options.startSeconds ?? 300, "ready.startSeconds", 1, 7200)),
      ...room(options.minFree ?? []),
      { name: "facts", body: FACTS, deadlineSeconds: 120 },
    ],
  });
}

/**
 * Looks at /etc/os-release; sets variables of its names.
 * @param say the function that is told of a system that the stages do not support
 */
export const distributionCheck = (say: "fail" | "problem"): string =>
  `say=${say} oldest_debian=${supported.debian} oldest_ubuntu=${supported.ubuntu}\n${script("distribution.sh")}`;

const DISTRIBUTION = `${distributionCheck("fail")}\n${script("distribution-facts.sh")}`;

function cloudInit(seconds: number): StageStep[] {
  if (seconds === 0) return [];
  const body = `seconds=${seconds}\n${script("cloud-init.sh")}`;
  return [{ name: "wait for cloud-init", body, deadlineSeconds: seconds + 30 }];
}

function systemd(seconds: number): StageStep[] {
  const body = `seconds=${seconds}\n${script("systemd.sh")}`;
  return [{ name: "wait for systemd", body, deadlineSeconds: seconds + 30 }];
}

function room(minFree: readonly { path: string; bytes: number }[]): StageStep[] {
  if (minFree.length === 0) return [];
  const where = "ready.minFree";
  const words = minFree.map(
    ({ path, bytes }) =>
      `${quote(checkPath(path, where))} ${checkWhole(bytes, where, 0, Number.MAX_SAFE_INTEGER)}`,
  );
  const body = `min_free=(${words.join(" ")})\n${script("room.sh")}`;
  return [{ name: "room on the disks", body, deadlineSeconds: 30 }];
}

const FACTS = `marker=${userDataMarker}\n${ownAddresses}\n${script("node-facts.sh")}`;
