/** What runs on a server when it leaves the stack: Berth's own things go, everything else stays. Pure. */
import { MANAGER_LEAVES } from "./manager";
import { storageDirectories } from "./preflight-storage";
import { readerLibrary } from "./retire/before";
import { DOCKER } from "./retire/docker";
import { FIREWALL } from "./retire/firewall";
import { CONTAINERS, FABRIC, LAST, NVIDIA, SERVICES, SETTINGS, UNBIND, UNGUARD } from "./retire/leave";
import { scriptsOf } from "./script";
import { checkLabel, checkWhole, quote, quoteAll } from "./shell";
import { renderStage, type StageStep } from "./stage";
import { type StorageOptions, storageSteps } from "./storage";

const script = scriptsOf(__dirname);

export interface RetireOptions {
  /** Containers and networks of this stack's node go; those of another stack stay. */
  stack: string;
  /** @default 22 */
  sshPort?: number;
  /** As the storage stage got it: where its directories and mounts are. @default {} */
  storage?: StorageOptions;
}

/**
 * The `delete` of the command whose `create` is `renderPreflight`: the first to be made is the last to go, when the
 * stack's containers, networks and Docker objects are gone already.
 *
 * Taken away, in this order, so that nothing of Berth's is open for a moment: containers and networks that carry
 * Berth's labels, its services (berthd with its program, slices and stand-ins for GPUs), its exports, mounts, quotas and
 * fstab lines, InfiniBand files, its part of daemon.json and of dockerd's unit, its firewall (ufw is as before: off where
 * it was off, with the operator's own rules), its part of sshd, sudo, the journal, the kernel settings and apt, the account
 * that it made for git, its state with the ledger, its logs.
 * Put back from before.json where they were recorded: what the operator had in daemon.json, /etc/default/ufw, the
 * policy of FORWARD, kernel settings, time zone, and which services were off.
 *
 * Stays: installed packages, with the package sources and pins that they need for their updates, and the configuration
 * of a toolkit of NVIDIA's that Berth installed; all other accounts; Docker's images and volumes; and all data. A file system that
 * was mounted by Berth and is in use stays mounted until the next start. Containers of others run on: dockerd restarts only while live-restore is on.
 * Facts: `kept` (directories with data, and the file system that each lies on), `leftMounted`, `leftGuarded` (folders whose
 * mounts stay nosuid and nodev until the next start), `changed`.
 *
 * Safe to run again, after a cut too, and where only some stages ran. The connection it runs over stays open.
 */
export function renderRetire(options: RetireOptions & { node: string }): string {
  const storage = options.storage ?? {};
  const port = checkWhole(options.sshPort ?? 22, "retire.sshPort", 1, 65535);
  const mine = [
    `label=berth.stack=${checkLabel(options.stack, "retire.stack")}`,
    `label=berth.node=${checkLabel(options.node, "retire.node")}`,
  ].map((label) => `--filter ${quote(label)}`);
  const step = (name: string, body: string, deadlineSeconds = 300): StageStep => ({
    name,
    body: `${readerLibrary}\n${body.trim()}`,
    deadlineSeconds,
  });
  return renderStage({
    name: "retire",
    node: options.node,
    uses: ["files"],
    steps: [
      step("containers of Berth", `filters=(${mine.join(" ")})\n${CONTAINERS}`),
      step("services of Berth", SERVICES),
      ...unmounting(storage),
      step("guard of what people write", UNGUARD),
      step("InfiniBand", FABRIC),
      step("Docker", DOCKER, 600),
      step("NVIDIA", NVIDIA),
      step("firewall", `ssh_port=${port}\n${FIREWALL}`),
      step("settings", SETTINGS),
      step("account of git", MANAGER_LEAVES, 60),
      step("what stays", kept(storage), 60),
      step("state and logs", LAST, 60),
    ],
  });
}

/** The storage stage with nothing asked for takes its own things away; it makes nothing then. */
function unmounting(storage: StorageOptions): StageStep[] {
  const names = [
    "devices",
    "mounts",
    "NFS exports",
    "quotas of homes",
    "unmount what is no longer asked for",
  ];
  const nothing = { ...(storage.root === undefined ? {} : { root: storage.root }), devices: [], quotas: [] };
  return storageSteps(nothing)
    .filter(({ name }) => names.includes(name))
    .flatMap((step) => [
      ...(step.name.startsWith("unmount") ? [{ name: "bound directories", body: UNBIND }] : []),
      { ...step, body: `[ -d "$state/storage" ] || return 0\n${step.body.trim()}` },
    ]);
}

/** Only empty directories go, and only those that were not there before; without a record none does. */
function kept(storage: StorageOptions): string {
  const directories = storageDirectories(storage);
  // Children before their parents.
  const sorted = [...new Set(directories)].sort((a, b) => b.split("/").length - a.split("/").length);
  return `directories=(${quoteAll(sorted)})\n${script("retire/leave-directories.sh")}`;
}
