/**
 * @file A node behind a program named `ssh`: `berth declared show` and `apply` on a ledger that is a file, with the daemon's
 * own core. Run as `node gpu-node.cjs FOLDER SSH_WORDS…`; FOLDER/NODE.json, NODE being the host, holds the node:
 * `inventory`, `grants`, `nextToken`, and how it behaves (`down`: a text, `absent`: true).
 */
const { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");

const root = join(__dirname, "..", "..");
require("ts-node").register({ project: join(root, "tsconfig.json"), cwd: root });
const { applyDeclared, apply, createState } = require("../../core/gpu");
const { resolveLimits } = require("../../core/limits");

const [folder = "", ...words] = process.argv.slice(2);
const host = words.at(-2) ?? "";
const command = /berth declared (show|apply) --json/.exec(words.at(-1) ?? "")?.[1];
const file = join(folder, `${host}.json`);
appendFileSync(join(folder, "calls"), `${host} ${command}\n`);

if (!existsSync(file)) {
  process.stderr.write(`ssh: connect to host ${host} port 22: Connection refused\n`);
  process.exit(255);
}
const node = JSON.parse(readFileSync(file, "utf8"));
if (node.down) {
  process.stderr.write(`${node.down}\n`);
  process.exit(255);
}
process.stdout.write("Last login: yesterday\nBERTH-ANSWER\n");
if (node.absent) process.exit(127);

const state = createState(node.inventory, node.grants, { nextToken: node.nextToken });
const assignment = () =>
  Object.fromEntries(
    [...state.grants.values()]
      .filter(({ key, dropped }) => key && !dropped)
      .map(({ key, units }) => [key, units]),
  );
/** @param {unknown} value @param {number} code */
const answer = (value, code = 0) => {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
  process.exitCode = code;
};

if (command === "show")
  answer({ assignment: assignment(), inventory: node.inventory, grants: [...state.grants.values()] });
else {
  const { declared, expect } = JSON.parse(readFileSync(0, "utf8"));
  let id = state.nextToken;
  const decision = applyDeclared(
    state,
    {
      now: Date.now(),
      newId: () => `g${id++}`,
      limitsOf: (user) => resolveLimits(node.limits, user),
      strategy: "least-allocated",
      allowShared: false,
    },
    { declared, ...(expect ? { expect } : {}) },
  );
  if (decision.ok) {
    apply(state, decision.changes);
    const after = { ...node, grants: [...state.grants.values()], nextToken: state.nextToken };
    writeFileSync(`${file}.new`, JSON.stringify(after));
    renameSync(`${file}.new`, file);
    answer({ ...decision.value, assignment: assignment() });
  } else answer({ error: decision.refusal }, 1);
}
