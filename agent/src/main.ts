import { Berthd } from "./berthd";
import { checkConfig } from "./check";
import { FileProblem } from "./config";
import { makeLog } from "./log";
import { agentPaths } from "./paths";
import { StoreError } from "./store";

/** berthd, the daemon of a node. Exit codes are those of sysexits.h, so that systemd and people can tell them apart. */
const exitCodes = { usage: 64, failed: 70, io: 74, locked: 75, config: 78 } as const;

const usage = `usage: berthd [--check [DECLARED]]
  --check   reads node.json, limits.json and gpus.json, says what is wrong with them, and ends
  DECLARED  a file with what "berth declared show --json" printed: GPUs that somebody holds may not change`;

function exitCode(error: unknown): number {
  if (error instanceof FileProblem) return exitCodes.config;
  if (error instanceof StoreError) {
    if (error.trouble === "locked") return exitCodes.locked;
    if (error.trouble === "newer") return exitCodes.config;
    return exitCodes.io;
  }
  return exitCodes.failed;
}

async function main(argv: readonly string[]): Promise<void> {
  const paths = agentPaths();
  if (argv.length > 2 || (argv.length > 0 && argv[0] !== "--check")) {
    console.error(usage);
    process.exitCode = exitCodes.usage;
    return;
  }
  if (argv[0] === "--check") {
    const problems = checkConfig(paths, argv[1]);
    for (const problem of problems) console.error(problem);
    if (problems.length === 0) console.log(`The files in ${paths.configFolder} are good.`);
    else process.exitCode = exitCodes.config;
    return;
  }
  const log = makeLog();
  let berthd: Berthd | undefined;
  let ending = false;
  const end = async (why: string, code: number) => {
    if (ending) return;
    ending = true;
    log.info({ why }, "berthd ends");
    // Whatever hangs, systemd is not kept waiting.
    setTimeout(() => process.exit(code || exitCodes.failed), 20_000).unref();
    try {
      await berthd?.stop(why);
      process.exit(code);
    } catch (error) {
      log.fatal({ err: error }, "berthd did not end well");
      process.exit(exitCodes.failed);
    }
  };
  process.on("SIGTERM", () => void end("SIGTERM", 0));
  process.on("SIGINT", () => void end("SIGINT", 0));
  process.on("SIGHUP", () => berthd?.reload());
  process.on("uncaughtException", (error) => {
    // What is in memory may be half done; the database is whole, and the next start reads it.
    log.fatal({ err: error }, "an error that nobody expected; berthd ends");
    process.exit(exitCodes.failed);
  });
  process.on("unhandledRejection", (error) => {
    log.fatal({ err: error }, "an error that nobody expected; berthd ends");
    process.exit(exitCodes.failed);
  });
  try {
    berthd = new Berthd({
      paths,
      log,
      env: process.env,
      onFatal: (error) => void end(error.message, exitCodes.io),
    });
    await berthd.start();
  } catch (error) {
    log.fatal({ err: error }, "berthd cannot start");
    // Also in plain words: the last line that people see in the journal.
    console.error((error as Error).message);
    process.exit(exitCode(error));
  }
}

void main(process.argv.slice(2));
