/** How a node's GPUs are divided: the request, the tool, and the unit that does it again at every start. */

import { GPU_UUID, layoutProblem } from "../../../config";
import { heredoc, quote, StageOptionError } from "../shell";
import { MIG_PROGRAM } from "./mig-program";
import { RELOAD_UNITS, UNITS, WITH_DRIVER } from "./nvidia";
import type { MigEntry, NvidiaOptions } from "./options";

const PROGRAM = "/usr/local/lib/berth/mig";
const REQUEST = "/etc/berth/mig.json";
const CONFIG = "/etc/berth/mig.yaml";
const LOCK = "/etc/berth/mig.lock";
const UNIT = "/etc/systemd/system/berth-mig.service";

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

export function checkMigOptions({ mig = [], migParted }: NvidiaOptions): void {
  for (const [i, { gpu, layout }] of mig.entries()) {
    const at = `runtime.nvidia.mig[${i}]`;
    const index = typeof gpu === "number" && Number.isInteger(gpu) && gpu >= 0 && gpu < 256;
    if (!index && gpu !== "all" && !GPU_UUID.test(String(gpu)))
      throw new StageOptionError(
        `${at}.gpu`,
        gpu,
        '"all", an index such as 0, or a UUID as "nvidia-smi -L" shows it',
      );
    const problem = layoutProblem(typeof layout === "string" ? layout : { ...layout });
    if (problem) throw new StageOptionError(`${at}.layout`, layout, problem.allowed);
    if (mig.findIndex((entry) => entry.gpu === gpu) < i)
      throw new StageOptionError(`${at}.gpu`, gpu, "one layout for every GPU");
    if (gpu === "all" && mig.length > 1)
      throw new StageOptionError(`${at}.gpu`, gpu, '"all" alone, or every GPU by itself');
  }
  if (!migParted) return;
  if (!/^https:\/\/[^\s'"\\]+\.deb$/.test(migParted.url))
    throw new StageOptionError("runtime.nvidia.migParted.url", migParted.url, '"https://….deb"');
  if (!/^[0-9a-f]{64}$/.test(migParted.sha256))
    throw new StageOptionError("runtime.nvidia.migParted.sha256", migParted.sha256, "64 hexadecimal digits");
}

/** The request as the node's program reads it. */
export const migRequest = (mig: readonly MigEntry[]): string =>
  `${JSON.stringify(
    mig.map(({ gpu, layout, optional }) => ({ gpu, layout, ...(optional ? { optional } : {}) })),
    null,
    2,
  )}\n`;

export function migStep(options: NvidiaOptions): string {
  const { mig = [] } = options;
  return mig.length === 0 ? FORGET : `${WITH_DRIVER}\n${UNITS}\n${ASK(mig)}\n${tool(options)}\n${APPLY}`;
}

/** The GPUs stay divided as they are; nobody does it again after the next start. */
const FORGET = `
${RELOAD_UNITS}
if [ -e ${UNIT} ]; then systemctl disable -q berth-mig.service; fi
unplace ${UNIT} units
unplace ${PROGRAM}
unplace ${REQUEST}
unplace ${CONFIG}
rm -f -- ${LOCK}
reload_units
`;

/**
 * nvidia-mig-parted is in no repository that every node has: NVIDIA attaches a Debian package (nvidia-mig-manager) to
 * each release of github.com/NVIDIA/mig-parted, whose checksum the operator has to give.
 */
function tool({ migParted }: NvidiaOptions): string {
  const download = migParted
    ? `curl -fsSL --retry 3 --max-time 300 ${quote(migParted.url)} -o "$work/mig.deb"
  if ! sha256sum -c --quiet <<<"${migParted.sha256}  $work/mig.deb"; then
    fail ${quote(`the package at ${migParted.url} is not the one whose SHA-256 is configured: nothing was installed`)}
  fi
  apt_get install --no-install-recommends "$work/mig.deb"
  changed 'package nvidia-mig-manager'`
    : `fail 'nvidia-mig-parted is not on this node, and no package repository here has it (package nvidia-mig-manager). Give the address and the SHA-256 of the Debian package of a release of github.com/NVIDIA/mig-parted as runtime.nvidia.migParted, or put the program into /usr/local/bin'`;
  return `
version=$(timeout 60 nvidia-smi --query-gpu=driver_version --format=csv,noheader | sed -n 1p)
if ! dpkg --compare-versions "$version" ge ${MIG_DRIVER_FLOOR}; then
  fail "the NVIDIA driver is $version; MIG needs ${MIG_DRIVER_FLOOR} or newer"
fi
# Says nothing here: what is wrong with the request is told below.
if ! command -v nvidia-mig-parted >/dev/null && ${PROGRAM} needed "$work/mig.json" >/dev/null 2>&1; then
  if apt-cache show nvidia-mig-manager >/dev/null 2>&1; then
    apt_install nvidia-mig-manager
  else
  ${download}
  fi
fi
# NVIDIA's own service would apply another file at every start, and may reboot the machine for it.
if [ "$(systemctl is-enabled nvidia-mig-manager.service 2>/dev/null || true)" = enabled ]; then
  systemctl disable -q nvidia-mig-manager.service
  changed 'nvidia-mig-manager.service disabled'
fi`;
}

/** The request lies beside: the program makes it the node's when nobody is in its way. */
const ASK = (mig: readonly MigEntry[]) => `
install -d -m 0755 /etc/berth
place 0755 ${PROGRAM} ${heredoc(MIG_PROGRAM)}
cat >"$work/mig.json" ${heredoc(migRequest(mig))}`;

const APPLY = `
place 0644 ${UNIT} units ${heredoc(SERVICE)}
reload_units
enabled berth-mig.service
rc=0
${PROGRAM} apply "$work/mig.json" >"$work/mig" 2>&1 || rc=$?
cat "$work/mig"
while IFS= read -r line; do
  if [[ $line == 'changed '* ]]; then changed "\${line#changed }"; fi
done <"$work/mig"
case $rc in
  0) ;;
  3) grep 'at the next start' "$work/mig" >>"$work/reboot" ;;
  *) fail 'the GPUs are not divided as configured: see above' ;;
esac
`;
