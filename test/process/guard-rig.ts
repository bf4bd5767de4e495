/**
 * Real mounts that nobody else sees, for the tests of the guard: a tree, a /run, an /etc/fstab and the program, in a mount
 * namespace.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect } from "vitest";
import { renderStage } from "../../components/host/stage";
import { type StorageOptions, storageSteps } from "../../components/host/storage";
import { guardedFolders, PROGRAM } from "../../components/host/storage/guard";
import { guardProgram } from "../../components/host/storage/guard-program";
import { run } from "../lib/run";

/** Registers the hooks that make and remove a test's folder. */
export function guardRig() {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "berth-guard-"));
    for (const name of ["keep", "systemd/docker.service.d"])
      mkdirSync(join(folder, name), { recursive: true });
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const places = () => {
    const keep = join(folder, "keep");
    return { keep, root: join(keep, "tree"), source: join(keep, "source") };
  };

  /**
   * Runs bash with $root, a tree of plain folders; $guard, the program; $source, a folder that `storage.bind` puts in the
   * place of homes, where `bound` says so; $fstab, an empty /etc/fstab; $keep, the file system that all this lies in; and
   * $units, which stands for /etc/systemd/system. `dead PLACE [OPTIONS]` mounts what answers nothing there, as of a server
   * that is away. `stages` are steps of the storage stage, to be called as /run/NAME, with the program at $guard.
   * @returns the lines that it printed; its failure is the test's
   */
  const bash = async (
    script: string,
    bound = false,
    stages: Record<string, (at: ReturnType<typeof places>) => StorageOptions> = {},
  ): Promise<string[]> => {
    const { keep, root, source } = places();
    const bind = bound ? { homes: source } : {};
    writeFileSync(join(folder, "guard"), guardProgram(guardedFolders({ root, bind })));
    writeFileSync(join(folder, "dead.py"), DEAD);
    for (const [name, options] of Object.entries(stages)) {
      const given = { root, directories: [], devices: [], ...options(places()) };
      writeFileSync(join(folder, name), `#!/bin/sh\n${stage(given)}\n`);
    }
    const setUp = `set -eu
mount -t tmpfs run /run
mount -t tmpfs keep ${keep}
root=${root} guard=/run/guard source=${source} keep=${keep} fstab=/etc/fstab units=${folder}/systemd
for name in guard ${Object.keys(stages).join(" ")}; do cp ${folder}/$name /run/; done
chmod 755 /run/* $keep
# An /etc that is a layer over the real one.
mkdir -p /run/etc/upper /run/etc/work
mount -t overlay none -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work /etc
: >$fstab
mkdir -p "$root"/{homes,workspaces,docker-volumes,shared} "$source"
pids=
trap 'kill $pids 2>/dev/null || true' EXIT
dead() {
  python3 ${folder}/dead.py "$1" "\${2:-}" &
  pids="$pids $!"
  until grep -q -F " $1 " /proc/self/mountinfo; do sleep 0.05; done
}
tree() { sed "s|$root|TREE|g; s|$source|SOURCE|g; s|$keep|KEEP|g"; }
options() { findmnt -n -o VFS-OPTIONS --mountpoint "$1" | tail -n 1 | tr , '\\n' | grep -x -e rw -e ro -e noexec -e nosuid -e nodev | sort | paste -s -d ,; }
mounts() { for at in homes workspaces docker-volumes shared; do if mountpoint -q "$root/$at"; then printf '%s ' "$at"; fi; done; echo; }`;
    const args = ["-m", "--propagation", "private", "bash", "-c", `${setUp}\n${script}`];
    const { code, text, stdout } = await run("unshare", args);
    expect(code, text).toBe(0);
    return stdout.trim().split("\n");
  };

  /** The steps that mount, unmount and guard. */
  const stage = (options: StorageOptions): string => {
    const names = [
      "devices",
      "mounts",
      "directories",
      "unmount what is no longer asked for",
      "guard what people write",
    ];
    const moved = storageSteps(options)
      .filter(({ name }) => names.includes(name))
      .map((step) => ({
        ...step,
        body: step.body
          .replaceAll("/etc/systemd/system", `${folder}/systemd`)
          .replaceAll(PROGRAM, "/run/guard"),
      }));
    return renderStage({
      name: "storage",
      node: "node-0",
      steps: [{ name: "state", body: 'install -d "$state/storage"' }, ...moved],
      paths: { logs: "/run/log", state: "/run/state", lock: "/run/lock" },
    });
  };
  return { bash };
}

/** A FUSE file system whose program takes no question (fuse(4)), as long as this runs. */
const DEAD = `import ctypes, os, sys, time
fuse = os.open("/dev/fuse", os.O_RDWR)
flags = sum({"nosuid": 2, "nodev": 4}[name] for name in sys.argv[2].split(",") if name)
libc = ctypes.CDLL(None, use_errno=True)
said = ("fd=%d,rootmode=40000,user_id=0,group_id=0" % fuse).encode()
if libc.mount(b"dead", sys.argv[1].encode(), b"fuse", flags, said):
    sys.exit(os.strerror(ctypes.get_errno()))
time.sleep(120)
`;
