import { type Ask, type GrantedUnit, type Refusal, strategies } from "./model";

/** What is wrong with an ask in itself, whatever the node has. All of it at once; undefined: nothing. */
export function askRefusal(ask: Ask): Refusal | undefined {
  const problems = askProblems(ask);
  if (problems.length === 0) return undefined;
  return {
    code: "bad-request",
    message: problems.join("; "),
    allowed:
      "kind gpu, mig or share; count from 1; profile with mig alone; memoryMiB above 0, required for a share",
    fix: "mend what is named and ask again",
  };
}

function askProblems(ask: Ask): string[] {
  const problems: string[] = [];
  if (!["gpu", "mig", "share"].includes(ask.kind)) {
    problems.push(`kind ${JSON.stringify(ask.kind)} is not gpu, mig or share`);
  }
  if (!Number.isInteger(ask.count) || ask.count < 1) {
    problems.push(`count ${String(ask.count)} is not a whole number from 1`);
  } else if (ask.kind === "share" && ask.count !== 1) {
    problems.push(`a share is of one GPU, not of ${ask.count}`);
  }
  if (ask.profile !== undefined && ask.kind !== "mig") {
    problems.push(`profile ${JSON.stringify(ask.profile)} belongs to kind mig, not to ${ask.kind}`);
  }
  if (ask.memoryMiB !== undefined && !(Number.isFinite(ask.memoryMiB) && ask.memoryMiB > 0)) {
    problems.push(`memoryMiB ${String(ask.memoryMiB)} is not above 0`);
  } else if (ask.kind === "share" && ask.memoryMiB === undefined) {
    problems.push("a share needs memoryMiB");
  }
  if (ask.strategy !== undefined && !strategies.includes(ask.strategy)) {
    problems.push(`strategy ${JSON.stringify(ask.strategy)} is not ${strategies.join(", ")}`);
  }
  if (ask.pins) {
    if (ask.pins.length !== ask.count) problems.push(`${ask.pins.length} pins for a count of ${ask.count}`);
    const twice = ask.pins.filter((pin, at) => ask.pins?.indexOf(pin) !== at);
    if (twice.length > 0) problems.push(`pinned twice: ${[...new Set(twice)].join(", ")}`);
  }
  return problems;
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
