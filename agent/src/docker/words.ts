/**
 * What Docker's refusals mean, in words for back-ends. Docker's own are for the operator's log alone: they name ids, paths and
 * addresses of the node, and what is somebody else's. Docker gives no codes for these: an exception to the rule in CONTRIBUTING. What
 * is not recognised is `conflict`. Pure.
 */
import type { Refusal } from "../../../core/gpu";
import type { DockerError } from "./errors";

/** In this order; the first that fits. */
const MEANINGS: readonly { said: RegExp; refusal: Refusal }[] = [
  {
    said: /no space left on device|disk quota exceeded/i,
    refusal: {
      code: "full",
      message: "the node's disk is full",
      fix: "delete what is not needed any more, ask again later, or take another node",
    },
  },
  {
    said: /cannot allocate memory|out of memory|resource temporarily unavailable/i,
    refusal: {
      code: "full",
      message: "the node has no memory, or no processes, left for it now",
      fix: "delete what is not needed any more, ask again later, or take another node",
    },
  },
  {
    said: /port is already allocated|address already in use/i,
    refusal: {
      code: "conflict",
      message: "a port of the node that the container has is taken by something else there",
      fix: "ask the operator of the node, whose log says which one it is",
    },
  },
  {
    said: /name .* is already in use/i,
    refusal: {
      code: "conflict",
      message: "another container of the node has the name that this one was to have in Docker",
      fix: "ask again: it gets another name there",
    },
  },
  {
    said: /no such image|manifest unknown/i,
    refusal: {
      code: "not-found",
      message: "the image is not on the node any more",
      allowed: "the images of GET /api/images",
      fix: "ask again: an image that has a name is brought again; take another one in place of a main image",
    },
  },
  {
    said: /executable file not found|exec: .*(no such file or directory|permission denied)|exec format error/i,
    refusal: {
      code: "conflict",
      message:
        "the image lacks a program that each container needs (sh, sleep), or it does not run on this node",
      allowed:
        "images for this node's processor with these, such as those that are made from Debian or Alpine",
      fix: "take another image",
    },
  },
  {
    said: /unresolvable CDI devices|could not select device driver/i,
    refusal: {
      code: "conflict",
      message: "the node's Docker does not know the GPUs that were granted",
      fix: "ask the operator of the node to run up again",
    },
  },
  {
    said: /no such container/i,
    refusal: {
      code: "conflict",
      message: "Docker does not have the container any more",
      fix: "look at it again: GET /api/containers/ID",
    },
  },
];

const UNKNOWN: Refusal = {
  code: "conflict",
  message: "Docker could not do it",
  fix: "try again; if it stays so, ask the operator of the node: berthd's log says why",
};

const SILENT: Refusal = {
  code: "closed",
  message: "Docker on the node does not answer, or not in time",
  fix: "try again in a few seconds; if it stays so, tell the operator of the node",
};

export function wordsFor({ message, outcome }: Pick<DockerError, "message" | "outcome">): Refusal {
  if (outcome !== "refused") return SILENT;
  return MEANINGS.find(({ said }) => said.test(message))?.refusal ?? UNKNOWN;
}

/** By what registries and Docker answer, and no more: "certificate signed by unknown authority" says nothing of an image. */
const NONE_OF_THAT_NAME =
  /(manifest|name) unknown|(manifest|repository) .*(not found|does not exist)|: not found|no matching manifest|access .*denied|: denied|unauthorized|authorization failed/i;

/** Why a registry did not give an image: the end of a sentence. */
export function registryWords({ message }: Pick<DockerError, "message">): string {
  if (/toomanyrequests|rate limit/i.test(message))
    return "its registry takes no more requests of this node now";
  if (NONE_OF_THAT_NAME.test(message))
    return "its registry has none of that name for this node, or gives it to those alone who sign in";
  if (/no space left on device|disk quota exceeded/i.test(message))
    return "the node's disk has no room for it";
  return "its registry could not be asked";
}
