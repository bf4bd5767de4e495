import { type Ask, type GrantedUnit, type Refusal, strategies } from "./model";

/** Something that speaks against an ask, and the field to change. */
export interface AskProblem {
  field: keyof Ask;
  refusal: Refusal;
}

/** One refusal for all that speaks against an ask; the first decides the code. Undefined: nothing does. */
export function refusalOf(problems: readonly AskProblem[]): Refusal | undefined {
  const [first] = problems;
  if (!first || problems.length === 1) return first?.refusal;
  const all = (words: (refusal: Refusal) => string | undefined) =>
    [...new Set(problems.map(({ refusal }) => words(refusal)))].filter(Boolean).join("; ");
  return {
    ...first.refusal,
    message: all(({ message, rule }) => (rule === undefined ? message : `${message} (${rule})`)),
    allowed: all(({ allowed }) => allowed),
    fix: all(({ fix }) => fix),
  };
}

/** What is wrong with an ask in itself, whatever the node has. All of it at once; undefined: nothing. */
export const askRefusal = (ask: Ask) => refusalOf(askProblems(ask));

export function askProblems(ask: Ask): AskProblem[] {
  const found: AskProblem[] = [];
  const bad = (field: keyof Ask, message: string, allowed: string, fix: string) =>
    found.push({ field, refusal: { code: "bad-request", message, allowed, fix } });
  if (!["gpu", "mig", "share"].includes(ask.kind)) {
    bad("kind", `kind ${JSON.stringify(ask.kind)} is not known`, "gpu, mig or share", "choose one of them");
  }
  if (!Number.isInteger(ask.count) || ask.count < 1) {
    const message = `count ${String(ask.count)} is not a whole number from 1`;
    bad("count", message, "a whole number from 1", "ask for one at least");
  } else if (ask.kind === "share" && ask.count !== 1) {
    bad("count", `a share is of one GPU, not of ${ask.count}`, "1", "ask for each share by itself");
  }
  if (ask.profile !== undefined && ask.kind !== "mig") {
    const message = `profile ${JSON.stringify(ask.profile)} belongs to kind mig, not to ${ask.kind}`;
    bad("profile", message, "a profile with kind mig alone", "set kind to mig, or leave the profile out");
  }
  if (ask.memoryMiB !== undefined && !(Number.isFinite(ask.memoryMiB) && ask.memoryMiB > 0)) {
    bad("memoryMiB", `memory of ${String(ask.memoryMiB)} MiB is not above 0`, "above 0", "say how much");
  } else if (ask.kind === "share" && ask.memoryMiB === undefined) {
    const allowed = "the memory that is wanted of the GPU";
    bad("memoryMiB", "a share says nothing of its memory", allowed, "say how much, such as 16GiB");
  }
  if (ask.strategy !== undefined && !strategies.includes(ask.strategy)) {
    const message = `there is no strategy ${JSON.stringify(ask.strategy)}`;
    bad("strategy", message, strategies.join(", "), "choose one of them");
  }
  if (ask.pins && ask.pins.length !== ask.count) {
    const message = `${ask.pins.length} pins for a count of ${ask.count}`;
    bad("pins", message, "as many UUIDs as count says", "make the two agree");
  }
  const twice = ask.pins?.filter((pin, at) => ask.pins?.indexOf(pin) !== at) ?? [];
  if (twice.length > 0) {
    const message = `pinned twice: ${[...new Set(twice)].join(", ")}`;
    bad("pins", message, "every UUID once", "leave one of them out");
  }
  return found;
}

/** Whether a unit is one that the ask means. Says nothing of who has it. */
export function unitMeets(ask: Ask, unit: GrantedUnit): boolean {
  if (unitKind(unit) !== ask.kind) return false;
  if (ask.profile !== undefined && !sameProfile(ask.profile, unit.profile)) return false;
  if (ask.model !== undefined && !unit.model.toLowerCase().includes(ask.model.toLowerCase())) return false;
  if (ask.pins && !ask.pins.includes(unit.uuid)) return false;
  if (ask.memoryMiB === undefined) return true;
  return ask.kind === "share" ? unit.memoryMiB === ask.memoryMiB : unit.memoryMiB >= ask.memoryMiB;
}

export function unitKind(unit: GrantedUnit): Ask["kind"] {
  if (unit.shared) return "share";
  return unit.uuid === unit.gpu ? "gpu" : "mig";
}

export function sameProfile(a: string, b: string | undefined): boolean {
  return b !== undefined && a.toLowerCase() === b.toLowerCase();
}

/** The size of a GPU or an instance, in words. */
export const memoryWords = (memoryMiB: number): string =>
  memoryMiB > 0 ? `${memoryMiB} MiB` : "memory unknown";

/** `2 MIG instances of 1g.10gb`: what an ask is, in words. */
export function askWords(ask: Ask): string {
  const many = ask.count === 1 ? "" : "s";
  const model = ask.model === undefined ? "" : ` on a ${ask.model}`;
  if (ask.kind === "share") return `a share of ${ask.memoryMiB} MiB${model}`;
  const least = ask.memoryMiB === undefined ? "" : ` of at least ${ask.memoryMiB} MiB`;
  if (ask.kind === "gpu") return `${ask.count} whole GPU${many}${least}${model}`;
  const profile = ask.profile === undefined ? "" : ` of ${ask.profile}`;
  return `${ask.count} MIG instance${many}${profile}${least}${model}`;
}
