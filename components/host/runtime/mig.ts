/** How a node's GPUs are divided: the request, the tool, and the unit that does it again at every start. */
import { scriptsOf } from "../script";
import { heredoc, quote } from "../shell";
import { UNITS, WITH_DRIVER } from "./nvidia";
import type { MigEntry, NvidiaOptions } from "./options";

const script = scriptsOf(__dirname);

const PROGRAM = "/usr/local/lib/berth/mig";
const UNIT = "/etc/systemd/system/berth-mig.service";

/**
 * What divides a node's GPUs, on the node: /usr/local/lib/berth/mig, run by the runtime stage and at every start.
 *
 * It turns a request into a file for nvidia-mig-parted, since only the node knows which index a UUID has now and how
 * many instances "all-…" are on its model. A GPU whose layout differs is changed, by itself, when nobody has it: no
 * process, no container that was given one of its devices, no grant in berthd's ledger. A change of MIG mode resets all
 * GPUs (mig-parted, ResetAllGPUs), so then nobody may have any. From before that look until it is done it has
 * /etc/berth/mig.lock locked, while which berthd grants nothing (agent/src/inventory/mig-guard.ts).
 *
 * The stage's request lies elsewhere until that is so. Then it becomes /etc/berth/mig.json, which is all that a start
 * of the machine obeys: nobody can be asked then, and what was refused must not happen at the next start.
 *
 * `needed FILE` ends with 0 where the request divides anything here. `apply` ends with 0 (as asked; a line "changed …"
 * for each GPU changed), 3 (as asked after the next start of the machine) or 1 with the reason on standard error.
 */
export const MIG_PROGRAM = script("mig.py");

/** The first driver that divides a GPU (MIG User Guide, "Getting Started with MIG": A100 and A30). */
export const MIG_DRIVER_FLOOR = "450.80.02";

/** MIG is forgotten at a reset of the machine (its instances always, its mode on Hopper and newer). */
const SERVICE = `[Unit]
Description=MIG layout of the GPUs, as Berth's configuration says
After=nvidia-persistenced.service berth-persistence.service nvidia-fabricmanager.service
Before=docker.service nvidia-cdi-refresh.service berth-cdi.service nvidia-dcgm.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=${PROGRAM} apply --boot
TimeoutStartSec=480

[Install]
WantedBy=multi-user.target
`;

/** The request as the node's program reads it. */
export const migRequest = (mig: readonly MigEntry[]): string =>
  `${JSON.stringify(
    mig.map(({ gpu, layout, optional }) => ({ gpu, layout, ...(optional ? { optional } : {}) })),
    null,
    2,
  )}\n`;

export function migStep({ mig = [], migParted }: NvidiaOptions): string {
  const paths = `program=${PROGRAM} unit=${UNIT}`;
  if (mig.length === 0) return [UNITS, paths, script("mig-forget.sh")].join("\n");
  const { url = "", sha256 = "" } = migParted ?? {};
  return `
${WITH_DRIVER}
${UNITS}
${paths} driver_floor=${MIG_DRIVER_FLOOR} package_url=${quote(url)} package_sha256=${quote(sha256)}
install -d -m 0755 /etc/berth
place 0755 "$program" ${heredoc(MIG_PROGRAM)}
cat >"$work/mig.json" ${heredoc(migRequest(mig))}
cat >"$work/mig-unit" ${heredoc(SERVICE)}
${script("mig.sh")}
`;
}
