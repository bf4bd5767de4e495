import { type Ask, type EffectiveLimits, type Refusal, strategies } from "../core/model";

/** What can be said of an ask before anybody knows what is free: its shape, and the user's limits. Pure. */

/** What the node (`berth:gpu`) says of sharing. */
export interface AskRules {
  /** `allocation: shared`. */
  allowShared: boolean;
  /** The most of a GPU's memory that a share may have; 0 or left out: no limit. */
  memoryLimitMiB?: number;
}

/** Something wrong with one field of an ask. */
export interface AskProblem {
  field: keyof Ask;
  refusal: Refusal;
}

const plural = (count: number, one: string) => `${count} ${one}${count === 1 ? "" : "s"}`;

/** Everything that is wrong with an ask, whatever else is granted; empty when it could be granted. */
export function checkAsk(limits: EffectiveLimits, ask: Ask, rules: AskRules): AskProblem[] {
  const found: AskProblem[] = [];
  const say = (field: keyof Ask, refusal: Refusal) => found.push({ field, refusal });
  checkShape(ask, say);
  const name = (field: "max_gpus_per_container" | "max_mig_instances" | "allow_full_gpu") =>
    `${limits[field].rule}.${field}`;
  const what = ask.kind === "mig" ? "MIG instance" : ask.kind === "gpu" ? "GPU" : "share of a GPU";
  const asks = `${limits.user} asks for ${plural(ask.count, what).replace("share of a GPUs", "shares of GPUs")}`;
  for (const field of ["max_gpus_per_container", "max_mig_instances"] as const) {
    const most = limits[field].value;
    if (most !== null && ask.count > most)
      say("count", {
        code: "over-limit",
        message: `${asks}, ${ask.count - most} more than ${name(field)} allows`,
        allowed: `at most ${most}${field === "max_gpus_per_container" ? " in one container" : " in all"}`,
        fix: `ask for fewer, or raise ${name(field)}`,
        rule: name(field),
      });
  }
  if (ask.kind === "gpu" && !limits.allow_full_gpu.value)
    say("kind", {
      code: "not-allowed",
      message: `${asks}, and ${name("allow_full_gpu")} allows none that is not divided`,
      allowed: rules.allowShared ? 'kind "mig" or "share"' : 'kind "mig"',
      fix: `ask for a MIG instance, or set ${name("allow_full_gpu")} to true`,
      rule: name("allow_full_gpu"),
    });
  if (ask.kind === "share" && !rules.allowShared)
    say("kind", {
      code: "not-allowed",
      message: `${asks}, and GPUs are granted to one container each here (gpu.allocation is exclusive)`,
      allowed: 'kind "mig" or "gpu"',
      fix: "ask for a MIG instance or a GPU, or set gpu.allocation to shared",
      rule: "gpu.allocation",
    });
  const most = rules.memoryLimitMiB ?? 0;
  if (ask.kind === "share" && most > 0 && (ask.memoryMiB ?? 0) > most)
    say("memoryMiB", {
      code: "over-limit",
      message: `${asks} with ${ask.memoryMiB} MiB, ${(ask.memoryMiB ?? 0) - most} MiB more than gpu.memoryLimit allows`,
      allowed: `at most ${most} MiB`,
      fix: "ask for less memory, or raise gpu.memoryLimit",
      rule: "gpu.memoryLimit",
    });
  return found;
}

function checkShape(ask: Ask, say: (field: keyof Ask, refusal: Refusal) => void): void {
  const bad = (field: keyof Ask, message: string, allowed: string, fix: string) =>
    say(field, { code: "bad-request", message, allowed, fix });
  if (!Number.isInteger(ask.count) || ask.count < 1)
    bad("count", `count is ${ask.count}`, "a whole number from 1 on", "ask for one at least");
  else if (ask.kind === "share" && ask.count > 1)
    bad("count", `a share is of one GPU, and count is ${ask.count}`, "1", "ask for each share by itself");
  if (ask.kind === "share" && !(ask.memoryMiB !== undefined && ask.memoryMiB > 0))
    bad(
      "memoryMiB",
      "a share says nothing of its memory",
      "the memory that is wanted of the GPU",
      'say how much, such as memory: "16GiB"',
    );
  if (ask.profile !== undefined && ask.kind !== "mig")
    bad(
      "profile",
      `kind ${ask.kind} has no MIG profile, and ${ask.profile} is asked for`,
      'a profile with kind "mig" alone',
      'set kind to "mig", or leave the profile out',
    );
  if (ask.strategy !== undefined && !strategies.includes(ask.strategy))
    bad("strategy", `there is no strategy ${ask.strategy}`, strategies.join(", "), "choose one of them");
  if (ask.pins !== undefined && ask.pins.length !== ask.count)
    bad(
      "pins",
      `${plural(ask.pins.length, "UUID")} for a count of ${ask.count}`,
      "as many UUIDs as count says",
      "make the two agree",
    );
  if (ask.pins !== undefined && new Set(ask.pins).size !== ask.pins.length)
    bad("pins", "one UUID stands there twice", "every UUID once", "leave one of them out");
}
