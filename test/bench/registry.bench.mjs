/**
 * @file The registry of containers: to list 1,000 of them and to find one, from memory. Beside it stands what it costs to
 * read dockerd's own answer about them, without the time that dockerd needs for it.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { table } from "../../scripts/lib/format.mjs";
import { ROOT } from "../../scripts/lib/paths.mjs";

/** Of each read, in milliseconds. */
const BOUND = 1;

const folder = mkdtempSync(join(tmpdir(), "berth-bench-registry-"));
try {
  const outfile = join(folder, "reads.cjs");
  const entry = join(ROOT, "test/bench/registry-reads.ts");
  await build({ entryPoints: [entry], bundle: true, platform: "node", outfile, logLevel: "error" });
  const { containers, json, ...read } = createRequire(import.meta.url)(outfile).reads();
  const figures = Object.entries(read);
  if (process.argv.includes("--json")) {
    for (const [what, value] of figures)
      process.stdout.write(`${JSON.stringify({ name: `registry-${what}-ms`, value, bound: BOUND })}\n`);
  } else {
    const rows = figures.map(([what, ms]) => [what, ms.toFixed(4), `${(json / ms).toFixed(0)}`]);
    const head = [
      `${containers} containers, read by`,
      "p99 ms",
      "parsing dockerd's answer takes so many times as long",
    ];
    process.stdout.write(
      `${table(head, rows)}\nbound ${BOUND} ms; dockerd's answer as JSON: ${json.toFixed(2)} ms to parse\n`,
    );
  }
  process.exitCode = figures.some(([, ms]) => ms > BOUND) ? 1 : 0;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
