import { readFileSync } from "node:fs";
import { readJson, readNode } from "./config";
import { readDeclared } from "./inventory/declared";
import { parseLimits } from "./limits";
import type { AgentPaths } from "./paths";

/** Everything that is wrong with the files that the stack writes; empty: nothing. */
export function checkConfig(paths: AgentPaths): string[] {
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
    if (!exists(paths.limitsFile)) return;
    const parsed = parseLimits(readJson(paths.limitsFile, "Mend: run the stack again (npm run up)."));
    if (parsed.ok) return;
    for (const { path, problem, allowed, fix } of parsed.problems) {
      problems.push(`${paths.limitsFile}: ${path || "the document"} ${problem}. Allowed: ${allowed}. ${fix}`);
    }
  });
  attempt(() => readDeclared(paths.gpusFile));
  return problems;
}

function exists(file: string): boolean {
  try {
    readFileSync(file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}
