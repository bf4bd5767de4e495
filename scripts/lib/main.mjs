/**
 * @file How each script begins and ends: exit codes, and errors as text for people.
 */
import { CommandError, Interrupted } from "./process.mjs";

/**
 * Runs a script's main function and ends the process with its exit code: 0, or what `main` gives; 130 after Ctrl-C;
 * 2 for a wrong option; 1 for all else.
 * @param {() => Promise<number | void>} main
 * @param {(error: unknown) => string} [tellMore] a line or more to show after an error
 */
export async function runMain(main, tellMore) {
  let code = 1;
  // Whoever read the output may have had enough (`… | head`); what is under way goes on to its end.
  for (const out of [process.stdout, process.stderr])
    out.on("error", (/** @type {NodeJS.ErrnoException} */ error) => {
      if (error.code !== "EPIPE") throw error;
    });
  try {
    code = (await main()) ?? 0;
  } catch (error) {
    code = /** @type {any} */ (error)?.exitCode ?? 1;
    process.stderr.write(`\n${describe(error)}\n`);
    const more = tellMore?.(error);
    if (more) process.stderr.write(`${more}\n`);
  }
  // Output to a pipe is written later; what is written now must not be lost.
  process.exitCode = code;
  await Promise.all(
    [process.stdout, process.stderr].map((out) => new Promise((done) => out.write("", () => done(0)))),
  );
  process.exit(code);
}

/** @param {unknown} error */
function describe(error) {
  if (error instanceof Interrupted) return `Stopped (${error.message}).`;
  if (error instanceof CommandError)
    return `${error.message}\n${error.output.slice(-20).join("\n")}`.trimEnd();
  if (error instanceof Error)
    return error.name === "Error" || "exitCode" in error ? error.message : String(error.stack);
  return String(error);
}
