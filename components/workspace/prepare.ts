import type { UserPlan } from "../../config";
import { quote } from "../host/shell";
import { renderStage } from "../host/stage";
import { userFolders, type WorkspaceFiles } from "./files";

/**
 * The stages that a workspace needs on its node: its folders and secrets before the container exists, its limits
 * and running state after. Pure.
 */

const FILES: readonly (keyof WorkspaceFiles)[] = [
  "workspace.json",
  "secrets.json",
  "authorized_keys",
  "ssh_host_ed25519_key",
];

/**
 * Folders of the user and the files of /run/berth; the files' text comes on standard input, as WorkspaceFiles.
 * A running container is told to take changed files over. What stands in the folders is never touched.
 */
export function renderPrepare(node: string, user: UserPlan, container: string): string {
  const folders = userFolders(user);
  const uid = String(user.uid);
  return renderStage({
    name: `workspace-${user.name}`,
    node,
    needsSecrets: true,
    steps: [
      {
        name: "check that the uid is free",
        body: `
for home in /mnt/storage/homes/*; do
  [ -d "$home" ] || continue
  if [ "$(stat -c %u -- "$home")" = ${uid} ] && [ "$home" != ${quote(folders.home)} ]; then
    fail "uid ${uid} (index ${user.index}) owns $home, the home of a former user: give ${user.name} another index, or remove that home (state: removed, purge: true)"
  fi
done`,
      },
      {
        name: "make the folders",
        body: `
own() {
  if [ -L "$2" ]; then fail "$2 is a link; a workspace needs a folder of its own"; fi
  if [ -d "$2" ]; then
    if [ "$(stat -c %u -- "$2")" != ${uid} ]; then
      fail "$2 belongs to uid $(stat -c %u -- "$2"), not to ${user.name} (uid ${uid}): chown it, or give ${user.name} the index that made it"
    fi
    return 0
  fi
  install -d -m "$1" -o ${uid} -g ${uid} -- "$2"
  changed "$2"
}
own 0700 ${quote(folders.home)}
own 0700 ${quote(folders.workspace)}
own 0755 ${quote(folders.tensorboard)}
own 0700 ${quote(folders.state)}
install -d -m 0700 -- /var/lib/berth/workspaces ${quote(folders.berth)}`,
      },
      {
        name: "place the files of /run/berth",
        body: FILES.map(
          (file) => `secret ${file} | place 0600 ${quote(`${folders.berth}/${file}`)} ${quote(container)}`,
        ).join("\n"),
      },
      {
        name: "tell the running workspace",
        body: `
if pending ${quote(container)}; then
  if [ "$(docker container inspect -f '{{.State.Running}}' ${quote(container)} 2>/dev/null)" = true ]; then
    docker exec ${quote(container)} berth-apply
  fi
  settled ${quote(container)}
fi`,
      },
    ],
  });
}

/** Takes away what a workspace left on its node except its folders: the home stays. */
export function renderForget(node: string, user: Pick<UserPlan, "name">): string {
  return renderStage({
    name: `workspace-${user.name}`,
    node,
    steps: [{ name: "remove the secrets", body: `rm -rf -- ${quote(userFolders(user).berth)}` }],
  });
}

/** Deletes the folders of a removed user, for good. */
export function renderPurge(node: string, user: Pick<UserPlan, "name">): string {
  const { home, workspace, tensorboard, state, berth } = userFolders(user);
  return renderStage({
    name: `purge-${user.name}`,
    node,
    steps: [
      {
        name: "delete the user's folders",
        deadlineSeconds: 3600,
        body: `
for folder in ${[home, workspace, tensorboard, state, berth].map((path) => quote(path)).join(" ")}; do
  if [ -e "$folder" ]; then
    rm -rf --one-file-system -- "$folder"
    changed "$folder"
  fi
done`,
      },
    ],
  });
}

/**
 * The limits that the container resource has no field for, and whether it runs. The container's id is part of the
 * text, so that a new container gets them too.
 */
export function renderPower(node: string, user: UserPlan, container: string, containerId: string): string {
  const name = quote(container);
  const run =
    user.state === "stopped"
      ? `docker container stop -t 20 ${name} >/dev/null`
      : `
docker container start ${name} >/dev/null
healthy() { [ "$(docker container inspect -f '{{.State.Health.Status}}' ${name})" = healthy ]; }
wait_for 120 "the services of ${user.name}'s workspace" healthy`;
  return renderStage({
    name: `power-${user.name}`,
    node,
    facts: { container: containerId },
    steps: [
      {
        name: "limit the processes",
        body: `docker container update --pids-limit ${user.limits.pids} ${name} >/dev/null`,
      },
      { name: user.state === "stopped" ? "stop the workspace" : "start the workspace", body: run },
    ],
  });
}
