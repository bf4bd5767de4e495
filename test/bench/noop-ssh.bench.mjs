/**
 * @file What a no-op preview and a no-op `up` of the stack take against those of an empty program, side by side; and
 * how many SSH connections a first `up` opens on each node, counted by the nodes' own sshd, against its stages there,
 * and how many of them are open at once.
 */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../../scripts/lib/paths.mjs";
import { handleSignals, run } from "../../scripts/lib/process.mjs";
import { callEnvironment } from "../../scripts/lib/pulumi-env.mjs";
import * as stack from "./stack.mjs";

/** Interleaved, so that a slow minute of the computer hits both sides. */
const PAIRS = stack.IN_TURN ? 1 : 3;
const BOUND = 3;
/** SSH connections of a node that may be open at once. */
const AT_ONCE = 4;

handleSignals();
try {
  stack.prepare();
  if (!stack.isUp()) await stack.makeAnew();
  const connections = await countConnections();
  const empty = emptyProject();
  try {
    await pulumi(empty, ["stack", "init", stack.STACK]);
    const up = await pairs(empty, ["up", "--yes", "--skip-preview", "--non-interactive"]);
    const preview = await pairs(empty, ["preview", "--non-interactive"]);
    show(connections, up, preview);
  } finally {
    rmSync(empty, { recursive: true, force: true });
  }
} finally {
  await stack.cleanUp();
}

/**
 * Connections that sshd took since the node began, and the commands that the stack has there: each is a stage.
 */
async function countConnections() {
  const { stdout } = await run("pulumi", ["stack", "export", "--stack", stack.STACK], {
    env: stack.env,
    cwd: ROOT,
    deadlineMs: 60_000,
  });
  /** @type {{type: string, urn: string}[]} */
  const resources = JSON.parse(stdout).deployment.resources;
  const commands = resources
    .filter(({ type }) => type === "command:remote:Command")
    .map(({ urn }) => urn.split("::").at(-1) ?? "");
  const counts = [];
  for (const { name, user } of stack.NODES) {
    const stages = commands.filter((one) => one.includes(`-${name}-`) || one.includes(`-workspace-${user}-`));
    const journal = await stack.shell(`berth-${stack.STACK}-${name}`, "journalctl -u ssh -o cat --no-pager");
    const { accepted, most } = countLines(journal.split("\n"));
    if (accepted === 0 || stages.length === 0)
      throw new Error(
        `${name}: ${accepted} connections in its journal, ${stages.length} stages: nothing to compare`,
      );
    counts.push({ node: name, connections: accepted, most, stages: stages.length });
  }
  return counts;
}

/**
 * Connections that sshd took, and how many were open at once. A connection is known by its address and port.
 * @param {string[]} lines of its journal
 */
function countLines(lines) {
  const open = new Set();
  let accepted = 0;
  let most = 0;
  for (const line of lines) {
    const from = / (\S+ port \d+)/.exec(line)?.[1];
    if (/^Accepted publickey/.test(line)) {
      accepted++;
      open.add(from);
      most = Math.max(most, open.size);
    } else if (
      /^(Disconnected from|Received disconnect from|Connection (closed|reset)|Close session)/.test(line)
    )
      open.delete(from);
  }
  return { accepted, most };
}

/** A program with one export, with the same runtime, packages, transpiler and kind of backend. */
function emptyProject() {
  const folder = mkdtempSync(join(tmpdir(), "berth-bench-empty-"));
  const runtime = "runtime:\n  name: nodejs\n  options:\n    typescript: true\n";
  writeFileSync(join(folder, "Pulumi.yaml"), `name: empty\n${runtime}main: index.ts\n`);
  writeFileSync(join(folder, "index.ts"), 'export const hello = "there";\n');
  writeFileSync(join(folder, "package.json"), '{ "name": "empty", "main": "index.ts" }\n');
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({ extends: join(ROOT, "tsconfig.json"), include: ["index.ts"] }),
  );
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  mkdirSync(join(folder, "state"));
  return folder;
}

/**
 * @param {string} folder
 * @param {string[]} args
 */
function pulumi(folder, args) {
  const own = folder === ROOT ? {} : { PULUMI_BACKEND_URL: `file://${join(folder, "state")}` };
  // Both as the scripts call it.
  const env = callEnvironment({ ...stack.env, ...own }, args);
  return run("pulumi", args, { env, cwd: folder, deadlineMs: stack.STEP_MS });
}

/**
 * @param {string} empty
 * @param {string[]} args
 * @returns {Promise<{ours: number, empty: number}>} median seconds
 */
async function pairs(empty, args) {
  /** @param {string} folder */
  const once = async (folder) => {
    const { seconds, value } = await stack.timed(() => pulumi(folder, [...args, "--stack", stack.STACK]));
    const changed = /^ +[~+-]+ *\d+ /m.exec(value.stdout);
    return { seconds, changed: changed?.[0].trim() };
  };
  // The first of each fills the caches of code; the empty program's first `up` also makes its stack.
  await once(ROOT);
  await once(empty);
  const times = { ours: /** @type {number[]} */ ([]), empty: /** @type {number[]} */ ([]) };
  for (let pair = 0; pair < PAIRS; pair++) {
    for (const side of /** @type {const} */ (["ours", "empty"])) {
      const { seconds, changed } = await once(side === "ours" ? ROOT : empty);
      if (changed) throw new Error(`pulumi ${args[0]} of the ${side} side is no no-op: ${changed}`);
      times[side].push(seconds);
    }
  }
  return { ours: stack.median(times.ours), empty: stack.median(times.empty) };
}

/**
 * @param {{node: string, connections: number, most: number, stages: number}[]} connections
 * @param {{ours: number, empty: number}} up
 * @param {{ours: number, empty: number}} preview
 */
function show(connections, up, preview) {
  const rows = [
    ["no-op up", stack.seconds(up.ours), stack.seconds(up.empty)],
    ["no-op preview", stack.seconds(preview.ours), stack.seconds(preview.empty)],
    ...connections.flatMap((one) => [
      [`SSH to ${one.node}`, `${one.connections}`, `${one.stages} stages`],
      ["  open at once", `${one.most}`, `at most ${AT_ONCE}`],
    ]),
  ];
  stack.report({ head: ["", "berth", "against"], rows }, [
    { name: "noop-up", ratio: up.ours / up.empty, bound: BOUND, detail: up },
    { name: "noop-preview", ratio: preview.ours / preview.empty, bound: BOUND, detail: preview },
    {
      name: "ssh",
      ratio: Math.max(...connections.map((one) => one.connections / one.stages)),
      bound: 1,
      detail: connections,
    },
    {
      name: "ssh-at-once",
      ratio: Math.max(...connections.map(({ most }) => most)) / AT_ONCE,
      bound: 1,
      detail: connections,
    },
  ]);
}
