/**
 * @file Looks at the servers of a stack, side by side.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../lib/args.mjs";
import { CommandError, run } from "../lib/process.mjs";
import { sshTo } from "../lib/ssh.mjs";
import { stackFile } from "../lib/stack-file.mjs";

/** The slowest of its steps have two minutes each. */
const DEADLINE_MS = 10 * 60_000;

/**
 * @param {typeof import("./looks.js")} program
 * @param {object} options
 * @param {string} options.stack
 * @param {string[]} options.names nodes; empty: all servers
 * @param {string} options.root where the stack's file is
 * @param {string} options.operatorKey the stack's own key, which may not be there yet
 * @param {NodeJS.ProcessEnv} options.env
 * @param {(nodes: string[]) => void} [options.onStart]
 * @returns {Promise<import("./looks.js").Report[]>} one for each server, in the order of the configuration
 * @throws {UsageError} for a mistake in the configuration, or something missing on this computer
 */
export async function lookAt(program, { stack, names, root, operatorKey, env, onStart }) {
  const file = stackFile(stack, root);
  if (!existsSync(file)) throw new UsageError(`There is no stack ${stack}: ${file} does not exist.`);
  const raw = program.rawConfig(readFileSync(file, "utf8"), readFileSync(join(root, "Pulumi.yaml"), "utf8"));
  const temporary = mkdtempSync(join(tmpdir(), "berth-preflight-"));
  try {
    const found = program.looks(stack, raw, names, (node) => ({
      knownHosts: join(temporary, node),
      operatorKey,
      hasOperatorKey: existsSync(operatorKey),
    }));
    onStart?.(found.map(({ node }) => node));
    return await Promise.all(
      found.map(async (look) => {
        writeFileSync(join(temporary, look.node), look.knownHosts, { mode: 0o600 });
        const { code, stdout, stderr } = await onServer(look, env);
        return program.readReport(look, code, stdout, stderr);
      }),
    );
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/**
 * Never fails but by Ctrl-C: a server that does not answer is a line of the report.
 * @param {import("./looks.js").Look} look
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<{code: number | null, stdout: string, stderr: string}>}
 */
async function onServer({ user, address, port, sshOptions, command }, env) {
  const args = ["-F", "none", ...sshTo({ user, host: address, port }, sshOptions), command];
  const okCodes = Array.from({ length: 256 }, (_, code) => code);
  try {
    return await run("ssh", args, { env, deadlineMs: DEADLINE_MS, okCodes });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { code: null, stdout: "", stderr: [error.message, ...error.output].join("\n") };
  }
}
