/**
 * @file `npm run status`: what is up, as a table or JSON; and, only when asked for, the secrets of one user or back-end.
 */
import { readArgs, UsageError } from "./lib/args.mjs";
import { expectedOf } from "./lib/containers.mjs";
import { credentialText } from "./lib/credentials.mjs";
import { askOperator, readDeployment } from "./lib/down.mjs";
import { askNodes, assemble, problemsOf } from "./lib/live.mjs";
import { runMain } from "./lib/main.mjs";
import { envFile, managerEnv } from "./lib/manager-env.mjs";
import { ROOT, stackDir } from "./lib/paths.mjs";
import { handleSignals, run } from "./lib/process.mjs";
import { requirePulumi, toolEnvironment } from "./lib/pulumi-env.mjs";
import { asRoot, sshToNode } from "./lib/ssh.mjs";
import { statusTable } from "./lib/status-table.mjs";
import { readCluster } from "./lib/up.mjs";

/** Where a node keeps the token (components/ray). */
const RAY_TOKEN = "/var/lib/berth/ray/token";

const HELP = `npm run status -- [--stack NAME] [--json] [--credentials USER] [--ray-token]
              [--env NODE [--tenant NAME]]

What is up: nodes, workspaces, Ray, and why what is down is down; how to reach it from this computer.

  --json               JSON: {stack, nodes, users, ray, down} (with npm run -s)
  --credentials USER   prints that user's passwords and tokens instead; with --json under the output's names
  --ray-token          prints the token that Ray's dashboard asks for instead
  --env NODE           prints what a back-end needs to reach that node, its token too, as an env file instead
  --tenant NAME        with --env: which back-end; needed where the node has several
  --stack NAME         the stack; default dev

Exit codes: 0 all is up, 3 something is down, 1 it cannot be told, 2 wrong options, 130 stopped by Ctrl-C.
`;

await runMain(async () => {
  const { stack, help, flags, values } = readArgs(process.argv.slice(2), {
    flags: ["json", "ray-token"],
    values: ["credentials", "env", "tenant"],
  });
  if (help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (values.tenant && !values.env) throw new UsageError("--tenant can be used with --env NODE alone.");
  handleSignals();
  const { env, at } = toolEnvironment();
  requirePulumi(env);
  if (values.credentials) return printCredentials(env, stack, values.credentials, flags.has("json"));
  if (values.env) return printEnv(env, stack, values.env, values.tenant, flags.has("json"));
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
  const all = await secretOutputs(env, stack, ["credentials"]);
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
 * @param {NodeJS.ProcessEnv} env
 * @param {string} stack
 * @param {string} node
 * @param {string | undefined} tenant
 * @param {boolean} json
 */
async function printEnv(env, stack, node, tenant, json) {
  const found = managerEnv(await secretOutputs(env, stack), { stack, node, ...(tenant && { tenant }) });
  process.stdout.write(json ? `${JSON.stringify(found, null, 2)}\n` : envFile(found));
  return 0;
}

/**
 * The stack's outputs, or one of them, with their secrets.
 * @param {NodeJS.ProcessEnv} env
 * @param {string} stack
 * @param {string[]} name
 */
async function secretOutputs(env, stack, name = []) {
  const args = ["stack", "output", ...name, "--show-secrets", "--json", "--stack", stack];
  return JSON.parse((await run("pulumi", args, { env, cwd: ROOT, deadlineMs: 60_000 })).stdout);
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
