import type { UserPlan } from "../../config";
import { quote } from "../host/shell";
import { parseFacts, renderStage } from "../host/stage";
import { userFolders, type WorkspaceFiles } from "./files";

/**
 * The stages that a workspace needs on its node: its folders and secrets before the container exists, its limits
 * and running state after. Pure.
 */

/** From a start until its services answer: seconds on a computer with room, a minute and more on a full one. */
const HEALTHY_SECONDS = 120;

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
    # Its owner is root in it and may have broken it: that must not end an update of everybody.
    docker exec ${quote(container)} berth-apply || fact unwell "does not take its new files over before it is started again"
  fi
  settled ${quote(container)}
fi`,
      },
    ],
  });
}

/**
 * What a stage of a workspace found wrong with it, as the end of a sentence; undefined: nothing, or it has not run yet.
 *
 * @param stdout what the stage printed
 */
export function readUnwell(stdout: string | undefined): string | undefined {
  const said = stdout ? parseFacts(stdout).unwell : undefined;
  return typeof said === "string" && said !== "" ? said : undefined;
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
 *
 * Whoever works in it can keep it from starting or from getting well (a home outlives its container). So that is told
 * ({@link readUnwell}), and is no failure: an update stops at the first failure, in the middle of other people's changes.
 */
export function renderPower(node: string, user: UserPlan, container: string, containerId: string): string {
  const name = quote(container);
  const run =
    user.state === "stopped"
      ? `docker container stop -t 20 ${name} >/dev/null`
      : `
if ! said=$(docker container start ${name} 2>&1 >/dev/null); then
  printf '%s\\n' "$said"
  fact unwell "could not be started: \${said:0:300}"
  return 0
fi
state() { docker container inspect -f '{{.State.Status}} {{.State.Health.Status}}' ${name}; }
over() { case $(state) in "running healthy") ;; "running "*) return 1;; esac; }
end=$((SECONDS + ${HEALTHY_SECONDS}))
until over || [ "$SECONDS" -ge "$end" ]; do sleep 0.3; done
case $(state) in
  "running healthy") ;;
  "running "*) fact unwell "did not get healthy within ${HEALTHY_SECONDS} s";;
  *) fact unwell "ended soon after its start";;
esac`;
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
