/**
 * What people write cannot give anybody else's rights: below the tree, files neither run as their owner or group
 * (nosuid: setuid, setgid, capabilities of files) nor stand for a device (nodev), on the node and in containers, whose
 * mounts of these folders take the options over. Pure.
 *
 * Not so a read-only mount of Docker before 25: it says `ro`, and runc then mounts the folder anew with that option alone
 * (runc 1.1, libcontainer/rootfs_linux.go, remount). Docker 25 says `rro` on Linux from 5.12 on, which adds the option by
 * mount_setattr(2) (docs.docker.com/engine/storage/bind-mounts, "Recursive mounts"). The one such mount of what people write
 * is /shared: there a file with the setuid bit still runs as its owner, in a container that has it mounted. Nothing comes of
 * it: without sudo a workspace has no-new-privileges, and with it, root anyway.
 *
 * The options are of a mount, not of a file system (mount(8), "nosuid", "nodev"; capabilities(7) on MNT_NOSUID), so a
 * folder that is no mount of its own is bound to itself. It happens at each start, before dockerd: a container keeps
 * the options that its folders had when it started.
 */
import { scriptsOf } from "../script";
import { checkPath, heredoc, quoteAll } from "../shell";
import type { StageStep } from "../stage";
import { guardProgram } from "./guard-program";
import type { BindName, StorageOptions } from "./spec";
import { defaultStorage } from "./tree";

const script = scriptsOf(__dirname);

export const PROGRAM = "/usr/local/lib/berth/guard-storage";
export const DROP_IN = "/etc/systemd/system/docker.service.d/10-berth-storage.conf";

/** Below the root: what holds folders that people write to. */
const FOLDERS: Readonly<Record<BindName, string>> = {
  homes: "homes",
  workspaces: "workspaces",
  state: "docker-volumes",
  shared: "shared",
};

/**
 * What people write to, by what it is for: the folder of the tree, then what `storage.bind` puts in its place, which is
 * the same files by another path.
 * @throws StageOptionError for a path that cannot be.
 */
export function peoplesFolders({
  root: given,
  bind = {},
}: Pick<StorageOptions, "root" | "bind">): Record<BindName, string[]> {
  const root = checkPath(given ?? defaultStorage.root, "storage.root");
  const paths = (name: BindName) => {
    const source = bind[name];
    return [
      `${root}/${FOLDERS[name]}`,
      ...(source === undefined ? [] : [checkPath(source, `storage.bind.${name}`)]),
    ];
  };
  return {
    homes: paths("homes"),
    workspaces: paths("workspaces"),
    state: paths("state"),
    shared: paths("shared"),
  };
}

/** All of them, the tree's own first. @throws StageOptionError for a path that cannot be. */
export function guardedFolders(options: Pick<StorageOptions, "root" | "bind">): string[] {
  const all = Object.values(peoplesFolders(options));
  return [...new Set([...all.flatMap(([own = ""]) => own), ...all.flatMap(([, ...bound]) => bound)])];
}

/**
 * Seconds until a start of dockerd is given up for the guard: docker.service has no limit of its own. Every question to a
 * file system has a shorter one, but that for where a folder really is. The guard takes a second, and at the boot of a slow
 * computer many times as long.
 */
const SECONDS = 180;

/**
 * `after`: the mount units of the folders and of all that they lie in. Berth's own lines in fstab are `nofail`, and an
 * operator's may be, so that local-fs.target and remote-fs.target do not wait for them (systemd.mount(5), "nofail"). A unit
 * that is waited for ends its job mounted or not: 90 s at most for a server that is away (DefaultTimeoutStartSec).
 */
const unitText = (after: string) => `[Unit]
Description=Berth's guard of what people write: nosuid, nodev
After=local-fs.target remote-fs.target
After=${after}
Before=docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=${SECONDS}
ExecStart=${PROGRAM} start

[Install]
WantedBy=multi-user.target
`;

const dropInText = (after: string) => `# Berth: no container starts before what people write is guarded.
[Unit]
After=${after}

[Service]
ExecStartPre=/usr/bin/timeout -k 5 ${SECONDS} ${PROGRAM} start
`;

/** Stands in guard-step.sh and the unit files for the units' names, until the node is asked where the folders really are. */
const HERE = "@AFTER@";

/** Guards the tree now and at each start. */
export function guardStep(options: Pick<StorageOptions, "root" | "bind">): StageStep {
  const folders = guardedFolders(options);
  const body = `
guard=${PROGRAM} drop_in=${DROP_IN} folders=(${quoteAll(folders)})
cat >"$work/guard-program" ${heredoc(guardProgram(folders))}
cat >"$work/guard-unit" ${heredoc(unitText(HERE))}
cat >"$work/guard-drop-in" ${heredoc(dropInText(HERE))}
${script("guard-step.sh")}`;
  return { name: "guard what people write", body };
}
