/**
 * @file Keeps `Pulumi.<stack>.yaml` as its author wrote it.
 *
 * Pulumi writes the salt of this computer's passphrase into the stack's committed file (`encryptionsalt`). In a
 * commit it would lock out every computer with another passphrase. The state holds the salt too, and Pulumi takes it
 * from there when told so (PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER), so the line is taken out again, unless the file
 * holds secrets encrypted with it.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readJson, writeWhole } from "./files.mjs";
import { PROJECT, ROOT } from "./paths.mjs";

/**
 * @param {string} stack
 * @param {string} [root]
 */
export function stackFile(stack, root = ROOT) {
  return join(root, `Pulumi.${stack}.yaml`);
}

/** @param {string} text of a stack file */
export function hasSecrets(text) {
  return /^\s*(-\s+)?secure:/m.test(text);
}

/** @param {string} text of a stack file */
export function withoutSalt(text) {
  return text.replace(/^encryptionsalt:.*\n?/m, "");
}

/** @param {string} text of a stack file */
export function saltOf(text) {
  return /^encryptionsalt:\s*["']?([^"'\s]+)/m.exec(text)?.[1];
}

/**
 * Whether two stack files say the same, whatever the blanks and quotes that Pulumi changes when it writes one.
 * @param {string} a
 * @param {string} b
 */
export function sameButForBlanks(a, b) {
  /** @param {string} text */
  const strip = (text) => withoutSalt(text).replace(/["'\s]+/g, "");
  return strip(a) === strip(b);
}

/**
 * The salt that the stack's state was encrypted with, when it has a state.
 * @param {import("./paths.mjs").Places} at
 * @param {string} stack
 * @returns {string | undefined}
 */
function saltOfState(at, stack) {
  const path = join(at.state, ".pulumi/stacks", PROJECT, `${stack}.json`);
  return readJson(path)?.checkpoint?.latest?.secrets_providers?.state?.salt;
}

/**
 * Runs something of Pulumi's with the stack's file clean before and after.
 * @template T
 * @param {import("./paths.mjs").Places} at
 * @param {string} stack
 * @param {() => Promise<T>} work
 * @param {string} [root]
 * @returns {Promise<T>}
 */
export async function withCleanStackFile(at, stack, work, root = ROOT) {
  const file = stackFile(stack, root);
  if (!existsSync(file)) return work();
  const before = readFileSync(file, "utf8");
  const mode = 0o644;
  if (hasSecrets(before)) return work();
  const clean = withoutSalt(before);
  // A salt that neither this state knows nor any secret needs is another computer's, or left by a killed run.
  if (clean !== before) writeWhole(file, clean, mode);
  try {
    return await work();
  } finally {
    const after = existsSync(file) ? readFileSync(file, "utf8") : clean;
    const salt = saltOf(after);
    if (after !== clean && !hasSecrets(after) && (!salt || salt === (saltOfState(at, stack) ?? salt))) {
      // Edited meanwhile by its author: only the line goes.
      writeWhole(file, sameButForBlanks(after, clean) ? clean : withoutSalt(after), mode);
    }
  }
}
