/**
 * @file What a back-end needs of a node's container manager, as an env file. Pure.
 */
import { UsageError } from "./args.mjs";

/**
 * @typedef {{DOCKER_HOST: string, DOCKER_HOST_URL: string, DOCKER_API_SECRET: string}} ManagerOutput
 * @typedef {{managers?: Record<string, ManagerOutput>, tenantTokens?: Record<string, Record<string, string>>}} ManagerOutputs
 */

/**
 * @param {ManagerOutputs} outputs of the stack, with their secrets
 * @param {{stack: string, node: string, tenant?: string}} which
 * @returns {ManagerOutput}
 * @throws {UsageError} no such node or tenant, or it is not said which tenant
 */
export function managerEnv({ managers = {}, tenantTokens = {} }, { stack, node, tenant }) {
  const manager = Object.hasOwn(managers, node) ? managers[node] : undefined;
  if (!manager) {
    const names = Object.keys(managers).join(", ");
    throw new UsageError(
      `--env: no node ${JSON.stringify(node)} of stack ${stack} has a container manager. ${names ? `Those that have one: ${names}.` : "The stack has none: berth:manager, then npm run up."}`,
    );
  }
  const tokens = tenantTokens[node] ?? {};
  const names = Object.keys(tokens);
  const [only] = names;
  const chosen = tenant ?? (names.length === 1 ? only : undefined);
  const token = chosen !== undefined && Object.hasOwn(tokens, chosen) ? tokens[chosen] : undefined;
  if (token === undefined) {
    const what =
      tenant === undefined
        ? `${node} has more than one tenant: say which with --tenant.`
        : `--tenant: ${node} has no tenant ${JSON.stringify(tenant)}.`;
    throw new UsageError(`${what} Its tenants: ${names.join(", ") || "none"}.`);
  }
  return { ...manager, DOCKER_API_SECRET: token };
}

/**
 * @param {ManagerOutput} env
 * @returns {string} lines that a shell and Docker's --env-file read alike: no value has anything in it that needs quotes
 */
export const envFile = (env) =>
  ["DOCKER_HOST", "DOCKER_HOST_URL", "DOCKER_API_SECRET"]
    .map((name) => `${name}=${env[/** @type {keyof ManagerOutput} */ (name)]}\n`)
    .join("");
