/**
 * @file `eval "$(npm run -s env)"`: lets plain `pulumi` commands in this shell use Berth's stacks.
 */
import { delimiter } from "node:path";
import { readArgs } from "./lib/args.mjs";
import { shellQuote } from "./lib/format.mjs";
import { runMain } from "./lib/main.mjs";
import { pulumiVariables, toolEnvironment } from "./lib/pulumi-env.mjs";

const HELP = `eval "$(npm run -s env -- [--stack NAME])"

Prints what a POSIX shell needs for plain pulumi commands: PATH, backend, passphrase file (its name, not
the passphrase), plugins. What you have set yourself (PULUMI_BACKEND_URL, …) stays.

  --stack NAME   the stack that pulumi works on; default dev

Exit codes: 0 done, 2 wrong options.
`;

await runMain(async () => {
  const { stack, help } = readArgs(process.argv.slice(2));
  if (help) {
    process.stdout.write(HELP);
    return;
  }
  const { env, at, path } = toolEnvironment();
  const set = { ...pulumiVariables(process.env, at), PULUMI_STACK: stack };
  if (env.DOCKER_HOST && !process.env.DOCKER_HOST) Object.assign(set, { DOCKER_HOST: env.DOCKER_HOST });
  for (const [name, value] of Object.entries(set))
    process.stdout.write(`export ${name}=${shellQuote(value)}\n`);
  if (path.length > 0) process.stdout.write(`export PATH=${shellQuote(path.join(delimiter))}:"$PATH"\n`);
});
