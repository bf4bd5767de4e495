/**
 * @file The ledger: durable allocations and releases by 64 clients at once, beside one fsync of the same disk and beside
 * a Python allocator that locks a file of JSON; its decisions in memory; its histories; and berthd at rest.
 *
 * The rival stands in ledger_flock.py. It is measured as it is used, a command for each call, and once more as processes
 * that live on, which spares it Python's start; `berth` is measured as a command for each call too. The last line is
 * berthd's rate over that of the rival as it is used.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { build } from "esbuild";
import { ROOT } from "../../scripts/lib/paths.mjs";
import { handleSignals, run } from "../../scripts/lib/process.mjs";
import { Figures, ms, times } from "./figures.mjs";
import { fsyncs, loadBerthd, loadCommands, loadOf, loadProcesses } from "./ledger-load.mjs";
import { LedgerNode } from "./ledger-node.mjs";

const CLIENTS = 64;
const SECONDS = 10;
/** Before each call of clients that do not all press at once. */
const PAUSE_MS = 100;
/** In its first minute berthd looks at the GPUs more often. */
const SETTLE_SECONDS = 65;
const REST_SECONDS = 30;
const HISTORY_STEPS = 1_000_000;
/** p99 of a call, in fsyncs of the same disk. */
const FSYNC_BOUND = 5;
/** berthd's rate, in that of the rival. */
const RATE_BOUND = 10;
const PLANNER_BOUND = 1;
const MEMORY_BOUND = 120;
/** Of `berth whoami`, in milliseconds. */
const START_BOUND = 100;
const CPU_BOUND = 1;

const isRoot = process.getuid?.() === 0;
const users = Array.from({ length: CLIENTS }, (_, index) => ({ name: `u${index}` }));
const h100 = { model: "NVIDIA H100 80GB HBM3", memoryMiB: 81_559, mig: { "1g.10gb": 7 } };
/** One instance for each client, and a few that are free. */
const GPUS = Math.ceil(CLIENTS / 7) + 1;

const found = new Figures();
const { rows } = found;

handleSignals();
const node = new LedgerNode({ users, limits: {}, gpus: [{ ...h100, count: GPUS }] });
const rival = mkdtempSync(join(tmpdir(), "berth-bench-flock-"));
try {
  await node.start();
  const started = performance.now();
  measureStart();
  await measurePlanner();
  await measureHistories();
  await after(Math.max(0, started + SETTLE_SECONDS * 1000 - performance.now()));
  await measureRest();
  const before = fsyncs(node.root, 300);
  const ours = await loadBerthd(whereOf, { clients: CLIENTS, warmUp: 3, seconds: SECONDS });
  const paced = await loadBerthd(whereOf, {
    clients: CLIENTS,
    warmUp: 1,
    seconds: SECONDS / 2,
    pauseMs: PAUSE_MS,
  });
  const disk = loadOf([...before, ...fsyncs(node.root, 300)], 1);
  measureMemory("berthd after the load");
  const commands = await loadCommands(
    () => [node.programs?.berth ?? "", "gpu", "request", "--profile", "1g.10gb", "--json"],
    (_client, _turn, printed) => [node.programs?.berth ?? "", "gpu", "release", JSON.parse(printed).id],
    {
      clients: CLIENTS,
      seconds: SECONDS,
      env: (client) => ({ ...node.env, BERTH_SOCKET: userSocket(client) }),
    },
  );
  await node.stopBerthd();
  const python = prepareRival();
  const script = join(ROOT, "test/bench/ledger_flock.py");
  const asUsed = await loadCommands(
    (client, turn) => [python, script, rival, "allocate", `u${client}`, `c${client}-${turn}`, "8", "10"],
    (client, turn) => [python, script, rival, "release", `c${client}-${turn}`],
    { clients: CLIENTS, seconds: SECONDS, env: () => process.env },
  );
  const livingOn = await loadProcesses(
    (client) => [python, script, rival, "loop", `u${client}`, `${SECONDS}`],
    {
      clients: CLIENTS,
      seconds: SECONDS,
    },
  );
  showLoads({ disk, ours, paced, commands, asUsed, livingOn });
  finish(ours.rate / asUsed.rate, ours.rate / livingOn.rate);
} finally {
  await node.end();
  rmSync(rival, { recursive: true, force: true });
}

/** @param {number} client */
function userSocket(client) {
  return join(node.root, "run/berth/users", `u${client}`, "berth.sock");
}

/** Root may use the node's own socket, as the container API does; others the users' sockets. @param {number} client */
function whereOf(client) {
  return isRoot ? { socket: node.socket, user: `u${client}` } : { socket: userSocket(client) };
}

/** The rival's limits and state: the same GPUs, users and limits. */
function prepareRival() {
  const limits = {
    defaults: { max_mig_instances: 1, max_gpus_per_container: 1, allow_full_gpu: false },
    groups: { student: { priority: 10, members: users.map(({ name }) => name), max_mig_instances: 1 } },
    user_overrides: { u0: { max_mig_instances: 2, priority: 100 } },
  };
  mkdirSync(rival, { recursive: true });
  // JSON is YAML too.
  for (const name of ["resource-limits.yaml", "resource-limits.json"])
    writeFileSync(join(rival, name), JSON.stringify(limits, null, 2));
  const gpus = Object.fromEntries(
    Array.from({ length: GPUS }, (_, gpu) => [
      `${gpu}`,
      Array.from({ length: 7 }, (_, at) => `${gpu}:${at}`),
    ]),
  );
  writeFileSync(join(rival, "gpu-state.json"), JSON.stringify({ gpus, containers: {} }));
  // The interpreter itself: what is on PATH may be a script that looks for it.
  const python = spawnSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" });
  if (python.status !== 0)
    throw new Error("There is no python3 for the rival. Install it: apt-get install python3 python3-yaml");
  return python.stdout.trim();
}

/** @param {Record<"disk" | "ours" | "paced" | "commands" | "asUsed" | "livingOn", import("./ledger-load.mjs").Load>} loads */
function showLoads({ disk, ours, paced, commands, asUsed, livingOn }) {
  rows.push(
    ["one fsync of the same disk", "", ms(disk.p50), ms(disk.p99), ""],
    [
      `berthd, with pauses of ${PAUSE_MS} ms`,
      `${paced.rate.toFixed(0)} / s`,
      ms(paced.p50),
      ms(paced.p99),
      `${(paced.p50 / disk.p50).toFixed(0)} and ${(paced.p99 / disk.p99).toFixed(1)} fsyncs`,
    ],
  );
  const lines = /** @type {[string, import("./ledger-load.mjs").Load][]} */ ([
    ["berthd over its socket", ours],
    ["`berth`, a command for each call", commands],
    ["flock rival, a command for each call", asUsed],
    ["flock rival, processes that live on", livingOn],
  ]);
  for (const [name, load] of lines)
    rows.push([
      name,
      `${load.rate.toFixed(0)} / s`,
      ms(load.p50),
      ms(load.p99),
      load === ours ? "" : `${times(ours.rate / load.rate)} of its rate`,
    ]);
  found.add("ledger-p99-in-fsyncs", ours.p99 / disk.p99, FSYNC_BOUND, { p99: ours.p99, fsync: disk.p99 });
  found.add("ledger-p99-in-median-fsyncs", ours.p99 / disk.p50, undefined, {
    p99: ours.p99,
    fsync: disk.p50,
  });
  found.add("ledger-p99-in-fsyncs-with-pauses", paced.p99 / disk.p99, undefined, {
    p99: paced.p99,
    fsync: disk.p99,
  });
  found.add("ledger-rate-over-flock-commands", ours.rate / asUsed.rate, -RATE_BOUND, { ours, rival: asUsed });
  found.add("ledger-rate-over-flock-processes", ours.rate / livingOn.rate, "higher", {
    ours,
    rival: livingOn,
  });
  found.add("berth-commands-over-flock-commands", commands.rate / asUsed.rate, "higher", {
    ours: commands,
    rival: asUsed,
  });
}

/** The command `berth`, from its start to its end, beside a Node.js that does nothing. */
function measureStart() {
  const median = (/** @type {string} */ program, /** @type {string[]} */ args) => {
    const took = Array.from({ length: 15 }, () => {
      const began = performance.now();
      const { status } = spawnSync(program, args);
      if (status !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${status}`);
      return performance.now() - began;
    }).sort((a, b) => a - b);
    return took[7] ?? Number.NaN;
  };
  const env = ["-i", `BERTH_SOCKET=${userSocket(0)}`, `PATH=${process.env.PATH}`];
  const berth = median("env", [...env, node.programs?.berth ?? "", "whoami"]);
  const bare = median("env", [...env, process.execPath, "-e", "0"]);
  rows.push([
    "`berth whoami`, start to end",
    ms(berth),
    "",
    "",
    `${ms(bare)} for a Node.js that does nothing`,
  ]);
  found.add("berth-start-ms", berth, START_BOUND, { bare });
}

/** 30 s in which nobody asks anything. */
async function measureRest() {
  const first = processorSeconds();
  await after(REST_SECONDS * 1000);
  const last = processorSeconds();
  const own = ((last.own - first.own) / REST_SECONDS) * 100;
  const children = ((last.children - first.children) / REST_SECONDS) * 100;
  rows.push(
    ["berthd at rest, of one core", percent(own), "", "", `bound ${CPU_BOUND} %`],
    ["the stand-in for nvidia-smi that it asks", percent(children), "", "", `${GPUS} GPUs; a script`],
  );
  found.add("berthd-rest-cpu-percent", own, CPU_BOUND, { seconds: REST_SECONDS, standIn: children });
  found.add("berthd-rest-memory-mb", measureMemory("berthd at rest"), MEMORY_BOUND, {});
}

/** @param {string} name */
function measureMemory(name) {
  const status = readFileSync(`/proc/${node.berthd?.pid}/status`, "utf8");
  const read = (/** @type {string} */ field) =>
    (Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) * 1024) / 1e6;
  const megabytes = read("VmRSS");
  const beside = `${read("RssAnon").toFixed(0)} MB its own, ${read("RssFile").toFixed(0)} MB Node.js's program`;
  const bound = name.endsWith("rest") ? `bound ${MEMORY_BOUND} MB; ` : "";
  rows.push([name, `${megabytes.toFixed(0)} MB`, "", "", bound + beside]);
  return megabytes;
}

/** Of berthd, and of the children that it waited for. */
function processorSeconds() {
  const stat = readFileSync(`/proc/${node.berthd?.pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // utime, stime, cutime, cstime, in hundredths of a second.
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = fields.slice(11, 15).map(Number);
  return { own: (user + system) / 100, children: (childUser + childSystem) / 100 };
}

async function measurePlanner() {
  const file = join(rival, "planner.cjs");
  await build({
    entryPoints: [join(ROOT, "test/bench/ledger-planner.ts")],
    bundle: true,
    platform: "node",
    outfile: file,
    logLevel: "error",
  });
  const { decisions, pool } = createRequire(import.meta.url)(file);
  const decided = decisions();
  const planned = pool();
  rows.push(
    [
      `${decided.requests} decisions on ${decided.gpus} GPUs`,
      `${decided.seconds.toFixed(2)} s`,
      "",
      "",
      `bound ${PLANNER_BOUND} s, ${decided.granted} granted`,
    ],
    [
      `two plans of ${planned.granted} declared grants`,
      `${planned.seconds.toFixed(2)} s`,
      "",
      "",
      `${planned.moved} moved by one more`,
    ],
  );
  found.add("ledger-decisions-seconds", decided.seconds, PLANNER_BOUND, decided);
  found.add("ledger-pool-plan-seconds", planned.seconds, undefined, planned);
}

/** The histories of the unit tests, ten times as many steps. */
async function measureHistories() {
  const steps = process.env.BERTH_LEDGER_STEPS ?? `${HISTORY_STEPS}`;
  const began = performance.now();
  const args = [
    join(ROOT, "node_modules/vitest/vitest.mjs"),
    "run",
    "--project",
    "unit",
    "test/unit/core/gpu/histories.test.ts",
  ];
  const { stdout, code } = await run(process.execPath, [...args, "-t", "histories of the ledger"], {
    env: { ...process.env, BERTH_LEDGER_STEPS: steps, NO_COLOR: "1" },
    cwd: ROOT,
    deadlineMs: 30 * 60_000,
    okCodes: [0, 1],
  });
  const seconds = (performance.now() - began) / 1000;
  const held = code === 0 && / 1 passed/.test(stdout);
  if (!held) process.stderr.write(`${stdout.slice(-4000)}\n`);
  rows.push([
    `histories of ${steps} steps`,
    `${seconds.toFixed(0)} s`,
    "",
    "",
    held ? "no double grant, nothing lost, no limit exceeded" : "A HISTORY FAILED",
  ]);
  found.judge({ name: "ledger-histories", steps: Number(steps), seconds, held }, held);
}

/**
 * @param {number} ratio
 * @param {number} processes the same over the rival that is spared Python's start
 */
function finish(ratio, processes) {
  found.print({
    about: `${CLIENTS} clients at once; a rate counts an allocation with its release, p50 and p99 are of one call.`,
    head: ["", "value", "p50", "p99", "beside it"],
    notes: [
      `Load of this computer: ${loadavg()[0]?.toFixed(1)} on ${cpus().length} cores.`,
      `The last line: berthd's rate over that of the flock rival as it is used, a command for each call; ${processes.toFixed(1)} times over that of its processes that live on.`,
    ],
    last: `ledger ratio ${ratio.toFixed(1)}`,
  });
}

/** @param {number} value */
function percent(value) {
  return `${value.toFixed(2)} %`;
}
