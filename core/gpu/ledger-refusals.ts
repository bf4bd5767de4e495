/** How the ledger refuses, and what makes a grant unusable. Pure. */
import { type Refusal, refuse } from "./model";
import type { Trouble } from "./trouble";

/** A quarantined GPU may still be used by who has it; anything worse keeps a container from starting. */
export function unusable(trouble: Trouble | undefined): trouble is Trouble {
  return trouble !== undefined && trouble.event !== "quarantined";
}

export function unusableRefusal(id: string, { reason }: Trouble) {
  return conflict(`grant ${id} cannot be used: ${reason}`, "wait until that is over, then start again");
}

export function closedRefusal(why: string): Refusal {
  return {
    code: "closed",
    message: `nothing new is granted at the moment: ${why}`,
    fix: "see berth's /health on the node; what is granted already goes on",
  };
}

export function conflict(message: string, fix: string) {
  return refuse({ code: "conflict", message, fix });
}

export function notFound(message: string) {
  return refuse({ code: "not-found", message, allowed: "a live grant", fix: "see berth gpu status" });
}
