/** Why a container was not made, in words for whoever asked. Pure. */
import type { Refusal } from "../../../core/gpu";
import { DockerError, type EngineInfo } from "../docker";
import { NotNoted } from "../operations";

/** What dockerd said, or why the next step could not be noted, as an answer to the caller. */
export function dockerRefusal(error: unknown): Refusal {
  if (error instanceof NotNoted)
    return {
      code: "closed",
      message: error.message,
      fix: "make room on the disk of /var/lib/berth, then try again",
    };
  if (!(error instanceof DockerError)) throw error;
  const { message, outcome, status } = error;
  if (status === 409 && NAME_TAKEN.test(message)) return nameTaken;
  if (outcome !== "refused")
    return { code: "closed", message, fix: "see systemctl status docker on the node, then try again" };
  const code = status === 404 ? "not-found" : status === 400 ? "bad-request" : "conflict";
  return { code, message, fix: fixFor(message) };
}

const NAME_TAKEN = /name .* is already in use/i;

/** Without Docker's words, which have the id of the other container: it may be somebody else's. */
const nameTaken: Refusal = {
  code: "conflict",
  message: "another container on this node has that name",
  fix: "choose another name, or remove that container",
};

function fixFor(message: string): string {
  if (/port is already allocated|address already in use/i.test(message)) return "publish it on another port";
  if (/unresolvable CDI devices|could not select device driver/i.test(message))
    return "the node's CDI devices do not have what its inventory shows: run up again, or nvidia-ctk cdi generate on the node";
  if (/executable file not found|no such file or directory/i.test(message))
    return "name a program that the image has";
  return "mend what Docker names, then try again";
}

export const unknownUser = (user: string): Refusal => ({
  code: "unknown-user",
  message: `${user} is not a user of this node`,
  allowed: "the users that the stack declares for it",
  fix: "declare the user in berth:users, then run up",
});

export const noImage = (image: string): Refusal => ({
  code: "not-found",
  message: `image ${image} is not on this node`,
  fix: "pull or send it to the node first",
});

export const noWorkspace = (user: string): Refusal => ({
  code: "conflict",
  message: `${user} has no workspace on this node, whose image and size a container of theirs would have`,
  fix: "have the workspace made: run up; an operator names an image instead",
});

export const workspaceStopped = (state: string): Refusal => ({
  code: "conflict",
  message: `your workspace is stopped: it is ${state}, and containers are made while it runs`,
  fix: "have it started: state: running in berth:users, then run up",
});

export const notAllowedImage = (image: string, allowed: readonly string[]): Refusal => ({
  code: "not-allowed",
  message: `image ${image} is none of those that people may use on this node`,
  allowed: allowed.join(", ") || "no image",
  fix: "leave the image out to take your workspace's, or have it added to berth:agent.images",
});

export const beingUsed = (grant: string): Refusal => ({
  code: "conflict",
  message: `grant ${grant} was asked for together with a container that is being made`,
  fix: "ask for another grant",
});

export const noCdi = (info: EngineInfo): Refusal => ({
  code: "impossible",
  message: `dockerd ${info.version} on this node gives containers no CDI devices, and GPUs come by no other way`,
  allowed: "containers without GPUs",
  fix: 'Docker 25 or newer with "features": {"cdi": true} in /etc/docker/daemon.json, as the runtime stage sets it',
});

export const notThere = (container: string): Refusal => ({
  code: "not-found",
  message: `there is no container ${container}`,
  fix: "see: berth container list",
});

export const notOurs = (container: string): Refusal => ({
  code: "not-allowed",
  message: `container ${container} was not made by berthd`,
  allowed: "containers made by POST /api/containers",
  fix: "remove it with whatever made it",
});

export const tooMany = (user: string, containers: number, most: number, rule: string): Refusal => ({
  code: "over-limit",
  message: `${user} has ${containers} of ${most} containers, those to come included`,
  allowed: `${most} containers`,
  fix: `remove one, or raise ${rule}`,
  rule,
});

/** Told to nobody, for whoever asked has gone; it is the reason that the grant's history has. */
export const callerGone: Refusal = {
  code: "conflict",
  message: "whoever asked for the container has gone, and nothing of it is left",
  fix: "ask again, and stay until it is answered",
};

export const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
