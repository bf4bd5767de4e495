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

/** Until a running workspace has taken changed files over: seconds for that, and for each service that is restarted. */
const APPLY_SECONDS = 240;

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
  if [ "$(stat -c %u -- "$home")" != ${uid} ] || [ "$home" = ${quote(folders.home)} ]; then continue; fi
  # Whoever has a workspace here can give their home to any uid: it is put right when theirs is prepared.
  if [ -e "/var/lib/berth/workspaces/\${home##*/}/workspace.json" ]; then continue; fi
  fail "uid ${uid} (index ${user.index}) owns $home, the home of a former user: give ${user.name} another index, or remove that home (state: removed, purge: true)"
done`,
      },
      {
        name: "make the folders",
        body: `
# The uid that the workspace was made with the last time; nothing where it was not made here.
known=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["uid"])' ${quote(`${folders.berth}/workspace.json`)} 2>/dev/null || true)
own() {
  if [ -L "$2" ]; then fail "$2 is a link; a workspace needs a folder of its own"; fi
  if [ -d "$2" ]; then
    if [ "$(stat -c %u -- "$2")" != ${uid} ]; then
      # With root in the workspace its owner can give the folder itself away, which must not end an update of everybody.
      if [ "$known" = ${uid} ] && chown -h ${uid}:${uid} -- "$2"; then
        changed "$2"
        return 0
      fi
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
    # Its owner is root in it and may have broken it: that must not end an update of everybody, nor fill the node's log.
    timeout -k 5 ${APPLY_SECONDS} docker exec ${quote(container)} berth-apply 2>&1 | tail -c 4000 ||
      fact unwell "does not take its new files over before it is started again"
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
  // Docker's words may hold a path that was made in the workspace.
  return typeof said === "string" && said !== "" ? said.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?") : undefined;
}

/** Takes away what a workspace left on its node except its folders: the home stays. */
export function renderForget(node: string, user: Pick<UserPlan, "name">): string {
  return renderStage({
    name: `workspace-${user.name}`,
    node,
    steps: [{ name: "remove the secrets", body: `rm -rf -- ${quote(userFolders(user).berth)}` }],
  });
}

/**
 * Deletes the folders of a removed user, for good. An update takes the container away last of all, so it is stopped first:
 * whoever goes on writing in it would keep the folders from going, and with that the update from taking it away.
 */
export function renderPurge(node: string, user: Pick<UserPlan, "name">, container: string): string {
  const { home, workspace, tensorboard, state, berth } = userFolders(user);
  return renderStage({
    name: `purge-${user.name}`,
    node,
    steps: [
      {
        name: "stop the workspace",
        body: `
if docker container inspect ${quote(container)} >/dev/null 2>&1; then docker container stop -t 20 ${quote(container)} >/dev/null; fi`,
      },
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
        body: `docker container update --pids-limit ${user.resources.pids} ${name} >/dev/null`,
      },
      { name: user.state === "stopped" ? "stop the workspace" : "start the workspace", body: run },
    ],
  });
}
