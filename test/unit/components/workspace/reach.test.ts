/**
 * How a person's browser reaches their services, and what the workspace is told of it.
 * Proves: every person has a host name of their own, which a browser takes for no other's; the printed command forwards
 * the three services to the same numbers and ends where one is taken; what the workspace is told is what is printed.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { workspaceFiles } from "../../../../components/workspace/files";
import { userInfo } from "../../../../components/workspace/outputs";
import { reach } from "../../../../components/workspace/reach";
import type { LocatedPlan } from "../../../../config";
import { load, local } from "../../config/helpers";

const HOST = "10.88.0.10";
const plan = (workspaces: object, names: string[] = ["alice", "bob"]): LocatedPlan => {
  const users = names.map((name, index) => ({ name, node: "node-0", index }));
  const loaded = load({ nodes: [local("node-0", "head", HOST)], users, workspaces });
  return { ...loaded, head: loaded.head as LocatedPlan["head"] };
};
const one = (made: LocatedPlan, i = 0) => {
  const user = made.users[i];
  if (!user) throw new Error(`the plan has no user ${i}`);
  return user;
};
const PUBLISHED = { services: "published-insecure" };
const told = (made: LocatedPlan) =>
  JSON.parse(workspaceFiles(made, one(made), HOST, "seed", "")["workspace.json"]).web;

describe("services on loopback", () => {
  const made = plan({});
  const info = userInfo(made, one(made), HOST, "berth-dev-workspace-alice");

  it("are opened at the person's own name, through a command that ends where a port is taken", () => {
    expect(info).toEqual({
      name: "alice",
      node: "node-0",
      desiredState: "running",
      container: "berth-dev-workspace-alice",
      ssh: { host: HOST, port: 10022 },
      urls: {
        code: "http://alice.localhost:10002",
        jupyter: "http://alice.localhost:10003",
        tensorboard: "http://alice.localhost:10004",
      },
      tunnel:
        "ssh -N -o ExitOnForwardFailure=yes -L 10002:127.0.0.1:10002 -L 10003:127.0.0.1:10003 " +
        "-L 10004:127.0.0.1:10004 -p 10022 alice@10.88.0.10",
    });
  });

  it("are told what is printed, and no address of the node's", () => {
    const { urls, tunnel } = info;
    expect(told(made)).toEqual({ published: false, hosts: ["alice.localhost"], urls, tunnel });
  });

  it("have one host a person, which is a browser's own name for loopback", () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,31}$/);
    const { ports } = one(made);
    fc.assert(
      fc.property(name, name, (a, b) => {
        const urls = [a, b].map((user) => new URL(reach(made, { name: user, ports }, HOST).urls.code));
        for (const url of urls) expect(url.hostname).toMatch(/^[^.]+\.localhost$/);
        expect(urls[0]?.hostname === urls[1]?.hostname).toBe(a === b);
      }),
    );
  });

  it("are forwarded from an IPv6 address as ssh writes it", () => {
    expect(reach(made, one(made), "fd00::a").tunnel).toMatch(/ -p 10022 alice@fd00::a$/);
  });
});

describe("services at the node's address", () => {
  const made = plan(PUBLISHED);

  it("are opened there, and need no command", () => {
    const info = userInfo(made, one(made, 1), HOST, "c");
    expect(info.urls.jupyter).toBe("http://10.88.0.10:10103");
    expect(info).not.toHaveProperty("tunnel");
  });

  it("answer to that address too, in brackets where it is an IPv6 address", () => {
    expect(told(made)).toMatchObject({ published: true, hosts: ["alice.localhost", HOST] });
    const { hosts, urls } = reach(made, one(made), "fd00::a");
    expect(hosts).toEqual(["alice.localhost", "[fd00::a]"]);
    expect(urls.code).toBe("http://[fd00::a]:10002");
  });
});
