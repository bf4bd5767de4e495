/** The first stage of a node: it waits until the machine has finished starting, then says what it is. Pure. */

import { userDataMarker } from "../../cloud-init";
import { ownAddresses } from "./bridges";
import { scriptsOf } from "./script";
import { renderStage } from "./stage";

const script = scriptsOf(__dirname);

/** The oldest releases that the stages are written for: systemd 249, nftables, Docker 20.10 with updates. */
export const supported = { debian: 12, ubuntu: 22.04 } as const;

/** Seconds that cloud-init may take, and then systemd. */
const CLOUD_INIT_SECONDS = 900;
const START_SECONDS = 300;

export function renderReady({ node }: { node: string }): string {
  return renderStage({
    name: "ready",
    node,
    uses: [],
    steps: [
      { name: "distribution", body: DISTRIBUTION, deadlineSeconds: 30 },
      waiting("cloud-init", CLOUD_INIT_SECONDS),
      waiting("systemd", START_SECONDS),
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

const waiting = (what: "cloud-init" | "systemd", seconds: number) => ({
  name: `wait for ${what}`,
  body: `seconds=${seconds}\n${script(`${what}.sh`)}`,
  deadlineSeconds: seconds + 30,
});

const FACTS = `marker=${userDataMarker}\n${ownAddresses}\n${script("node-facts.sh")}`;
