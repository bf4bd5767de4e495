/** What the container manager refuses, in words. Pure. */
import type { Refusal } from "../../../core/gpu";

/** Of what is not there, of what is somebody else's, and of what nobody has yet: whoever asks cannot tell them apart. */
export const noContainer = (id: string): Refusal => ({
  code: "not-found",
  message: `There is no container ${id}.`,
  fix: "See: GET /api/containers",
});

export const tooManyOf = (owner: string, most: number): Refusal => ({
  code: "over-limit",
  message: `${owner} has ${most} containers, those to come included`,
  allowed: `${most} containers of one tenant`,
  fix: "delete one that is not needed any more",
});

export const tooManyAsks = (owner: string, most: number): Refusal => ({
  code: "full",
  message: `${most} requests of ${owner} for containers are not answered yet`,
  allowed: `${most} of one tenant at a time, those counted whose caller has gone`,
  fix: "wait for some of them, then ask again",
});

export const tooMuchEnvironment = (owner: string, most: number): Refusal => ({
  code: "over-limit",
  message: `the environments of ${owner}'s containers have more than ${most} bytes with this one`,
  allowed: `${most} bytes for all containers of one tenant`,
  fix: "delete a container, or put what is large into a file of the container",
});

export const tooManyImages = (owner: string, most: number): Refusal => ({
  code: "over-limit",
  message: `${most} images were brought to this node for ${owner}, and containers have all of them`,
  allowed: `${most} images of one tenant beside those that are on the node or that the operator names`,
  fix: "take one of these images, or delete the containers of one",
});

export const tooManyVolumes = (owner: string, most: number): Refusal => ({
  code: "over-limit",
  message: `${owner} has ${most} volumes, and containers have all of them`,
  allowed: `${most} volumes of one tenant`,
  fix: "name one that is there, or delete a container that has one",
});

export const noTemplate = (name: string | undefined, names: readonly string[]): Refusal => ({
  code: name === undefined ? "bad-request" : "not-found",
  message:
    name === undefined
      ? "the request names no template, and the node has none or several"
      : `there is no template ${name} on this node`,
  allowed: names.join(", ") || "none: this node has no templates",
  fix: "name one of them, or create a container: POST /api/containers",
});

export const isLeaving = (id: string): Refusal => ({
  code: "conflict",
  message: `container ${id} is being deleted`,
  fix: "create another one",
});

export const notMadeYet = (id: string): Refusal => ({
  code: "conflict",
  message: `container ${id} is still being made`,
  fix: `wait until GET /api/containers/${id} says that its status is running, then ask again`,
});

export const startsWithoutGpus = (id: string): Refusal => ({
  code: "conflict",
  message: `container ${id} has GPUs, which it gave back as it stopped: it cannot be started again`,
  allowed: "containers without GPUs",
  fix: "create another one with the same GPUs",
});

export const otherRequest = (key: string): Refusal => ({
  code: "conflict",
  message: `The idempotency key ${JSON.stringify(key)} was used for another request.`,
  fix: "Send the same request again, or take a new key.",
});

export const keyIsOver = (key: string): Refusal => ({
  code: "conflict",
  message: `The container that was asked for with the idempotency key ${JSON.stringify(key)} was deleted.`,
  fix: "Take a new key for another container.",
});

export const noImageHere = (image: string, why: string): Refusal => ({
  code: "not-found",
  message: `image ${image} is not on this node, and cannot be brought: ${why}`,
  fix: "see that the name is right, or have the operator bring it to the node",
});

/** Where the image that stands in comes from is the operator's business: the node's log names it. */
export const noStandInHere = (image: string, { code }: Refusal): Refusal => ({
  code,
  message: `image ${image} cannot be had on this node: the operator's own image stands in for it here, and cannot be brought`,
  fix: "have the operator of the node run up again; berthd's log says what is wrong",
});

export const ending: Refusal = { code: "closed", message: "berthd is ending", fix: "try again" };

/** The stack named the tenant no more while the request was under way. */
export const hasLeft = (owner: string): Refusal => ({
  code: "closed",
  message: `${owner} is no tenant of this node any more, or was none for a moment`,
  fix: "ask the operator of the node: berth:manager.tenants of the stack says whom it serves",
});

/** By what the stack says now; it may have had one a moment ago. */
export const noManager: Refusal = {
  code: "closed",
  message: "this node has no container manager",
  fix: "ask the operator of the node: berth:manager.nodes of the stack says which nodes have one",
};

/** It is shown as `removing` until it is gone. */
export const notRemoved = (id: string, { code }: Refusal): Refusal => ({
  code,
  message: `container ${id} could not be removed yet`,
  fix: "wait: it is tried again; if it stays so, tell the operator of the node, whose log says why",
});

/** Of whoever asked and did not wait. */
export const callerWent: Refusal = {
  code: "conflict",
  message: "whoever asked for the container has gone, and nothing of it is left",
  fix: "ask again, and stay until it is answered, or send an idempotency_key",
};
