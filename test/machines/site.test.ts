/**
 * The network of the test machines, without a machine.
 *
 * Proves: this computer, clients and what runs on the bridge reach each other in both families; nothing of it is left when it is
 * closed, and what a killed run left goes when the next one begins.
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
let server: Server;
let port = 0;

beforeAll(async () => {
  listed("netns", "add", DEAD);
  site = await Site.create();
  client = await site.client("client", 20);
  server = createServer((_, response) => response.end("here"));
  await new Promise<void>((resolve) => server.listen(0, "::", resolve));
  port = (server.address() as { port: number }).port;
});

afterAll(async () => {
  server?.close();
  await site?.close();
});

it("joins this computer and its clients, in IPv4 and IPv6", async () => {
  expect(await answers(client.inside, operator.address, port, 15)).toBe(true);
  expect(await answers(client.inside, operator.address6, port, 15)).toBe(true);
  expect(await answers(client.inside, operator.address, port + 1)).toBe(false);
});

it("has a port for each machine", async () => {
  expect([await site.tap(), await site.tap()]).toEqual(["tap0", "tap1"]);
});

it("leads nowhere else", () => {
  const [program = "", ...words] = client.inside;
  expect(execFileSync(program, [...words, "ip", "route"], { encoding: "utf8" }).trim()).toMatch(
    /^10\.98\.0\.0\/24 dev eth0 [^\n]*$/,
  );
});

it("removes what a killed run left", () => expect(listed("netns", "list")).not.toContain(DEAD));

it("leaves nothing", async () => {
  await site.close();
  expect(listed("netns", "list")).not.toContain(`berth-machines-${process.pid}`);
  expect(listed("link")).not.toContain(`bm${process.pid}`);
});
