import { readFileSync } from "node:fs";
import { type Inventory, parseDeclaredGpus } from "../../../core/gpu";

/**
 * Reads `gpus.json`. Undefined: there is none, so the node's own driver is asked.
 * @throws Error when it is there and cannot be read, or says what cannot be.
 */
export function readDeclared(path: string): Inventory | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${path} is no JSON: ${(error as Error).message}`);
  }
  return parseDeclaredGpus(value, path);
}
