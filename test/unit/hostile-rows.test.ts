/** The tables of what a hostile tenant tries: what can be said of them without a cluster to try it on. */
import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { daemonRows } from "../e2e/stacks/hostile-daemon";
import { fileRows } from "../e2e/stacks/hostile-files";
import { kernelRows } from "../e2e/stacks/hostile-kernel";
import { afterRows, limitRows } from "../e2e/stacks/hostile-limits";
import { networkRows } from "../e2e/stacks/hostile-network";
import { rayRows } from "../e2e/stacks/hostile-ray";
import { streamRows } from "../e2e/stacks/hostile-streams";
import { webRows } from "../e2e/stacks/hostile-web";

const rows = [
  ...[fileRows, kernelRows, networkRows, daemonRows, streamRows, webRows, rayRows],
  ...[limitRows, afterRows],
].flat();
/** What `setUp` of hostile-rig.ts gives, and what bash has or the command sets. */
const VARIABLES = [
  ...["NODE", "OTHER_NODE", "GATEWAY", "REGISTRY", "BOB_AT", "BOB_GRANT", "BOB_TOKEN"],
  ...[
    "BOB",
    "CAROL",
    "CAROL_GRANT",
    "CAROL_LAYER",
    "at",
    "probe",
    "options",
    "suid",
    "dev",
    "jar",
    "port",
    "origin",
    "code",
    "ticket",
    "url",
  ],
];

describe("the rows", () => {
  it("are many, and no two are called alike", () => {
    expect(rows.length).toBeGreaterThan(150);
    const names = rows.map(({ from, what }) => `${from}: ${what}`);
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  });

  it("are commands that bash and Python can read", () => {
    const program = `import ast, json, subprocess, sys
for command in json.load(sys.stdin):
    read = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True)
    if read.returncode or read.stderr: print(command, read.stderr)
    for part in command.split("python3 -c '")[1:]:
        ast.parse(part.split("'")[0])
`;
    const input = JSON.stringify(rows.map(({ command }) => command));
    const { stdout, stderr } = spawnSync("python3", ["-c", program], { input, encoding: "utf8" });
    expect(stdout + stderr).toBe("");
  });

  it("name no variable that nobody sets", () => {
    const named = rows.flatMap(({ command }) =>
      [...command.matchAll(/\$\{?([A-Za-z_]+)/g)].map(([, name = ""]) => name),
    );
    expect([...new Set(named)].filter((name) => !VARIABLES.includes(name))).toEqual([]);
  });
});
