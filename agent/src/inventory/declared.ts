import { type Inventory, parseDeclaredGpus } from "../../../core/gpu";
import { readIfThere } from "../files";

/**
 * Reads `gpus.json`. Undefined: there is none, so the node's own driver is asked.
 * @throws Error when it is there and cannot be read, or says what cannot be.
 */
export function readDeclared(path: string): Inventory | undefined {
  const text = readIfThere(path);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${path} is no JSON: ${(error as Error).message}`);
  }
  return parseDeclaredGpus(value, path);
}
