/** Why packages are not kept, in words for whoever set the container up. Pure. */
import { type Refusal, refuse } from "../../../core/gpu";
import { ENDS } from "./scripts";
import { ScriptError } from "./tools";
import type { PackageLimits } from "./types";

export const noRoom = () =>
  refuse({
    code: "full",
    message:
      "the node has no room for further packages: all that it keeps are in use, or its disk is almost full",
    fix: "delete containers that nobody needs, or have the operator make room on the node's disk",
  });

/** In characters, of what a program said. */
const MOST_SAID = 500;
const smaller = "leave out packages that the project does not need, or have the operator raise the limit";

function words(
  error: unknown,
  { treeBytes, treeEntries, copyMilliseconds }: PackageLimits,
): Refusal | undefined {
  if (error instanceof DOMException && error.name === "TimeoutError")
    return {
      code: "over-limit",
      message: `the packages are not copied within ${copyMilliseconds / 1000} seconds`,
      allowed: `${copyMilliseconds / 1000} seconds`,
      fix: "try again when the node has less to do",
    };
  if (!(error instanceof ScriptError)) return undefined;
  if (error.code === ENDS.tooManyBytes)
    return {
      code: "over-limit",
      message: `the packages take more than ${treeBytes} bytes`,
      allowed: `${treeBytes} bytes, of which each entry takes at least 512`,
      fix: smaller,
    };
  if (error.code === ENDS.tooManyEntries)
    return {
      code: "over-limit",
      message: `the packages are more than ${treeEntries} files, folders and links`,
      allowed: `${treeEntries}`,
      fix: smaller,
    };
  if (error.code === ENDS.changed)
    return {
      code: "busy",
      message: "the packages changed while they were copied",
      fix: "see that nothing writes into node_modules when the installation has ended, and set up again",
    };
  return {
    code: "closed",
    // What it names are paths among the packages, in printable characters.
    message: `the packages cannot be copied: ${error.message.slice(-MOST_SAID)}`,
    fix: "see that no path in node_modules has more than 4095 bytes, and that the node's disk has room",
  };
}

/** @throws what is no script's end */
export function notKept(error: unknown, limits: PackageLimits) {
  const refusal = words(error, limits);
  if (refusal === undefined) throw error;
  return refuse(refusal);
}
