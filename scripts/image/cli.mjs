/**
 * @file Command line of `node scripts/image.mjs`. One JSON line or one hash on stdout; all progress on stderr.
 */
import { checkStackName, UsageError } from "../lib/args.mjs";
import { CommandError, handleSignals, Interrupted } from "../lib/process.mjs";
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
 * @param {string[]} argv
 * @returns {Promise<number>} exit code
 */
export async function main(argv) {
  handleSignals();
  try {
    const { verb, name, options } = readCommand(argv);
    if (verb === "help") {
      process.stdout.write(HELP);
    } else if (verb === "hash") {
      if (name) process.stdout.write(`${contentHash(name)}\n`);
      else print(contentHashes());
    } else if (verb === "build") {
      print(await buildImage(name));
    } else if (verb === "push") {
      const { stack = "", through } = options;
      const far = through && { target: readTarget(through, "--through"), sshOptions: readSshOptions() };
      const registry = options.registry ?? FAR_REGISTRY;
      const account = readAccount(await readStdin());
      print(await pushImage(new Engine(), { name, registry, stack, account, through: far || undefined }));
    } else if (verb === "send") {
      const target = readTarget(options.to ?? "", "--to");
      print(await sendImage(new Engine(), { name, target, sshOptions: readSshOptions() }));
    } else if (options.from) {
      await dropSent({ name, target: readTarget(options.from, "--from"), sshOptions: readSshOptions() });
    } else {
      await removePushed(new Engine(), { name, stack: options.stack ?? "" });
    }
    return 0;
  } catch (error) {
    return report(error);
  }
}

/**
 * @param {string[]} argv
 * @returns {{verb: "help" | "hash" | "build" | "push" | "send" | "remove", name: string, options: Record<string, string>}}
 * @throws {UsageError}
 */
export function readCommand(argv) {
  /** @type {Record<string, string>} */
  const options = {};
  /** @type {string[]} */
  const words = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    if (word === "--help" || word === "-h") return { verb: "help", name: "", options };
    if (word === "--json") continue; // The only form there is.
    const match = /^--(registry|stack|through|to|from)(?:=(.*))?$/.exec(word);
    if (match) {
      const value = match[2] ?? argv[++i];
      if (!value) throw new UsageError(`image.mjs: --${match[1]}: a value is missing after it.`);
      options[/** @type {string} */ (match[1])] = value;
    } else if (word.startsWith("-")) {
      throw new UsageError(
        `image.mjs: ${JSON.stringify(word)} is not an option. See: node scripts/image.mjs --help`,
      );
    } else words.push(word);
  }
  const [verb, name, ...more] = words;
  if (verb !== "hash" && verb !== "build" && verb !== "push" && verb !== "send" && verb !== "remove") {
    throw new UsageError(
      `image.mjs: ${verb ? `${JSON.stringify(verb)} is no command` : "a command is missing"}. Allowed: build, hash, push, send, remove. See: node scripts/image.mjs --help`,
    );
  }
  if (verb === "hash" && name === undefined) return { verb, name: "", options };
  if (name === undefined || !Object.hasOwn(IMAGES, name) || more.length > 0) {
    const given =
      name === undefined ? "no image is named" : `${JSON.stringify([name, ...more].join(" "))} is no image`;
    throw new UsageError(`image.mjs ${verb}: ${given}. Allowed, one of: ${Object.keys(IMAGES).join(", ")}.`);
  }
  /** @type {Record<string, string[]>} */
  const wanted = { push: ["registry", "stack"], send: ["to"], remove: ["stack"] };
  /** @type {Record<string, string[]>} */
  const others = { push: ["through"], remove: ["from"] };
  for (const option of wanted[verb] ?? []) {
    if (option === "registry" && options.through) continue;
    if (verb === "remove" && options.from) continue;
    if (!options[option]) throw new UsageError(`image.mjs ${verb}: --${option} is missing.`);
  }
  for (const option of Object.keys(options)) {
    if (!wanted[verb]?.includes(option) && !others[verb]?.includes(option))
      throw new UsageError(`image.mjs ${verb}: --${option} is not for this command.`);
  }
  if (options.from && options.stack)
    throw new UsageError("image.mjs remove: give one of --stack and --from, not both.");
  if (options.stack) checkStackName(options.stack);
  if (options.through) readTarget(options.through, "image.mjs push: --through");
  if (options.to) readTarget(options.to, "image.mjs send: --to");
  if (options.from) readTarget(options.from, "image.mjs remove: --from");
  if (options.registry && !/^[A-Za-z0-9.-]+:\d{1,5}$/.test(options.registry)) {
    throw new UsageError(
      `image.mjs push: --registry: ${JSON.stringify(options.registry)} is no address. Allowed: HOST:PORT, such as 127.0.0.1:5001.`,
    );
  }
  return { verb, name, options };
}

/**
 * @param {string} text
 * @returns {{username: string, password: string}}
 * @throws {UsageError} never with the text in it
 */
export function readAccount(text) {
  const wrong = new UsageError(
    'image.mjs push: standard input must be one JSON object {"username": "...", "password": "..."}, both not empty.',
  );
  /** @type {any} */
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw wrong;
  }
  const { username, password } = value ?? {};
  if (typeof username !== "string" || typeof password !== "string" || !username || !password) throw wrong;
  if (username.includes(":")) throw new UsageError('image.mjs push: the user name must not contain ":".');
  return { username, password };
}

async function readStdin() {
  let text = "";
  for await (const chunk of process.stdin.setEncoding("utf8")) text += chunk;
  return text;
}

/** @param {unknown} value */
function print(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/**
 * @param {unknown} error
 * @returns {number} exit code
 */
function report(error) {
  if (error instanceof Interrupted || error instanceof UsageError) {
    process.stderr.write(`${error.message}\n`);
    return error.exitCode;
  }
  if (error instanceof CommandError) {
    const tail = error.output.slice(-20).map((line) => `  | ${line}`);
    process.stderr.write(`${[error.message, ...tail].join("\n")}\n`);
    return 1;
  }
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  return 1;
}
