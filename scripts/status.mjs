/**
 * @file `npm run status`: what is up, as a table or JSON; and, only when asked for, one user's secrets.
 */
import { readArgs, UsageError } from "./lib/args.mjs";
import { expectedOf } from "./lib/containers.mjs";
import { credentialText } from "./lib/credentials.mjs";
import { askOperator, readDeployment } from "./lib/down.mjs";
import { askNodes, assemble, problemsOf } from "./lib/live.mjs";
import { runMain } from "./lib/main.mjs";
import { ROOT, stackDir } from "./lib/paths.mjs";
import { handleSignals, run } from "./lib/process.mjs";
import { requirePulumi, toolEnvironment } from "./lib/pulumi-env.mjs";
import { asRoot, sshToNode } from "./lib/ssh.mjs";
import { statusTable } from "./lib/status-table.mjs";
import { readCluster } from "./lib/up.mjs";

/** Where a node keeps the token (components/ray). */
const RAY_TOKEN = "/var/lib/berth/ray/token";

const HELP = `npm run status -- [--stack NAME] [--json] [--credentials USER] [--ray-token]

What is up: nodes, workspaces, Ray, and why what is down is down; how to reach it from this computer.

  --json               JSON: {stack, nodes, users, ray, down} (with npm run -s)
  --credentials USER   prints that user's passwords and tokens instead; with --json under the output's names
  --ray-token          prints the token that Ray's dashboard asks for instead
  --stack NAME         the stack; default dev

Exit codes: 0 all is up, 3 something is down, 1 it cannot be told, 2 wrong options, 130 stopped by Ctrl-C.
`;

await runMain(async () => {
  const { stack, help, flags, values } = readArgs(process.argv.slice(2), {
    flags: ["json", "ray-token"],
    values: ["credentials"],
  });
  if (help) {
    process.stdout.write(HELP);
    return 0;
  }
  handleSignals();
  const { env, at } = toolEnvironment();
  requirePulumi(env);
  if (values.credentials) return printCredentials(env, stack, values.credentials, flags.has("json"));
  const outputs = await readCluster(env, stack, stackDir(at, stack));
  const warn = (/** @type {string} */ line) => process.stderr.write(`${line}\n`);
  if (flags.has("ray-token")) return printRayToken(env, outputs, stackDir(at, stack));
  const expected = expectedOf(await readDeployment({ at, env, cwd: ROOT }, stack));
  const [answers, engine] = await Promise.all([
    askNodes(stack, outputs, { folder: stackDir(at, stack), env, warn }),
    askOperator(stack, expected, env, warn),
  ]);
  const status = assemble(stack, outputs, answers, { expected, engine });
  const problems = problemsOf(status, outputs);
  if (flags.has("json")) process.stdout.write(`${JSON.stringify(status, null, 2)}\n`);
  else
    process.stdout.write(
      `${statusTable(status, outputs, { stack, folder: stackDir(at, stack) })}\n${problems.length > 0 ? `\nNot as it should be:\n${problems.map((line) => `  ${line}`).join("\n")}\n` : ""}`,
    );
  return problems.length > 0 ? 3 : 0;
});

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {string} stack
 * @param {string} user
 * @param {boolean} json
 */
async function printCredentials(env, stack, user, json) {
  const args = ["stack", "output", "credentials", "--show-secrets", "--json", "--stack", stack];
  const all = JSON.parse((await run("pulumi", args, { env, cwd: ROOT, deadlineMs: 60_000 })).stdout);
  if (!Object.hasOwn(all, user)) {
    throw new UsageError(
      `--credentials: stack ${stack} has no user ${JSON.stringify(user)}. Its users: ${Object.keys(all).join(", ") || "none"}.`,
    );
  }
  const text = json ? JSON.stringify(all[user], null, 2) : credentialText(all[user]);
  process.stdout.write(`${text.trimEnd()}\n`);
  return 0;
}

/**
 * The cluster's Ray token, from the head: the stack's outputs do not hold it.
 * @param {NodeJS.ProcessEnv} env
 * @param {import("./lib/live.mjs").Outputs} outputs
 * @param {string} folder
 */
async function printRayToken(env, outputs, folder) {
  const head = outputs.nodes?.find(({ role }) => role === "head");
  if (!head || !outputs.ray) throw new UsageError("--ray-token: this stack has no Ray.");
  const args = [...sshToNode(folder, head), asRoot(head, `cat ${RAY_TOKEN}`)];
  const { stdout } = await run("ssh", args, { env, deadlineMs: 15_000 });
  process.stdout.write(`${stdout.trim()}\n`);
  return 0;
}
