/**
 * @file What claim.bench.mjs runs on the node, bundled into one file: clients of the container manager over the node's loopback, and
 * beside them the same by the command `docker`. Reads its options as JSON from standard input, and prints what it measured as JSON.
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { text } from "node:stream/consumers";
import { setTimeout as after } from "node:timers/promises";
import { Connection } from "./connection.mjs";

/**
 * @typedef {object} Options
 * @property {"containers" | "list" | "serve"} work
 * @property {{host: string, port: number}} manager
 * @property {string} token a tenant's
 * @property {number} clients at once
 * @property {number} rounds
 * @property {Record<"pool" | "empty" | "many" | "listed", object>} templates by name, as the stack has them
 * @property {number} most creates at once, and containers of the list
 * @property {number} requests of a round of reads
 * @property {object} [body] what the bare server answers
 */

/**
 * @typedef {object} Found milliseconds of each, but for `notFromPool`
 * @property {number[]} runHealthy `docker run` until its health check has passed
 * @property {number[]} claims
 * @property {number} notFromPool claims that nothing stood ready for
 * @property {number[]} deletes
 * @property {number[]} creates by the manager, where no pool has any
 * @property {number[]} runs the same by `docker run`
 * @property {number[]} ourCommands the first one in a container
 * @property {number[]} theirCommands by `docker exec`
 * @property {number[]} singles creates, one at a time
 * @property {number[]} atOnce creates of one moment
 */

/** @typedef {{ours: number[], bare: number[], bytes: number}} Reads requests a second, and the size of an answer */

const DOCKER_SOCKET = "/var/run/docker.sock";
/** Where berthd has made it, for the containers that it makes. */
const NETWORK = "berth-containers";
const LOOK_MS = 20;
const FULL_MS = 5 * 60_000;
const HEALTHY_MS = 60_000;

/** @type {Options} */
const options = JSON.parse(readFileSync(0, "utf8"));
const { manager, token, clients, rounds } = options;

/** Of all containers. */
let image = "";

const WORK = { containers, list, serve };
WORK[options.work]().catch((/** @type {Error} */ error) => {
  say(error.stack ?? error.message);
  process.exit(1);
});

/** @param {string} line */
function say(line) {
  process.stderr.write(`${line}\n`);
}

/** @param {Found | Reads} found */
function answer(found) {
  process.stdout.write(`${JSON.stringify(found)}\n`);
}

function connection(where = manager) {
  return new Connection(where, { authorization: `Bearer ${token}` });
}

/**
 * A call that must be answered with this status.
 * @param {Connection} to
 * @param {number} status
 * @param {string} method
 * @param {string} path
 * @param {object} [content]
 */
async function ok(to, status, method, path, content) {
  const got = await to.ask(method, path, content);
  if (got.status !== status) throw new Error(`${method} ${path}: ${got.status} ${JSON.stringify(got.body)}`);
  return got.body;
}

/**
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<{took: number, value: T}>} `took`: milliseconds
 */
async function timed(work) {
  const began = performance.now();
  const value = await work();
  return { took: performance.now() - began, value };
}

/**
 * Workers with a connection each, which is open before anything is measured; together they do so many things.
 * @template T
 * @param {number} workers
 * @param {number} count
 * @param {(to: Connection, index: number) => Promise<T>} work
 * @param {{host: string, port: number}} [where]
 * @returns {Promise<T[]>}
 */
async function together(workers, count, work, where) {
  const all = Array.from({ length: Math.min(workers, count) }, () => connection(where));
  try {
    await Promise.all(all.map((one) => one.send("GET", "/health")));
    /** @type {T[]} */
    const done = [];
    let next = 0;
    await Promise.all(
      all.map(async (one) => {
        for (let index = next++; index < count; index = next++) done.push(await work(one, index));
      }),
    );
    return done;
  } finally {
    for (const one of all) one.end();
  }
}

/** What dockerd says of a container. @param {string} id */
function inspect(id) {
  return new Promise((/** @type {(said: any) => void} */ done, failed) => {
    const options = { socketPath: DOCKER_SOCKET, path: `/containers/${id}/json`, agent: false };
    const call = request(options, (response) => {
      text(response).then((body) => done(JSON.parse(body)), failed);
    });
    call.on("error", failed);
    call.end();
  });
}

/** @param {string[]} args */
function docker(args) {
  return new Promise((/** @type {(text: string) => void} */ done, failed) => {
    const child = spawn("docker", args, { stdio: ["ignore", "pipe", "pipe"] });
    const [said, wrong] = [text(child.stdout), text(child.stderr)];
    child.once("error", failed);
    child.once("close", async (code) => {
      if (code === 0) done((await said).trim());
      else failed(new Error(`docker ${args[0]} ended with ${code}: ${await wrong}`));
    });
  });
}

/** Until the pool is at its target, and nothing is made for it. */
async function full() {
  const to = connection();
  try {
    for (const end = performance.now() + FULL_MS; ; ) {
      const { pools } = await ok(to, 200, "GET", "/api/pool");
      const pool = pools.find((/** @type {{template: string}} */ one) => one.template === "pool");
      if (pool.ready === pool.target && pool.warming === 0) return;
      if (performance.now() > end) throw new Error(`the pool is not filled: ${JSON.stringify(pool)}`);
      await after(100);
    }
  } finally {
    to.end();
  }
}

/** @param {string[]} ids of containers of the manager's */
async function remove(ids) {
  const took = await together(clients, ids.length, (to, index) =>
    timed(() => ok(to, 200, "DELETE", `/api/containers/${ids[index]}`)),
  );
  return took.map((one) => one.took);
}

/** The id of the image that the pools' containers are of. */
async function imageOfPools() {
  const ids = await docker(["image", "ls", "--filter", "label=berth.image=dev", "--quiet", "--no-trunc"]);
  return ids.split("\n")[0] ?? "";
}

/** A container as berthd makes it of a template, by `docker run`. @param {any} template @param {string[]} [more] */
function run({ memory, cpus, pids, containerPorts }, more = []) {
  const most = memory.replace("MiB", "m");
  // biome-ignore format: an option and its value belong together
  return docker(["run", "--detach", "--init", "--network", NETWORK, "--cap-drop", "ALL", "--pids-limit", `${pids}`,
    "--memory", most, "--memory-swap", most, "--cpus", `${cpus}`, "--log-driver", "local",
    ...containerPorts.flatMap((/** @type {number} */ port) => ["--publish", `${manager.host}::${port}`]),
    "--entrypoint", "sleep", ...more, image, "infinity"]);
}

/** `docker run` of the image until its health check has passed. Docker looks at once, and then ten times a second. */
async function runHealthy() {
  // biome-ignore format: an option and its value belong together
  const health = ["--health-cmd", "true", "--health-interval", "1s", "--health-start-period", "60s",
    "--health-start-interval", "100ms"];
  /** @type {string | undefined} */
  let id;
  try {
    const { took } = await timed(async () => {
      id = await run(options.templates.empty, health);
      for (const end = performance.now() + HEALTHY_MS; ; ) {
        const { State } = await inspect(id);
        if (State?.Health?.Status === "healthy") return;
        if (performance.now() > end) throw new Error(`not healthy: ${JSON.stringify(State)}`);
        await after(LOOK_MS);
      }
    });
    return took;
  } finally {
    if (id !== undefined) await docker(["rm", "--force", id]);
  }
}

/** @param {Connection} to @param {string} template */
function create(to, template) {
  return timed(() => ok(to, 201, "POST", "/api/containers", { name: "bench", template }));
}

/** One container by the manager, where no pool has any, and the same by `docker run`; which is first changes. @param {number} round */
async function createPair(round) {
  const ours = async () => {
    const [made] = await together(1, 1, (to) => create(to, "empty"));
    if (made === undefined || made.value.fromPool)
      throw new Error("a container that was to be made was there");
    await remove([made.value.id]);
    return made.took;
  };
  const theirs = async () => {
    const { took, value: id } = await timed(() => run(options.templates.empty));
    await docker(["rm", "--force", id]);
    return took;
  };
  if (round % 2 === 0) return { ours: await ours(), theirs: await theirs() };
  const first = await theirs();
  return { ours: await ours(), theirs: first };
}

/** All that the pool has, by clients at once. */
async function claimAll() {
  const { targetSize } = /** @type {{targetSize: number}} */ (options.templates.pool);
  return together(clients, targetSize, async (to) => {
    const claimed = await timed(() => ok(to, 201, "POST", "/api/containers/claim", { template: "pool" }));
    return { took: claimed.took, id: claimed.value.id, fromPool: claimed.value.fromPool };
  });
}

/** The first command in each of these containers: in every other one by the manager, in the others by `docker exec`. @param {string[]} ids */
async function firstCommands(ids) {
  /** @type {{ours: number[], theirs: number[]}} */
  const found = { ours: [], theirs: [] };
  const names = (await docker(["ps", "--format", '{{.ID}} {{.Label "berth.creation"}}']))
    .split("\n")
    .map((line) => line.split(" "));
  const to = connection();
  try {
    await to.send("GET", "/health");
    for (const [index, id] of ids.entries()) {
      const name = names.find(([, creation]) => creation === id)?.[0];
      if (name === undefined) throw new Error(`docker has no container ${id}`);
      const ours = () => ok(to, 200, "POST", `/api/containers/${id}/exec`, { command: "true" });
      const theirs = () => docker(["exec", name, "/bin/sh", "-c", "true"]);
      if (index % 2 === 0) found.ours.push((await timed(ours)).took);
      else found.theirs.push((await timed(theirs)).took);
    }
  } finally {
    to.end();
  }
  return found;
}

/** Creates that come in the same moment, and before them single ones of the same kind. */
async function burst() {
  const singles = [];
  for (let n = 0; n < 3; n++) {
    const [made] = await together(1, 1, (to) => create(to, "many"));
    if (made === undefined) throw new Error("unreachable: one was asked for");
    singles.push(made.took);
    await remove([made.value.id]);
  }
  const all = await together(options.most, options.most, (to) => create(to, "many"));
  await remove(all.map(({ value }) => value.id));
  return { singles, all: all.map(({ took }) => took) };
}

/** Each side of each comparison in each round, so that a slow minute of the computer hits both. */
async function containers() {
  /** @type {Found} */
  const found = {
    ...{ runHealthy: [], claims: [], notFromPool: 0, deletes: [], creates: [], runs: [] },
    ...{ ourCommands: [], theirCommands: [], singles: [], atOnce: [] },
  };
  await full();
  image = await imageOfPools();
  for (let round = 0; round < rounds; round++) {
    found.runHealthy.push(await runHealthy());
    for (const turn of [0, 1]) {
      const pair = await createPair(round + turn);
      found.creates.push(pair.ours);
      found.runs.push(pair.theirs);
    }
    await full();
    const claimed = await claimAll();
    found.claims.push(...claimed.map(({ took }) => took));
    found.notFromPool += claimed.filter(({ fromPool }) => !fromPool).length;
    // The pool is filled again at once; a command is not to be measured against that.
    await full();
    const commands = await firstCommands(claimed.map(({ id }) => id));
    found.ourCommands.push(...commands.ours);
    found.theirCommands.push(...commands.theirs);
    found.deletes.push(...(await remove(claimed.map(({ id }) => id))));
    await full();
    say(`round ${round + 1} of ${rounds}: ${claimed.length} claims`);
  }
  for (const turn of [1, 2, 3]) {
    const { singles, all } = await burst();
    found.singles.push(...singles);
    found.atOnce.push(...all);
    say(`${options.most} creates at once, ${turn} of 3`);
  }
  answer(found);
}

/** The list of so many containers, and the same bytes by a bare server, a process of its own. */
async function list() {
  await together(clients, options.most, async (to) => {
    const { value } = await create(to, "listed");
    // It is shown all the same, and takes no memory.
    await ok(to, 200, "POST", `/api/containers/${value.id}/stop`);
  });
  const to = connection();
  const body = await ok(to, 200, "GET", "/api/containers");
  to.end();
  if (body.containers.length !== options.most) throw new Error(`${body.containers.length} are listed`);
  say(`${options.most} containers are there`);
  const server = await bareServer(body);
  try {
    const ours = [];
    const bare = [];
    for (let round = 0; round < rounds; round++) {
      ours.push(await reads(manager));
      bare.push(await reads(server.where));
    }
    answer({ ours, bare, bytes: JSON.stringify(body).length });
  } finally {
    server.end();
  }
}

/** Requests a second. @param {{host: string, port: number}} where */
async function reads(where) {
  const { took, value } = await timed(() =>
    together(
      clients,
      options.requests,
      async (to) => (await to.send("GET", "/api/containers")).status,
      where,
    ),
  );
  const wrong = value.find((status) => status !== 200);
  if (wrong !== undefined) throw new Error(`GET /api/containers of ${where.port}: ${wrong}`);
  return options.requests / (took / 1000);
}

/** @param {object} body */
async function bareServer(body) {
  const child = spawn(process.execPath, process.argv.slice(1), { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.end(JSON.stringify({ ...options, work: "serve", token: "", body }));
  const port = await new Promise((/** @type {(port: number) => void} */ done, failed) => {
    child.stdout.once("data", (line) => done(Number(line)));
    child.once("exit", (code) => failed(new Error(`the bare server ended with ${code}`)));
  });
  return { where: { host: "127.0.0.1", port }, end: () => child.kill("SIGKILL") };
}

/** The same bytes, and nothing else. */
async function serve() {
  const { fastify } = await import("fastify");
  const app = fastify();
  app.get("/health", async () => ({}));
  app.get("/api/containers", async () => options.body);
  await app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = /** @type {import("node:net").AddressInfo} */ (app.server.address());
  process.stdout.write(`${port}\n`);
}
