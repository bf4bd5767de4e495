/** Why nothing was run in a container, in words for whoever asked. Pure. */
import type { Refusal } from "../../../core/gpu";
import type { DockerError } from "../docker";
import { isLeaving, noContainer, notMadeYet } from "../manager";
import type { ManagedContainer } from "./ports";

export const notReady = (id: string, state: Exclude<ManagedContainer["state"], "ready">): Refusal =>
  state === "making" ? notMadeYet(id) : isLeaving(id);

export const stopped = (id: string): Refusal => ({
  code: "conflict",
  message: `Container ${id} does not run, or is paused.`,
  fix: `Start it, then ask again: POST /api/containers/${id}/start`,
});

export const stopping: Refusal = {
  code: "closed",
  message: "berthd is stopping, and has ended what ran.",
  fix: "Ask again in a while.",
};

/** Told to nobody: whoever asked has gone. */
export const callerGone: Refusal = {
  code: "conflict",
  message: "Whoever asked has gone, and what ran for them is ended.",
  fix: "Ask again, and stay until it is answered.",
};

/** Without Docker's words: they name what is the node's. */
export function dockerRefused(id: string, { outcome, status }: DockerError): Refusal {
  if (status === 404) return noContainer(id);
  if (status === 409) return stopped(id);
  const why = outcome === "refused" ? "Docker could not do it" : "Docker did not answer";
  return {
    code: "closed",
    message: `${why} for container ${id}.`,
    fix: "Try again; if it stays so, the log of the node says more: journalctl -u berthd",
  };
}
