/** One command from its words to its exit code. */
import { contextOf } from "./context";
import { describe, describeAsJson, exit, Failure, usage } from "./failure";
import type { Io } from "./io";
import { buildProgram } from "./program";
import { clean } from "./text";

/** commander's names for ends that are none: help and version were printed because somebody asked for them. */
const asked = ["commander.helpDisplayed", "commander.version"];

/**
 * @param words what was typed after `berth`
 * @returns the exit code (`exit` in failure.ts); nothing is thrown
 */
export async function runCli(words: readonly string[], io: Io): Promise<number> {
  const json = wantsJson(words);
  try {
    const commander = await import("commander");
    // Held back: what is wrong with the words is said below, once, as JSON where that was asked for.
    let said = "";
    const context = contextOf(io);
    const program = buildProgram(commander, context, (text) => {
      said += text;
    });
    try {
      await program.parseAsync([...words], { from: "user" });
    } catch (error) {
      if (!(error instanceof commander.CommanderError)) throw error;
      if (asked.includes(error.code)) return exit.ok;
      // `berth` or `berth gpu` alone.
      if (error.code === "commander.help") {
        io.err(said);
        return exit.usage;
      }
      // What was perhaps meant is a second line, in brackets: `(Did you mean request?)`.
      const [message = "", ...more] = error.message.replace(/^error: /, "").split("\n");
      const meant = more.join(" ").replace(/^\(|\)$/g, "");
      throw usage(message, { fix: meant === "" ? "see --help" : `${meant} See --help` });
    }
    return context.exitCode;
  } catch (error) {
    const failure = error instanceof Failure ? error : undefined;
    const refusal = failure?.refusal ?? { code: "closed" as const, message: internal(error) };
    if (json) io.out(`${describeAsJson(refusal)}\n`);
    else io.err(`berth: ${describe(refusal)}\n`);
    return failure?.exitCode ?? exit.unavailable;
  }
}

/** `declared` is for programs, and speaks JSON whether told to or not. */
function wantsJson(words: readonly string[]): boolean {
  const end = words.indexOf("--");
  const options = end < 0 ? words : words.slice(0, end);
  return options.includes("--json") || options[0] === "declared";
}

/** A mistake in this command itself: told in one line, with where. */
function internal(error: unknown): string {
  if (!(error instanceof Error)) return clean(String(error));
  const where = error.stack?.split("\n")[1]?.trim() ?? "";
  return clean(`${error.name}: ${error.message} ${where}`.trim());
}
