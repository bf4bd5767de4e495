import { mustRun, type UserPlan } from "../../config";
import { scriptsOf } from "../host/script";
import { quote, quoteAll } from "../host/shell";
import { parseFacts, renderStage } from "../host/stage";
import { userFolders, type WorkspaceFiles } from "./files";

const script = scriptsOf(__dirname);

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
        body: `uid=${uid} own_home=${quote(folders.home)} index=${user.index} user=${user.name}\n${script("uid.sh")}`,
      },
      {
        name: "make the folders",
        body: `uid=${uid} user=${user.name} berth=${quote(folders.berth)}
home=${quote(folders.home)} workspace=${quote(folders.workspace)}
tensorboard=${quote(folders.tensorboard)} volume=${quote(folders.state)}
${script("folders.sh")}`,
      },
      {
        name: "place the files of /run/berth",
        body: FILES.map(
          (file) => `secret ${file} | place 0600 ${quote(`${folders.berth}/${file}`)} ${quote(container)}`,
        ).join("\n"),
      },
      {
        name: "tell the running workspace",
        body: `container=${quote(container)} seconds=${APPLY_SECONDS}\n${script("apply.sh")}`,
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
        body: `folders=(${quoteAll([home, workspace, tensorboard, state, berth])})\n${script("purge.sh")}`,
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
  const run = mustRun(user)
    ? `container=${name} seconds=${HEALTHY_SECONDS}\n${script("start.sh")}`
    : `docker container stop -t 20 ${name} >/dev/null`;
  return renderStage({
    name: `power-${user.name}`,
    node,
    facts: { container: containerId },
    steps: [
      {
        name: "limit the processes",
        body: `docker container update --pids-limit ${user.resources.pids} ${name} >/dev/null`,
      },
      { name: mustRun(user) ? "start the workspace" : "stop the workspace", body: run },
    ],
  });
}
