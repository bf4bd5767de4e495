/**
 * The network of the test machines, without a machine.
 *
 * Proves: a client reaches this computer in both families, and has a way to that network alone; nothing of it is left when
 * it is closed, what a killed run left goes when the next one begins, and no second one begins beside it.
 */
import { execFileSync } from "node:child_process";
import { createServer, type Server } from "node:http";
import { afterAll, beforeAll, expect, it } from "vitest";
import { answers } from "../lib/client";
import { operator, Site, type SiteClient } from "./lib/site";

const listed = (...args: string[]) => execFileSync("ip", args, { encoding: "utf8" });
/** No process has this number: the kernel's highest is 2^22. */
const DEAD = "berth-machines-9999999";

let site: Site;
let client: SiteClient;
/** On the addresses in that network alone: nothing is opened to others. */
const servers: Server[] = [];
let port = 0;

beforeAll(async () => {
  const { sweepMachines } = await import("../../scripts/machines/sweep.mjs");
  listed("netns", "add", DEAD);
  await sweepMachines();
  site = await Site.create();
  client = await site.client("client", 20);
  for (const address of [operator.address, operator.address6]) {
    const server = createServer((_, response) => response.end("here"));
    servers.push(server);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject).listen(port, address, resolve);
    });
    port = (server.address() as { port: number }).port;
  }
});

afterAll(async () => {
  for (const server of servers) server.close();
  await site?.close();
});

it("joins this computer and its clients, in IPv4 and IPv6", async () => {
  expect(await answers(client.inside, operator.address, port, 15)).toBe(true);
  expect(await answers(client.inside, operator.address6, port, 15)).toBe(true);
  // Nobody has port 1 (tcpmux).
  expect(await answers(client.inside, operator.address, 1)).toBe(false);
});

it("has a port for each machine", async () => {
  expect([await site.tap(), await site.tap()]).toEqual(["tap0", "tap1"]);
});

it("leads nowhere else", () => {
  const [program = "", ...words] = client.inside;
  const routes = (family: string) =>
    execFileSync(program, [...words, "ip", family, "route"], { encoding: "utf8" })
      .trim()
      .split("\n")
      .map((line) => line.split(" ")[0]);
  expect(routes("-4")).toEqual(["10.98.0.0/24"]);
  // Some kernels list the way to oneself too.
  expect(routes("-6").filter((to) => to !== "::1")).toEqual(["fd00:98::/64", "fe80::/64"]);
});

it("is not made where another run has it", async () => {
  await expect(Site.create()).rejects.toThrow(
    `is on this computer already, at bm${process.pid}. Wait for the other run`,
  );
});

it("removes what a killed run left", () => expect(listed("netns", "list")).not.toContain(DEAD));

it("leaves nothing", async () => {
  await site.close();
  expect(listed("netns", "list")).not.toContain(`berth-machines-${process.pid}`);
  expect(listed("link")).not.toContain(`bm${process.pid}`);
});
