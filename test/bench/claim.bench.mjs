/**
 * @file The container manager, on a local node with a real Docker: claims by 8 clients at once, beside `docker run` of the same image
 * until its health check; the first command after a claim, beside `docker exec`; creates where no pool has any, beside `docker run`,
 * and many in one moment, beside one; the list of 200 containers, beside a bare Fastify route; and set-ups of a repository, beside
 * the first one of it. The sides of each comparison are measured in turn, in one run, on the same node. And 1,000 claims and deletes
 * by 16 clients, of which none may fail.
 *
 * Takes about 13 minutes on two cores, and 40 GiB of free disk: that much the manager counts for what it makes in 10 s. The last line
 * is the median `docker run` over the median claim.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { build } from "esbuild";
import { ROOT } from "../../scripts/lib/paths.mjs";
import { handleSignals } from "../../scripts/lib/process.mjs";
import { measureSetups } from "./claim-setups.mjs";
import * as stack from "./claim-stack.mjs";
import { Figures, ms, times } from "./figures.mjs";
import { loadOf } from "./ledger-load.mjs";
import { median } from "./stack.mjs";

// claim-stack.mjs has it read TypeScript.
/** @type {typeof import("../lib/claim-stress.js")} */
const { stress } = createRequire(import.meta.url)("../lib/claim-stress");

const CLIENTS = 8;
const ROUNDS = 8;
const AT_ONCE = 32;
const LISTED = 200;
/** Of reads; a tenant may ask 6,000 times a minute. */
const READ_ROUNDS = 4;
const REQUESTS = 1000;
const CLAIMS = 1000;
const STRESS_CLIENTS = 16;

const BOUNDS = {
  claimP50: 5,
  claimP99: 25,
  claimOverRun: 100,
  command: 3,
  create: 1.1,
  reads: 0.5,
  setup: 5,
  clone: 10,
  atOnce: 40,
  moreFiles: 8,
  moreMebibytes: 24,
};

const found = new Figures();

handleSignals();
try {
  await stack.bringUp();
  const program = await bundle();
  const containers = await onNode(program, "containers", "claimer");
  const setups = await measureSetups(await stack.tokenOf("builder"));
  const stressed = await measureStress();
  const reads = await onNode(program, "list", "lister");
  show(containers, { setups, stressed, reads });
} finally {
  await stack.takeDown();
}

/** Each claim with a command and a delete, by clients of two tenants. */
async function measureStress() {
  const tokens = [await stack.tokenOf("claimer"), await stack.tokenOf("builder")];
  return stress(
    { call: stack.call, tokens, onNode: stack.shell },
    { template: "pool", claims: CLAIMS, clients: STRESS_CLIENTS, deadlineMs: 30 * 60_000 },
  );
}

/** What the node runs, with all that it imports. */
async function bundle() {
  const { outputFiles } = await build({
    entryPoints: [join(ROOT, "test/bench/claim-node.mjs")],
    ...{ bundle: true, write: false, platform: "node", format: "cjs", target: "node24", logLevel: "error" },
  });
  return outputFiles[0]?.text ?? "";
}

/**
 * @param {string} program
 * @param {"containers" | "list"} work
 * @param {typeof stack.TENANTS[number]} tenant
 */
async function onNode(program, work, tenant) {
  const options = {
    ...{ work, token: await stack.tokenOf(tenant), clients: CLIENTS, templates: stack.TEMPLATES },
    manager: { host: stack.ADDRESS, port: stack.MANAGER_PORT },
    ...(work === "list" ? { rounds: READ_ROUNDS, most: LISTED } : { rounds: ROUNDS, most: AT_ONCE }),
    requests: REQUESTS,
  };
  return JSON.parse(await stack.onNode(program, JSON.stringify(options)));
}

/** @param {number[]} took */
function load(took) {
  return loadOf(took, 1);
}

/** A row of milliseconds. @param {string} name @param {number[]} took @param {string} [beside] */
function row(name, took, beside = "") {
  const { p50, p99 } = load(took);
  found.row(
    name,
    ms(median(took)),
    ms(took.length > 20 ? p99 : Math.max(...took)),
    beside || `${took.length} times`,
  );
  return { p50, p99, count: took.length };
}

/**
 * @param {import("./claim-node.mjs").Found} containers
 * @param {object} rest
 * @param {import("./claim-setups.mjs").Found} rest.setups
 * @param {import("../lib/claim-stress.js").Stressed} rest.stressed
 * @param {import("./claim-node.mjs").Reads} rest.reads
 */
function show(containers, { setups, stressed, reads }) {
  const { claims, runHealthy, notFromPool } = containers;
  const ratio = median(runHealthy) / median(claims);
  const claim = row(`claim, ${CLIENTS} clients at once`, claims, `${claims.length} claims`);
  row("docker run, until it is healthy", runHealthy, `${times(ratio)} a claim`);
  found.add("claim-p50-ms", claim.p50, BOUNDS.claimP50, { claims: claim.count });
  found.add("claim-p99-ms", claim.p99, BOUNDS.claimP99, { claims: claim.count });
  found.add("claims-that-nothing-stood-ready-for", notFromPool, 0, {});
  found.add("docker-run-over-claim", ratio, -BOUNDS.claimOverRun, { run: median(runHealthy) });
  showCommands(containers);
  showCreates(containers);
  showReads(reads);
  showSetups(setups);
  showStress(stressed);
  found.print({
    about:
      "The container manager beside Docker's own commands, on one node. p99: of few measurements the longest.",
    head: ["", "median", "p99", "beside it"],
    notes: ["The last line: the median `docker run` until it is healthy over the median claim."],
    last: `claim ratio ${ratio.toFixed(1)}`,
  });
}

/** @param {import("./claim-node.mjs").Found} containers */
function showCommands({ ourCommands, theirCommands, deletes }) {
  const ours = row("first command after a claim", ourCommands);
  const theirs = row("docker exec, the first in a container", theirCommands);
  found.add("command-p99-over-docker-exec", ours.p99 / theirs.p99, BOUNDS.command, { ours, theirs });
  row(`delete, ${CLIENTS} clients at once`, deletes);
}

/** @param {import("./claim-node.mjs").Found} containers */
function showCreates({ creates, runs, singles, atOnce }) {
  row("create, where none stands ready", creates);
  row("docker run", runs);
  const medians = { ours: median(creates), theirs: median(runs) };
  found.add("create-over-docker-run", medians.ours / medians.theirs, BOUNDS.create, medians);
  const many = row(`create, ${AT_ONCE} in one moment`, atOnce, "all were made");
  row("create, one of the same", singles);
  const one = median(singles);
  found.add("creates-at-once-p99-over-one", many.p99 / one, BOUNDS.atOnce, { ...many, one });
}

/** @param {import("./claim-node.mjs").Reads} reads */
function showReads({ ours, bare, bytes }) {
  const rates = { ours: median(ours), bare: median(bare) };
  const each = (/** @type {number} */ rate) => `${rate.toFixed(0)} / s`;
  found.row(`list of ${LISTED} containers`, each(rates.ours), "", `${bytes} bytes`);
  found.row("the same bytes by a bare Fastify route", each(rates.bare), "", "");
  found.add("list-rate-over-bare-fastify", rates.ours / rates.bare, -BOUNDS.reads, rates);
}

/** @param {import("./claim-setups.mjs").Found} setups */
function showSetups({ first, second, firstClone, secondClone, requests, packages }) {
  row("set-up, the first of a repository", first, `${packages} packages from this computer`);
  row("set-up of the same again", second, times(median(first) / median(second)));
  found.add("setup-first-over-second", median(first) / median(second), -BOUNDS.setup, { first, second });
  row("clone, the first of a repository", firstClone, "240 MB of history from this computer");
  row("clone of the same again", secondClone, times(median(firstClone) / median(secondClone)));
  const clones = { firstClone, secondClone };
  found.add("clone-first-over-second", median(firstClone) / median(secondClone), -BOUNDS.clone, clones);
  found.add("requests-of-second-setups", requests, 0, {});
}

/** None has failed, or this would not be reached. @param {import("../lib/claim-stress.js").Stressed} stressed */
function showStress({ claims, milliseconds, more }) {
  const seconds = milliseconds / 1000;
  const ready = claims.filter(({ fromPool }) => fromPool).map(({ took }) => took);
  const made = claims.length - ready.length;
  row(`claims of ${STRESS_CLIENTS} clients that delete and claim again`, ready, `${made} others were made`);
  found.row(`${claims.length} of them, each with a command and a delete`, `${seconds.toFixed(0)} s`, "", "");
  found.add("stress-handed-out-twice", claims.length - new Set(claims.map(({ id }) => id)).size, 0, {});
  found.add("stress-more-files", more.files, BOUNDS.moreFiles, {});
  found.add("stress-more-mebibytes", more.mebibytes, BOUNDS.moreMebibytes, {});
}
