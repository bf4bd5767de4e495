/**
 * Snapshots of rendered scripts, each shared text printed once.
 *
 * Every stage begins with the same library, and some hold the same long program. In a snapshot, such a text is one
 * line that names it and its hash; `test/unit/host-shared-texts.test.ts` prints it in full. So a change of one still
 * fails the tests, and is read once.
 */
import { createHash } from "node:crypto";
import { expect } from "vitest";
import { aptLibrary, coreLibrary, filesLibrary, secretsLibrary } from "../../components/host/library";
import { MERGE } from "../../components/host/runtime/daemon";
import { START } from "../../components/host/runtime/engine";
import { MIG_PROGRAM } from "../../components/host/runtime/mig-program";
import { CDI, TOOLKIT } from "../../components/host/runtime/nvidia";

/** By the name that stands in the snapshots. Only whole lines of a script are replaced. */
export const sharedTexts: Readonly<Record<string, string>> = {
  "stage library": coreLibrary,
  "stage library for files": filesLibrary,
  "stage library for apt": aptLibrary,
  "stage library for secrets": secretsLibrary,
  "program that merges daemon.json": MERGE.trim(),
  "MIG program": MIG_PROGRAM.trim(),
  "step that installs the toolkit": TOOLKIT.trim(),
  "step that writes the CDI file": CDI.trim(),
  "step that starts Docker": START.trim(),
};

const markers = Object.entries(sharedTexts).map(([name, text]) => {
  const hash = createHash("sha256").update(text).digest("hex").slice(0, 8);
  return { text, marker: `# <the ${name}, sha256 ${hash}>` };
});

/** The script with a marker line for each shared text in it. A shared text by itself stays as it is. */
export function withMarkers(script: string): string {
  if (markers.some(({ text }) => text === script)) return script;
  return markers
    .reduce((lines, { text, marker }) => lines.replaceAll(`\n${text}\n`, `\n${marker}\n`), `\n${script}\n`)
    .slice(1, -1);
}

/** For a file whose snapshots hold rendered scripts. */
export function shortenSnapshots(): void {
  expect.addSnapshotSerializer({
    test: (value) => typeof value === "string" && withMarkers(value) !== value,
    serialize: (value: string, config, indentation, depth, refs, print) =>
      print(withMarkers(value), config, indentation, depth, refs),
  });
}
