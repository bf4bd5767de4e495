/** Scripts and programs that stand as files beside what renders them, where editors and linters see them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Ends a file's header: what stands above is for readers and shellcheck, and does not go to a node. */
const END_OF_HEADER = "\n# ---\n";

const texts = new Map<string, string>();

/**
 * Reads the files of one folder, each once: `const script = scriptsOf(__dirname)`, then `script("mounts.sh")`.
 *
 * A header says what a file does and what it needs: values come in by variables that the renderer sets in front of the
 * text (its prologue), programs and whole files by files in `$work`. The text has no empty line at either end.
 * @throws Error for a file that is not there
 */
export const scriptsOf = (folder: string) => (name: string) => {
  const path = join(folder, name);
  const text = texts.get(path) ?? withoutHeader(readFileSync(path, "utf8"));
  texts.set(path, text);
  return text;
};

function withoutHeader(text: string): string {
  const end = text.indexOf(END_OF_HEADER);
  return (end < 0 ? text : text.slice(end + END_OF_HEADER.length)).trim();
}
