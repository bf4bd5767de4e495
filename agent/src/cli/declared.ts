/**
 * `berth declared`: what the stack declares for this node. For the Pulumi provider, over SSH: one JSON document in, one out.
 */
import type { Context } from "./context";
import { usage } from "./failure";
import { asJson } from "./text";

/** A plan over thousands of GPUs, or a commit on a busy disk. */
const DECLARED_MS = 60_000;

export async function planDeclared(context: Context): Promise<void> {
  const { declared } = await readInput(context, ["declared"]);
  print(context, await context.client().post("/api/declared/plan", { declared }, { timeoutMs: DECLARED_MS }));
}

export async function applyDeclared(context: Context): Promise<void> {
  const body = await readInput(context, ["declared", "expect"]);
  print(context, await context.client().post("/api/declared", body, { timeoutMs: DECLARED_MS }));
}

export async function showDeclared(context: Context): Promise<void> {
  print(context, await context.client().get("/api/declared", { timeoutMs: DECLARED_MS }));
}

function print({ io }: Context, value: unknown): void {
  io.out(`${asJson(value)}\n`);
}

/** The document on standard input; berthd checks the fields themselves. */
async function readInput({ io }: Context, fields: readonly string[]): Promise<Record<string, unknown>> {
  const text = await io.stdin();
  const shape = `an object with ${fields.map((field) => JSON.stringify(field)).join(" and ")}`;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // Not the text itself: a message with a piece of a document is of no use to whoever reads it.
    const where =
      text.trim() === "" ? "it is empty" : (/position \d+/.exec(String(error))?.[0] ?? "it ends too early");
    throw usage(`standard input is not JSON (${where})`, { allowed: shape });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw usage("standard input is not a JSON object", { allowed: shape });
  const unknown = Object.keys(value).filter((field) => !fields.includes(field));
  if (unknown.length > 0)
    throw usage(`standard input has unknown fields: ${unknown.join(", ")}`, { allowed: shape });
  if (!("declared" in value) || !Array.isArray(value.declared))
    throw usage('standard input has no list "declared"', { allowed: shape });
  return value as Record<string, unknown>;
}
