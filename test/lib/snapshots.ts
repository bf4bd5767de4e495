/**
 * Snapshots of rendered scripts, without what stands in files.
 *
 * Most of a stage's text is files beside its renderer, which are read and reviewed as such. In a snapshot each of them is
 * one line that names it, so that a snapshot shows what the renderer adds and in which order.
 */
import { globSync } from "node:fs";
import { basename, dirname } from "node:path";
import { expect } from "vitest";
import { scriptsOf } from "../../components/host/script";

/** Shorter ones are as easy to read as their names. */
const LINES = 5;

/** Text of each file that runs on a node, by the path that stands in the snapshots. Only whole lines are replaced. */
export const fileTexts: ReadonlyMap<string, string> = new Map(
  globSync("components/**/*.{sh,py}")
    .sort()
    .map((file): [string, string] => [file, scriptsOf(dirname(file))(basename(file))])
    .filter(([, text]) => text.split("\n").length >= LINES),
);

/** The script with a line for each file's text in it. */
export function withMarkers(script: string): string {
  return [...fileTexts]
    .reduce((lines, [file, text]) => lines.replaceAll(`\n${text}\n`, `\n# <${file}>\n`), `\n${script}\n`)
    .slice(1, -1);
}

/** For a test file whose snapshots hold rendered scripts. */
export function shortenSnapshots(): void {
  expect.addSnapshotSerializer({
    test: (value) => typeof value === "string" && withMarkers(value) !== value,
    serialize: (value: string, config, indentation, depth, refs, print) =>
      print(withMarkers(value), config, indentation, depth, refs),
  });
}
