/**
 * @file Command line of `node scripts/image.mjs`. One JSON line or one hash on stdout; all progress on stderr.
 */
import { text } from "node:stream/consumers";
import { readArgs, UsageError } from "../lib/args.mjs";
import { handleSignals } from "../lib/process.mjs";
import { readSshOptions, readTarget, SSH_OPTIONS } from "../lib/ssh.mjs";
import { buildImage } from "./build.mjs";
import { contentHash, contentHashes, IMAGES } from "./catalog.cjs";
import { Engine } from "./engine.mjs";
import { pushImage, removePushed } from "./push.mjs";
import { dropSent, sendImage } from "./send.mjs";

/** Where a registry on another machine takes pushes: on that machine's own loopback. */
const FAR_REGISTRY = "127.0.0.1:5001";

const HELP = `Usage:
  node scripts/image.mjs build NAME [--json]   builds the image and its parents where they are missing;
                                               prints {"name","ref","id","bytes"}
  node scripts/image.mjs hash [NAME]           prints the image's content hash, or all of them as JSON; needs no
                                               container engine
  node scripts/image.mjs push NAME --registry HOST:PORT --stack STACK
                                               copies a built image to a registry; {"username","password"} on
                                               standard input; prints {"digest"}
  node scripts/image.mjs push NAME --through USER@HOST:PORT [--registry HOST:PORT] --stack STACK
                                               the same through an SSH tunnel: --registry is what HOST calls the
                                               registry, by default ${FAR_REGISTRY}
  node scripts/image.mjs send NAME --to USER@HOST:PORT
                                               copies a built image to the Docker engine of another machine over
                                               SSH, unless it is there; prints {"name","ref","id"}
  node scripts/image.mjs remove NAME --stack STACK
                                               drops tags that a killed push of this stack left on the engine
  node scripts/image.mjs remove NAME --from USER@HOST:PORT
                                               drops what \`send\` left on that machine
NAME: ${Object.keys(IMAGES).join(", ")}
Environment: BERTH_CACHE (cached root file system, logs), BERTH_APT_MIRROR, PIP_INDEX_URL, PIP_EXTRA_INDEX_URL,
  NPM_CONFIG_REGISTRY, GOPROXY, HTTP_PROXY, HTTPS_PROXY, NO_PROXY (reach the builds, are not kept in the images),
  NODE_EXTRA_CA_CERTS, SSL_CERT_FILE (authorities that the images trust too), BERTH_BUILD_NETWORK (network of the
  builds: "host" where the engine's default bridge reaches nothing), ${SSH_OPTIONS} (a JSON array of arguments
  for ssh; the host's key must be known beforehand: -o UserKnownHostsFile=FILE).
`;

/**
 * Carries a command out.
 * @param {string[]} argv
 */
export async function main(argv) {
  handleSignals();
  const { verb, name, options } = readCommand(argv);
  const { stack = "", registry = FAR_REGISTRY, through, to = "", from } = options;
  const reach = (/** @type {string} */ text, /** @type {string} */ option) => ({
    target: readTarget(text, option),
    sshOptions: readSshOptions(),
  });
  if (verb === "help") process.stdout.write(HELP);
  else if (verb === "hash" && name) process.stdout.write(`${contentHash(name)}\n`);
  else if (verb === "hash") print(contentHashes());
  else if (verb === "build") print(await buildImage(name));
  else if (verb === "push") {
    const far = through ? reach(through, "--through") : undefined;
    const account = readAccount(await text(process.stdin));
    print(await pushImage(new Engine(), { name, registry, stack, account, through: far }));
  } else if (verb === "send") print(await sendImage(new Engine(), { name, ...reach(to, "--to") }));
  else if (from) await dropSent({ name, ...reach(from, "--from") });
  else await removePushed(new Engine(), { name, stack });
}

/** The options that each command takes. @type {Record<string, string[]>} */
const TAKES = {
  ...{ hash: [], build: [], send: ["to"] },
  ...{ push: ["registry", "through", "stack"], remove: ["stack", "from"] },
};

/** @typedef {"hash" | "build" | "push" | "send" | "remove"} Verb */

/**
 * @param {string[]} argv
 * @returns {{verb: "help" | Verb, name: string, options: Record<string, string>}}
 * @throws {UsageError}
 */
export function readCommand(argv) {
  // There is no other form than JSON.
  const known = { values: ["registry", "through", "to", "from"], flags: ["json"], passThrough: true };
  const { help, values: options, rest } = readArgs(argv, known);
  if (help) return { verb: "help", name: "", options };
  const odd = rest.find((word) => word.startsWith("-"));
  if (odd !== undefined)
    throw new UsageError(
      `image.mjs: ${JSON.stringify(odd)} is not an option. See: node scripts/image.mjs --help`,
    );
  const [given = "", name, ...more] = rest;
  const takes = Object.hasOwn(TAKES, given) ? TAKES[given] : undefined;
  if (!takes) {
    throw new UsageError(
      `image.mjs: ${given ? `${JSON.stringify(given)} is no command` : "a command is missing"}. Allowed: build, hash, push, send, remove. See: node scripts/image.mjs --help`,
    );
  }
  const verb = /** @type {Verb} */ (given);
  const wrong = (/** @type {string} */ what) => new UsageError(`image.mjs ${verb}: ${what}`);
  if (verb === "hash" && name === undefined) return { verb, name: "", options };
  if (name === undefined || !Object.hasOwn(IMAGES, name) || more.length > 0) {
    const said =
      name === undefined ? "no image is named" : `${JSON.stringify([name, ...more].join(" "))} is no image`;
    throw wrong(`${said}. Allowed, one of: ${Object.keys(IMAGES).join(", ")}.`);
  }
  const { registry, through, to, from, stack } = options;
  const odds = Object.keys(options).filter((option) => !takes.includes(option));
  if (odds.length > 0) throw wrong(`--${odds[0]} is not for this command.`);
  if (verb === "push" && !registry && !through) throw wrong("--registry is missing.");
  if (takes.includes("stack") && !stack && !from) throw wrong("--stack is missing.");
  if (verb === "send" && !to) throw wrong("--to is missing.");
  if (from && stack) throw wrong("give one of --stack and --from, not both.");
  for (const [option, target] of Object.entries({ through, to, from }))
    if (target) readTarget(target, `image.mjs ${verb}: --${option}`);
  if (registry && !/^[A-Za-z0-9.-]+:\d{1,5}$/.test(registry)) {
    throw wrong(
      `--registry: ${JSON.stringify(registry)} is no address. Allowed: HOST:PORT, such as 127.0.0.1:5001.`,
    );
  }
  return { verb, name, options };
}

/**
 * @param {string} json
 * @returns {{username: string, password: string}}
 * @throws {UsageError} never with the text in it
 */
export function readAccount(json) {
  const wrong = new UsageError(
    'image.mjs push: standard input must be one JSON object {"username": "...", "password": "..."}, both not empty.',
  );
  /** @type {any} */
  let value;
  try {
    value = JSON.parse(json);
  } catch {
    throw wrong;
  }
  const { username, password } = value ?? {};
  if (typeof username !== "string" || typeof password !== "string" || !username || !password) throw wrong;
  if (username.includes(":")) throw new UsageError('image.mjs push: the user name must not contain ":".');
  return { username, password };
}

/** @param {unknown} value */
function print(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
