/**
 * `berth:manager`. Proves: what is left out is as the guide says; every mistake is told at once, with its path, what is allowed and how to
 * mend it; ports and networks are opened as the plan says and no others; what gives encryption up has a name, and each preview warns of
 * it; a stack without users gives their ports to containers.
 */
import { describe, expect, it } from "vitest";
import { baseOptions, firewallOptions, preflightOptions } from "../../../components/stage-options";
import { type BaremetalNodePlan, loadConfig, nodeOpenings, type Plan } from "../../../config";
import { openings } from "../../../config/network/openings";
import { factsOf } from "../../../policy/facts";
import {
  digitalocean,
  droplet,
  dropletStack,
  load,
  local,
  metal,
  metalStack,
  paths,
  problems,
} from "./helpers";

const tenants = [{ name: "web-ide" }];
const manager = (more: object = {}) => ({ tenants, ...more });
const noRay = { ray: { enabled: false } };
const alone = { nodes: [droplet(0)], digitalocean, ...noRay };
const localNodes = {
  nodes: [local("node-0", "head", "10.88.0.10"), local("node-1", "worker", "10.88.0.11")],
};
const alice = { name: "alice", node: "node-0", index: 0 };

const managed = (plan: Plan) => {
  if (!plan.manager) throw new Error("the plan has no manager");
  return plan.manager;
};
const cautions = (config: Record<string, unknown>) =>
  loadConfig(
    "prod",
    Object.fromEntries(Object.entries(config).map(([k, v]) => [`berth:${k}`, JSON.stringify(v)])),
    () => [],
  ).cautions;
/** What a node serves to others beside SSH, Ray, workspaces and images. */
const opened = (plan: Plan, name: string) => {
  const node = plan.nodes.find((one) => one.name === name);
  if (!node) throw new Error(`no ${name}`);
  return nodeOpenings(plan, node)
    .filter(({ what }) => what !== "the image registry")
    .map(({ ports, protocol, from }) => [
      ports.map(({ start, end }) => `${start}-${end}/${protocol}`).join(),
      from,
    ]);
};

describe("a stack's container manager", () => {
  it("is none where nothing is said", () => {
    expect(load(localNodes).manager).toBeUndefined();
    expect(load({ ...localNodes, manager: null }).manager).toBeUndefined();
  });

  it("needs tenants, and has everything else as the guide says", () => {
    expect(managed(load({ ...localNodes, manager: manager() }))).toEqual({
      nodes: ["node-0", "node-1"],
      listen: "private",
      port: 8080,
      publish: "private",
      from: { listen: ["10.88.0.0/24"], publish: ["10.88.0.0/24"] },
      urls: {},
      tenants: [{ name: "web-ide", tokenVersion: 1 }],
      templates: [
        {
          ...{ name: "default", image: "node:24-slim", memory: "512MiB", cpus: 1, pids: 4096 },
          ...{
            containerPorts: [3000],
            targetSize: 3,
            minSize: 1,
            maxCreating: 2,
            schedule: [],
            timeZone: "UTC",
          },
        },
      ],
      images: { default: "node:24-slim", allowed: ["node:*", "python:*"], standIn: [] },
      repositories: { hosts: [{ host: "github.com" }] },
      callbacks: { allowed: [] },
      origins: [],
      reserveMiB: 1024,
      mainImages: { unusedHours: 168 },
      purge: { tenants: [], nodes: [] },
    });
    expect(paths({ ...localNodes, manager: {} })).toEqual(["manager.tenants"]);
  });

  it("is on the nodes that are named, in the stack's order", () => {
    const nodes = ["node-1"];
    const plan = load({ ...localNodes, manager: manager({ nodes }) });
    expect(managed(plan).nodes).toEqual(nodes);
    expect(plan.nodes.map((node) => [opened(plan, node.name).length, baseOptions(plan, node)])).toEqual([
      [0, {}],
      [3, { manager: true }],
    ]);
  });

  it("may be all that a stack has: no users, no Ray", () => {
    const plan = load({ ...alone, manager: manager() });
    expect([plan.users, plan.ray.enabled, managed(plan).nodes]).toEqual([[], false, ["drop-0"]]);
  });
});

describe("ports", () => {
  it("of containers are the seed's where the stack has no users, and 20000 to 29999 where it has", () => {
    expect(load({ ...alone, manager: manager() }).ports).toMatchObject({
      containers: { start: 10000, end: 20000 },
      users: { blocks: 0 },
      manager: 8080,
    });
    expect(load({ ...localNodes, users: [alice], manager: manager() }).ports.containers.start).toBe(20000);
    expect(load(alone).ports.containers.start).toBe(20000);
  });

  it("that are written down meet no users' blocks, where there are users", () => {
    const ports = { containers: { start: 10000, end: 20000 } };
    expect(paths({ ...localNodes, ports, manager: manager() })).toEqual([]);
    expect(paths({ ...localNodes, ports, users: [alice], manager: manager() })).toEqual(["ports.containers"]);
  });

  it.each([
    ["the containers'", 10500, "manager.port"],
    ["berthd's own", 9700, "manager.port"],
    ["SSH's", 22, "manager.port"],
    ["Ray's", 8265, "manager.port"],
  ])("of the manager are not %s", (_, port, path) => {
    const [problem] = problems({ ...alone, manager: manager({ port }) });
    expect(`berth:${path}`).toBe(problem?.path);
    expect(problem?.problem).toContain("the container manager");
  });

  it("of a stack without users are guarded for nobody", () => {
    const plan = load({ ...alone, manager: manager() });
    const [node] = plan.nodes;
    if (!node) throw new Error("no node");
    expect(firewallOptions(plan, node).userPorts).toEqual([]);
    expect(openings(plan).find(({ what }) => what === "workspaces")?.ports).toEqual([]);
  });
});

describe("what is open, and to whom", () => {
  const everybody = ["0.0.0.0/0", "::/0"];
  const vpc = ["10.110.0.0/20"];
  it.each<[object, [string, string[]][]]>([
    [{ listen: "loopback", publish: "loopback" }, []],
    [
      {},
      [
        ["8080-8080/tcp", vpc],
        ["10000-20000/tcp", vpc],
        ["10000-20000/udp", vpc],
      ],
    ],
    [
      { allow: ["192.0.2.0/24"] },
      [
        ["8080-8080/tcp", ["192.0.2.0/24"]],
        ["10000-20000/tcp", ["192.0.2.0/24"]],
        ["10000-20000/udp", ["192.0.2.0/24"]],
      ],
    ],
    [{ publish: "loopback", port: 8081 }, [["8081-8081/tcp", vpc]]],
    [
      { publish: "public" },
      [
        ["8080-8080/tcp", vpc],
        ["10000-20000/tcp", everybody],
        ["10000-20000/udp", everybody],
      ],
    ],
    [
      { listen: "public", publish: "public", plainHttp: true },
      [
        ["8080-8080/tcp", everybody],
        ["10000-20000/tcp", everybody],
        ["10000-20000/udp", everybody],
      ],
    ],
    [
      { listen: "public", publish: "loopback", plainHttp: true, allow: ["192.0.2.0/24"] },
      [["8080-8080/tcp", ["192.0.2.0/24"]]],
    ],
  ])("%j opens just that", (more, expected) => {
    const plan = load({ ...alone, manager: manager(more) });
    expect(opened(plan, "drop-0")).toEqual(expected);
    const [node] = plan.nodes;
    const rules = node && firewallOptions(plan, node).rules;
    // The registry of a stack whose head serves it has its own.
    expect(rules?.filter(({ port }) => JSON.stringify(port) !== '{"start":5000,"end":5000}')).toHaveLength(
      expected.length,
    );
    expect(openings(plan).filter(({ what }) => /manager|back-ends/.test(what))).toHaveLength(expected.length);
  });

  it("is known to the policy pack, where it is everybody", () => {
    const raw = (more: object) =>
      Object.fromEntries(
        Object.entries({ ...alone, manager: manager(more) }).map(([k, v]) => [
          `berth:${k}`,
          JSON.stringify(v),
        ]),
      );
    const open = (more: object) => factsOf("prod", raw(more)).open;
    expect(open({})).toEqual([]);
    expect(open({ publish: "public" })).toEqual(
      ["tcp", "udp"].map((protocol) => ({ protocol, start: 10000, end: 20000 })),
    );
    expect(open({ listen: "public", plainHttp: true, publish: "loopback" })).toEqual([
      { protocol: "tcp", start: 8080, end: 8080 },
    ]);
  });

  it("is looked at before a server is adopted", () => {
    const plan = load({ ...metalStack, manager: manager({ nodes: ["metal-1"] }) });
    const ports = (i: number) => {
      const options = preflightOptions(plan, plan.nodes[i] as BaremetalNodePlan);
      return [options.base?.manager, options.ports.filter(({ path }) => path === "berth:manager.port")];
    };
    expect(ports(0)).toEqual([undefined, []]);
    expect(ports(1)).toMatchObject([true, [{ start: 8080, end: 8080, what: "the container manager" }]]);
  });
});

describe("encryption", () => {
  const tls = { certificate: "/etc/ssl/manager/chain.pem", key: "/etc/ssl/manager/key.pem" };
  it("is given up in public by name alone", () => {
    const [problem, ...more] = problems({ ...alone, manager: manager({ listen: "public" }) });
    expect(more).toEqual([]);
    expect(problem).toMatchObject({
      path: "berth:manager.listen",
      problem: expect.stringContaining("without encryption"),
      allowed: expect.stringMatching(/tls.*proxy.*plainHttp: true/),
    });
    expect(paths({ ...alone, manager: manager({ listen: "public", tls }) })).toEqual([]);
    expect(paths({ ...alone, manager: manager({ listen: "public", plainHttp: true }) })).toEqual([]);
  });

  it("that is given up is warned of in each preview, with the way back; what is published in public too", () => {
    const said = (more: object) => cautions({ ...alone, manager: manager(more) });
    const of = (more: object, key: string) => said(more).filter((text) => text.startsWith(`berth:${key} `));
    const [caution, ...others] = of({ listen: "public", plainHttp: true }, "manager.plainHttp");
    expect(others).toEqual([]);
    expect(caution).toMatch(/port 8080 is open to everybody without encryption.*tokens.*berth:manager\.tls/);
    expect(
      of({ listen: "public", plainHttp: true, allow: ["192.0.2.0/24"] }, "manager.plainHttp")[0],
    ).toContain("open to 192.0.2.0/24");
    expect(of({ publish: "public" }, "manager.publish")[0]).toContain("open to everybody");
    expect(of({ listen: "public", tls }, "manager.plainHttp")).toEqual([]);
    expect(of({}, "manager.publish")).toEqual([]);
    const hosts = [{ host: "github.com" }, { host: "git.lan", insecure: true }];
    expect(of({ repositories: { hosts } }, "manager.repositories.hosts[1].insecure")[0]).toContain("git.lan");
  });

  it("that deletes for good what tenants had says so loudly, of what the stack has given up alone", () => {
    const gone = { tenants: ["old-ide"], nodes: ["node-1"] };
    const config = { ...localNodes, manager: manager({ nodes: ["node-0"], purge: gone }) };
    const said = cautions(config).filter((text) => text.includes("DELETED FOR GOOD"));
    expect(said.map((text) => text.split(":").slice(0, 2).join(":"))).toEqual([
      "berth:manager.purge.tenants has old-ide",
      "berth:manager.purge.nodes has node-1",
    ]);
    expect(managed(load(config)).purge).toEqual(gone);
    expect(cautions({ ...localNodes, manager: manager() }).join()).not.toContain("DELETED");
    const none = load({
      ...localNodes,
      manager: manager({ nodes: [], purge: { nodes: ["node-0", "node-1"] } }),
    });
    expect(managed(none).nodes).toEqual([]);
    const wrong = { tenants: ["web-ide", "Bad Name"], nodes: ["node-0", "node-7"] };
    expect(paths({ ...localNodes, manager: manager({ purge: wrong }) })).toEqual([
      "manager.purge.tenants[0]",
      "manager.purge.tenants[1]",
      "manager.purge.nodes[0]",
      "manager.purge.nodes[1]",
    ]);
  });

  it("has containers' ports written down before users come", () => {
    const about = (config: object) =>
      cautions({ ...alone, manager: manager(), ...config }).filter((text) =>
        text.includes("ports.containers"),
      );
    expect(about({})).toHaveLength(1);
    expect(about({ ports: { containers: { start: 10000, end: 20000 } } })).toEqual([]);
  });

  it.each<[object, string[]]>([
    [{ plainHttp: true }, ["manager.plainHttp"]],
    [{ plainHttp: true, listen: "public", tls }, ["manager.plainHttp"]],
    [{ tls: { ...tls, key: "key.pem" } }, ["manager.tls.key"]],
    [{ tls: { ...tls, key: "/etc/../root/key.pem" } }, ["manager.tls.key"]],
    [
      { tls: { certificate: "/root/chain.pem", key: "/home/me/key.pem" } },
      ["manager.tls.certificate", "manager.tls.key"],
    ],
    [
      { tls: { certificate: "/tmp/chain.pem", key: "/etc/a key" } },
      ["manager.tls.certificate", "manager.tls.key"],
    ],
    [{ tls: { certificate: tls.certificate } }, ["manager.tls.key"]],
    [{ urls: { "drop-0": "http://m.example:8080" }, tls }, ["manager.urls.drop-0"]],
    [{ urls: { "drop-0": "ftp://m.example" } }, ["manager.urls.drop-0"]],
    [{ urls: { "drop-0": "https://me:x@m.example" } }, ["manager.urls.drop-0"]],
    [{ urls: { "drop-0": "https://m.example/?a=1" } }, ["manager.urls.drop-0"]],
    [{ urls: { "drop-9": "https://m.example" } }, ["manager.urls.drop-9"]],
    [{ urls: { "drop-0": "https://m.example/docker" }, listen: "loopback" }, []],
  ])("%j: %j", (more, expected) => {
    expect(paths({ ...alone, manager: manager(more) })).toEqual(expected);
  });

  it("in public needs an address of the machine's own", () => {
    const one = { listen: "public", publish: "public", plainHttp: true };
    const nodes = [droplet(0, { reservedIp: true })];
    expect(paths({ ...alone, nodes, manager: manager(one) })).toEqual(["manager.listen", "manager.publish"]);
    const named = { ...metalStack, nodes: [metal(0, { address: "lab.example.com:10.0.0.10" }), metal(1)] };
    expect(paths({ ...named, manager: manager({ ...one, publish: "private" }) })).toEqual(["manager.listen"]);
    expect(paths({ ...named, manager: manager({ ...one, nodes: ["metal-1"] }) })).toEqual([]);
  });
});

describe("what is wrong", () => {
  it("is told all at once, with what is allowed", () => {
    const wrong = {
      nodes: ["node-0", "node-9", "node-0"],
      listen: "public",
      allow: ["10.0.0.0/8", "10.0.0.1/8", "everybody"],
      tenants: [
        { name: "alice" },
        { name: "Web IDE" },
        { name: "bench" },
        { name: "bench" },
        { name: "system" },
      ],
      images: { default: "alpine", allowed: ["node:*", "NODE", "python:3*12"] },
      repositories: { hosts: [{ host: "github.com" }, { host: "GitHub.com" }, { host: "git hub" }] },
      callbacks: { allowed: ["hooks.lan", "10.0.0.0/8", "http://x"] },
      origins: [
        ...["https://ide.example", "https://ide.example:8443", "http://ide.example"],
        ...["https://ide.example/", "https://IDE.example", "https://a@ide.example", "ide.example"],
      ],
      reserve: "16GiB",
    };
    const limits = { groups: { manager: {} } };
    const found = problems({ ...localNodes, users: [alice], limits, manager: wrong });
    expect(found.map(({ path }) => path.replace("berth:", ""))).toEqual([
      "manager.nodes[1]",
      "manager.nodes[2]",
      "manager.allow[1]",
      "manager.allow[2]",
      "manager.listen",
      "manager.tenants[0].name",
      "manager.tenants[1].name",
      "manager.tenants[3].name",
      "manager.tenants[4].name",
      "manager.images.allowed[1]",
      "manager.images.allowed[2]",
      "manager.images.default",
      "manager.repositories.hosts[1].host",
      "manager.repositories.hosts[2].host",
      "manager.callbacks.allowed[2]",
      ...[2, 3, 4, 5, 6].map((i) => `manager.origins[${i}]`),
      "limits.groups.manager",
      "nodes[0].memory",
    ]);
    for (const { problem, allowed } of found) expect([problem, allowed].every(Boolean)).toBe(true);
    expect(found[5]?.problem).toBe("is the name of users[0] too");
  });

  it("with a template is told in its place, in words for those who wrote it", () => {
    const template = { name: "node", image: "node:24-slim" };
    const templates = [
      { ...template, memory: "512" },
      { ...template, name: "Node One" },
      { ...template, minSize: 9 },
      { ...template, containerPort: [3000] },
      { ...template, health: { command: [] } },
      { ...template, timeZone: "Sydney" },
    ];
    const found = problems({ ...localNodes, manager: manager({ templates }) });
    const at = (i: number) => found.filter(({ path }) => path.startsWith(`berth:manager.templates[${i}]`));
    expect(at(0)).toMatchObject([
      {
        path: "berth:manager.templates[0].memory",
        problem: "is no size from 8MiB on",
        allowed: 'a number and a unit, such as "512MiB" or "2g"',
      },
    ]);
    expect(at(1)).toMatchObject([{ problem: "is no name", allowed: expect.stringContaining("at most 40") }]);
    expect(at(2)[0]).toMatchObject({ problem: expect.stringContaining("never keeps more than 3") });
    expect(at(3)[0]).toMatchObject({
      path: "berth:manager.templates[3].containerPort",
      problem: "is an unknown key; did you mean containerPorts?",
    });
    expect(at(4)[0]).toMatchObject({ path: "berth:manager.templates[4].health.command" });
    expect(at(5)[0]).toMatchObject({ problem: "is no time zone" });
    expect(paths({ ...localNodes, manager: manager({ templates: [template, template] }) })).toEqual([
      "manager.templates[1].name",
    ]);
  });

  it("with what another image is to stand in for is told in its place", () => {
    const images = {
      allowed: ["node:*"],
      standIn: [
        ...["node:24-slim", "library/node:24-slim", "python:3.13", "node:*", "acme/web:1"],
        `node@sha256:${"0f".repeat(32)}`,
      ],
    };
    const templates = [{ name: "web", image: "acme/web:1" }];
    const found = problems({ ...localNodes, manager: manager({ images, templates }) });
    expect(found.map(({ path, problem }) => [path.replace("berth:manager.images.", ""), problem])).toEqual([
      ["standIn[1]", "is standIn[0] too"],
      ["standIn[2]", "is none of the images that a request may name"],
      ["standIn[3]", "is no name that another image can stand in for"],
      ["standIn[5]", "is no name that another image can stand in for"],
    ]);
    for (const { allowed } of found) expect(allowed).toBeTruthy();
    const right = { standIn: ["node:24-slim", "python:3.13-slim"] };
    expect(managed(load({ ...localNodes, manager: manager({ images: right }) })).images.standIn).toEqual(
      right.standIn,
    );
  });

  it.each(["tenant", "template", "image", "plainHTTP", "urls.x"])(
    "with the key %s is an unknown key",
    (key) => {
      const [problem] = problems({ ...localNodes, manager: manager({ [key]: [] }) });
      expect(problem?.problem).toContain("is an unknown key");
    },
  );

  it("with a droplet whose git is too old", () => {
    const nodes = [droplet(0, { image: "ubuntu-22-04-x64" })];
    expect(paths({ ...dropletStack, nodes })).toEqual([]);
    expect(problems({ ...dropletStack, nodes, manager: manager() })).toMatchObject([
      {
        path: "berth:nodes[0].image",
        problem: expect.stringContaining("2.38"),
        allowed: expect.stringContaining("Debian 12, Ubuntu 24.04 or newer"),
      },
    ]);
    // As bare metal, which the host stage asks.
    for (const image of ["debian-12-x64", "debian-13-x64", "ubuntu-24-04-x64"])
      expect(paths({ ...dropletStack, nodes: [droplet(0, { image })], manager: manager() })).toEqual([]);
  });
});
