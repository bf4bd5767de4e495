/**
 * /etc/fstab and what is mounted. Ours are the lines between two marks; the operator's stay as they are.
 *
 * fstab, not mount units: systemd makes its units from it, and `mount`, `findmnt` and people know it. Pure.
 */
import { LOAD_JSON } from "../runtime/told";
import { scriptsOf } from "../script";
import { heredoc, quote, quoteAll } from "../shell";
import type { StageStep } from "../stage";
import { placed } from "./devices";
import { fstabLibrary } from "./fstab";
import { PROGRAM } from "./guard";
import { GUARDED } from "./guard-program";
import { GUARD_OPTIONS, type StoragePlan } from "./spec";
import { storageTree } from "./tree";

const script = scriptsOf(__dirname);

const mountsLibrary = `guard=${PROGRAM} guarded=${GUARDED}\n${script("mounts.sh")}`;

const dockerRoot = `guard_options=${GUARD_OPTIONS}
cat >"$work/data-root.py" ${heredoc(`${LOAD_JSON}print(load("/etc/docker/daemon.json").get("data-root", ""))`)}
${script("docker-root.sh")}`;

/** Writes fstab and mounts what is missing, outer places first. */
export function mountsStep(plan: StoragePlan): StageStep {
  const devices = placed(plan).map(
    (one) => `want_device ${quoteAll([one.where, one.mount, one.filesystem, one.options])}`,
  );
  const nfs = plan.nfs.map((one) => `want ${quoteAll([one.from, one.mount, "nfs", one.options])}`);
  const binds = plan.binds.map((one) => `want ${quoteAll([one.from, one.mount, "none", one.options])}`);
  const modes = (pairs: readonly { path: string; mode: string }[]) =>
    pairs.map(({ path, mode }) => `[${quote(path)}]=${mode}`).join(" ");
  const narrow = storageTree
    .filter(({ mode }) => mode !== "0755")
    .map(({ path, mode }) => ({ path: `${plan.root}/${path}`, mode }));
  const sources = plan.binds.map(({ from, mode }) => ({ path: from, mode }));
  const body = [
    mountsLibrary,
    `declare -A modes_below=(${modes(narrow)}) source_modes=(${modes(sources)})`,
    script("want.sh"),
    ...(devices.length + binds.length > 0 ? [dockerRoot] : []),
    ...devices,
    ...nfs,
    'LC_ALL=C sort -k 2,2 -o "$work/wanted" -- "$work/wanted"',
    ...binds,
    ...plan.binds.map(({ from }) => `not_dockers ${quote(from)}`),
    fstabLibrary,
    script("mount-all.sh"),
  ].join("\n");
  return { name: "mounts", body, deadlineSeconds: 900 };
}

/** File systems grow while they are mounted. */
export function growStep(plan: StoragePlan, library: string): StageStep {
  const calls = placed(plan).map(
    ({ where, filesystem, mount }) =>
      `grow_filesystem "$(awk -v where=${quote(where)} '$1 == where {print $2}' "$work/places")" ${filesystem} ${quote(mount)}`,
  );
  return { name: "growth", body: `${library}\n${calls.join("\n")}`, deadlineSeconds: 1800 };
}

export const unmountStep: StageStep = {
  name: "unmount what is no longer asked for",
  body: `${mountsLibrary}\n${script("unmount.sh")}`,
  deadlineSeconds: 300,
};
