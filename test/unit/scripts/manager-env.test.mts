/**
 * What `npm run status -- --env NODE` prints. Proves: the env file has a back-end's three variables and nothing else, with the token of the
 * tenant that is meant; whoever does not say which, or names what is not there, is told what there is, and no secret.
 */
import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { UsageError } from "../../../scripts/lib/args.mjs";
import { envFile, managerEnv } from "../../../scripts/lib/manager-env.mjs";

const [ide, bench] = ["ab".repeat(32), "cd".repeat(32)];
const manager = {
  DOCKER_HOST: "192.0.2.10",
  DOCKER_HOST_URL: "http://192.0.2.10:8080",
  DOCKER_API_SECRET: ide,
};
const one = { managers: { "docker-host": manager }, tenantTokens: { "docker-host": { "web-ide": ide } } };
const two = { ...one, tenantTokens: { "docker-host": { "web-ide": ide, bench } } };
const which = { stack: "manager", node: "docker-host" };

const refused = (outputs: object, more: object): string => {
  try {
    managerEnv(outputs, { ...which, ...more });
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as Error).message;
  }
  throw new Error("it was not refused");
};

describe("the env file of a back-end", () => {
  it("is read by a shell as it was meant", () => {
    const text = envFile(managerEnv(one, which));
    const names = Object.keys(manager);
    const said = execFileSync("bash", [
      "-c",
      `set -a; eval "$0"; printf '%s\\n' ${names.map((name) => `"$${name}"`).join(" ")}`,
      text,
    ]);
    expect(said.toString().trimEnd().split("\n")).toEqual(Object.values(manager));
    expect(text.split("\n")).toHaveLength(4);
  });

  it("has the token of the tenant that is named, also of the only one", () => {
    expect(managerEnv(two, { ...which, tenant: "bench" }).DOCKER_API_SECRET).toBe(bench);
    expect(managerEnv(two, { ...which, tenant: "web-ide" }).DOCKER_API_SECRET).toBe(ide);
    expect(managerEnv(one, { ...which, tenant: "web-ide" })).toEqual(manager);
  });

  it.each<[string, object, object, RegExp]>([
    ["which of several tenants is meant", two, {}, /more than one tenant.*--tenant.*web-ide, bench/],
    ["a tenant that is not there", one, { tenant: "bench" }, /no tenant "bench".*Its tenants: web-ide/],
    ["a name that every object has", one, { tenant: "constructor" }, /no tenant "constructor"/],
    ["a node without a manager", one, { node: "node-1" }, /no node "node-1".*docker-host/],
    ["a name that every object has, for a node", one, { node: "toString" }, /no node "toString"/],
    ["a stack without a manager", {}, {}, /The stack has none: berth:manager/],
  ])("is not made, and names what there is: %s", (_, outputs, more, message) => {
    const said = refused(outputs, more);
    expect(said).toMatch(message);
    expect(said).not.toContain(ide);
  });
});
