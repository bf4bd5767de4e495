/** The commands, their options and what `--help` says of them. What they do is in the files beside this one. */

import { strategies } from "../../../core/gpu";
import { version } from "../../package.json";
import { kinds } from "./ask";
import type { Command, Commander } from "./commander";
import { completionScript, type Shell, shells, type WordList, wordLists } from "./completion";
import { create, list, remove } from "./container";
import type { Context } from "./context";
import { applyDeclared, planDeclared, showDeclared } from "./declared";
import { usage } from "./failure";
import { history, quarantine, queue, release, restore, status } from "./gpu";
import { check, explain, show } from "./limits";
import { health, whoami, words } from "./node";
import { request } from "./request";
import { createToken, listTokens, revokeToken, roles, rotateToken } from "./tokens";

const EXIT_CODES = `

Exit codes:
  0    done
  1    refused by a rule, busy, or not there
  2    wrong words on the command line
  3    berthd cannot be reached, grants nothing at the moment, or failed
  4    not allowed for whoever asks
  130  ended by Ctrl-C`;

const SOCKET = `

berthd is asked at BERTH_SOCKET, else /run/berthd/berth.sock or /run/berth/berth.sock (in a workspace), else
/run/berth/berthd.sock (on a node).`;

function examples(...lines: [string, string][]): string {
  const widest = Math.max(...lines.map(([line]) => line.length));
  return `\nExamples:\n${lines.map(([line, about]) => `  ${line.padEnd(widest)}  ${about}`.trimEnd()).join("\n")}`;
}

/** @param writeErr what commander says of wrong words */
export function buildProgram(
  { Argument, Command, Option }: Commander,
  context: Context,
  writeErr: (text: string) => void,
): Command {
  const program = new Command("berth")
    .description("GPUs and MIG instances of this node: who has which, and how to get one.")
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .configureHelp({ showGlobalOptions: false })
    .configureOutput({ writeOut: context.io.out, writeErr })
    .exitOverride()
    .addHelpText(
      "after",
      examples(
        ["berth gpu status", "what there is, and what is free"],
        ["berth gpu request --profile 1g.10gb --wait 30m", "one MIG instance, as soon as one is free"],
        ["berth container create --grant ID -- nvidia-smi -L", "a container that has it"],
        ["berth limits explain", "what you may have, and which rule says so"],
      ) +
        SOCKET +
        EXIT_CODES,
    );

  /** A command that ends in work; all of them know `--json`, and tell their exit codes. */
  const leaf = (parent: Command, name: string, about: string, shown: [string, string][]) =>
    parent
      .command(name)
      .description(about)
      .option("--json", "one JSON document on standard output, errors as {error: …}")
      .addHelpText("after", examples(...shown) + EXIT_CODES);
  const group = (name: string, about: string) =>
    program.command(name).description(about).helpCommand(false).addHelpText("after", EXIT_CODES.slice(1));
  const ask = (command: Command) =>
    command
      .addOption(
        new Option(
          "--kind <kind>",
          "whole GPUs, MIG instances or a share (default: mig with --profile, else gpu)",
        ).choices(kinds),
      )
      .option("--profile <profile>", "MIG profile, such as 1g.10gb")
      .option("--count <n>", "how many (default: 1)")
      .option("--model <text>", "part of the GPU's model, such as H100")
      .option("--memory <size>", "share: how much; else the least that each must have, such as 20GiB")
      .addOption(
        new Option("--strategy <strategy>", "how a place is chosen (default: the node's)").choices(
          strategies,
        ),
      )
      .option("--pin <uuid>", "exactly this GPU or instance; may be given more than once", collect)
      .option("--user <user>", "for somebody else (administrators)");

  const gpu = group("gpu", "GPUs: what is free, request, release");
  leaf(gpu, "status", "Shows every GPU and MIG instance, and who has it.", [
    ["berth gpu status", ""],
    ["berth gpu status --json | jq '.gpus[].uuid'", ""],
  ]).action((options) => status(context, options));
  ask(
    leaf(gpu, "request", "Asks for GPUs. What is granted is printed; progress goes to standard error.", [
      ["berth gpu request --profile 1g.10gb", "one MIG instance, now or not at all"],
      ["berth gpu request --profile 1g.10gb --count 2 --wait 30m", "waits up to half an hour"],
      ["berth gpu request --kind share --memory 20GiB", "20 GiB of a GPU beside others"],
      ["berth gpu request --kind gpu --model H100 --purpose 'fine-tune'", ""],
    ]),
  )
    .option(
      "--wait [time]",
      "wait for it, such as 90s, 30m, 2h (without a time: 1h); Ctrl-C withdraws the request",
    )
    .option("--purpose <text>", "what for, shown to administrators and in the history")
    .action((options) => request(context, options));
  leaf(gpu, "release <id>", "Gives back what a grant has, or withdraws a request that waits.", [
    ["berth gpu release 3f9a0c", ""],
  ])
    .option("--force", "also while a container has it (administrators)")
    .action((id, options) => release(context, id, options));
  leaf(gpu, "quarantine <uuid>", "Puts a GPU out of use; who holds it keeps it (administrators).", [
    ["berth gpu quarantine GPU-8f1a… --reason 'ECC errors'", ""],
  ])
    .requiredOption("--reason <text>", "why, shown to everybody")
    .action((uuid, options) => quarantine(context, uuid, options));
  leaf(gpu, "restore <uuid>", "Puts a GPU back that was out of use and is well again (administrators).", [
    ["berth gpu restore GPU-8f1a…", ""],
  ]).action((uuid, options) => restore(context, uuid, options));
  leaf(gpu, "queue", "Shows the requests that wait, in the order in which they would be granted.", [
    ["berth gpu queue", ""],
  ]).action((options) => queue(context, options));
  leaf(gpu, "history", "Shows grants, the latest first, those that are over too.", [
    ["berth gpu history --limit 20", ""],
    ["berth gpu history --before 1042", "the page before the grant with number 1042"],
  ])
    .option("--user <user>", "of this user alone")
    .option("--limit <n>", "at most so many (default: 50)")
    .option("--before <number>", "only what was granted before this number (column NO)")
    .action((options) => history(context, options));

  const container = group("container", "Containers beside your workspace, with a GPU or without");
  ask(
    leaf(
      container,
      "create <command...>",
      "Starts a container, with the GPUs of a grant or those asked for. Where it does not start, a grant that was named stays.",
      [
        [
          "berth container create --grant gmwqbt5da -- python train.py",
          "with what berth gpu request was granted",
        ],
        [
          "berth container create --profile 1g.10gb -- nvidia-smi -L",
          "with one MIG instance, where one is free",
        ],
        ["berth container create --name build -- make -j4", "without a GPU"],
      ],
    ),
  )
    .option("--grant <grant>", "the GPUs of this grant of yours, which no container has")
    .option("--image <image>", "by id or digest (default: your workspace's)")
    .option("--name <name>", "letters, digits and '-' (default: made up)")
    .action((command: string[], options) => create(context, command, options));
  leaf(container, "list", "Shows your containers, your workspace too.", [["berth container list", ""]])
    .option("--user <user>", "of this user alone (administrators)")
    .action((options) => list(context, options));
  leaf(
    container,
    "remove <container>",
    "Stops a container and removes it with all that it wrote; what it had of GPUs is free then.",
    [["berth container remove berth-dev-alice.build", ""]],
  ).action((name: string, options) => remove(context, name, options));

  const limits = group("limits", "Limits: what one may have, and which rule says so");
  leaf(limits, "show [user]", "Shows the limits of a user: yours when none is named.", [
    ["berth limits show", ""],
    ["berth limits show alice", "somebody else's (administrators)"],
  ]).action((user, options) => show(context, user, options));
  leaf(
    limits,
    "explain [user]",
    "Shows for each limit the rule that set it, and the rules that it overrides.",
    [["berth limits explain", ""]],
  ).action((user, options) => explain(context, user, options));
  ask(
    leaf(limits, "check", "Says whether a request would be granted now; changes nothing.", [
      ["berth limits check --profile 2g.20gb --count 2", ""],
    ]),
  ).action((options) => check(context, options));

  const declared = group("declared", "What the stack declares for this node (administrators; always JSON)");
  leaf(
    declared,
    "plan",
    'Reads {"declared": [...]} from standard input and prints who would get what; changes nothing.',
    [["berth declared plan <declared.json", ""]],
  ).action(() => planDeclared(context));
  leaf(
    declared,
    "apply",
    'Reads {"declared": [...], "expect": {...}} from standard input and grants exactly that, or nothing.',
    [["berth declared apply <declared.json", ""]],
  ).action(() => applyDeclared(context));
  leaf(declared, "show", "Prints what the declared grants have.", [["berth declared show", ""]]).action(() =>
    showDeclared(context),
  );

  program
    .command("pool", { hidden: true })
    .argument("[words...]")
    .allowUnknownOption()
    .action(() => {
      throw usage("berth pool is called berth declared now", { fix: "berth declared plan, apply, show" });
    });

  const token = group("token", "Tokens for the API over TCP (administrators)");
  leaf(token, "create", "Makes a token. It is printed once, and only its hash is kept.", [
    ["berth token create --role user --user alice --expires 30d", ""],
    ["berth token create --role service --name manager", ""],
    ["berth token create --role tenant --tenant web-ide", "for a back-end with containers of its own"],
  ])
    .addOption(new Option("--role <role>", "what it may do").choices(roles).makeOptionMandatory())
    .option("--user <user>", "whom it stands for; needed with --role user")
    .option(
      "--tenant <tenant>",
      "whom it stands for: one of tenants in /etc/berth/agent/node.json, which no setting of the stack writes yet; needed with --role tenant",
    )
    .option("--name <text>", "what it is for")
    .option("--expires <time>", "when it ends, such as 12h or 30d (default: when it is revoked)")
    .option("--rate <number>", "requests a minute (default: 1200 for role user, 6000 for service and tenant)")
    .action((options) => createToken(context, options));
  leaf(token, "list", "Shows the tokens, and which one replaces which; never their secrets.", [
    ["berth token list", ""],
  ]).action((options) => listTokens(context, options));
  leaf(
    token,
    "rotate <token>",
    "Makes a token in place of another one, by its id: for the same, and as long-lived as that was made.",
    [
      ["berth token rotate ab12cd34", "the old one stays good for a day"],
      ["berth token rotate ab12cd34 --keep 0", "the old one ends at once"],
    ],
  )
    .option(
      "--keep <time>",
      "how long the old one stays good, from 0 to 30d; never longer than it was",
      "24h",
    )
    .action((id, options) => rotateToken(context, id, options));
  leaf(token, "revoke <token>", "Ends a token, by its id.", [["berth token revoke ab12cd34", ""]]).action(
    (id, options) => revokeToken(context, id, options),
  );

  leaf(program, "health", "Says whether berthd grants, and if not, why.", [["berth health", ""]]).action(
    (options) => health(context, options),
  );
  leaf(program, "whoami", "Says whom berthd takes you for.", [["berth whoami", ""]]).action((options) =>
    whoami(context, options),
  );
  program
    .command("completion")
    .description("Prints the completion script of a shell.")
    .addArgument(new Argument("<shell>", "whose").choices(shells))
    .addHelpText(
      "after",
      examples(
        ["source <(berth completion bash)", "for this shell"],
        ["berth completion bash >/etc/bash_completion.d/berth", "for all"],
      ),
    )
    .action((shell: Shell) => context.io.out(completionScript(program, shell)));
  program
    .command("__words", { hidden: true })
    .addArgument(new Argument("<list>").choices(wordLists))
    .action((list: WordList) => words(context, list));
  return program;
}

function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}
