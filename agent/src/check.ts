import { type Grant, heldLayouts, type Inventory } from "../../core/gpu";
import { parseLimits } from "../../core/limits";
import { readJson, readNode } from "./config";
import { readIfThere } from "./files";
import { readDeclared } from "./inventory/declared";
import type { AgentPaths } from "./paths";

/**
 * Everything that is wrong with the files that the stack writes; empty: nothing.
 * @param known a file with what `berth declared show --json` printed: GPUs that somebody holds have to stay as they are.
 */
export function checkConfig(paths: AgentPaths, known?: string): string[] {
  const problems: string[] = [];
  const attempt = (check: () => void) => {
    try {
      check();
    } catch (error) {
      problems.push((error as Error).message);
    }
  };
  attempt(() => readNode(paths.nodeFile));
  attempt(() => {
    if (readIfThere(paths.limitsFile) === undefined) return;
    const parsed = parseLimits(readJson(paths.limitsFile, "Mend: run the stack again (npm run up)."));
    if (parsed.ok) return;
    for (const { path, problem, allowed, fix } of parsed.problems) {
      problems.push(`${paths.limitsFile}: ${path || "the document"} ${problem}. Allowed: ${allowed}. ${fix}`);
    }
  });
  attempt(() => {
    const declared = readDeclared(paths.gpusFile);
    if (known !== undefined) problems.push(...heldProblems(known, declared));
  });
  return problems;
}

/** Who holds GPUs that the files declare no more, or divided otherwise. Those of a driver are not the files' to take. */
function heldProblems(known: string, declared: Inventory | undefined): string[] {
  const { inventory, grants } = readJson(known, "Mend: see why (berth declared show).") as {
    inventory?: Inventory;
    grants?: Grant[];
  };
  if (!Array.isArray(inventory?.gpus) || !Array.isArray(grants))
    throw new Error(`${known} does not say who holds which GPU`);
  if (inventory.source !== "declared") return [];
  const live = grants.filter(({ state }) => state !== "released");
  return heldLayouts(inventory, live, declared ? { declared } : {});
}
