/**
 * A stack from nothing to nothing by the commands that people call, asked by the clients that they use. Each test
 * goes on where the one before ended.
 *
 * The operator's engine is restarted only where this run started it: others may stand on one that was there before.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Ran } from "../../lib/run";
import { childrenOf } from "../../lib/stack";
import { MINUTE } from "../../lib/time";
import { until } from "../../lib/until";
import {
  address,
  answers,
  basic,
  codeServer,
  credentials,
  found,
  get,
  notebook,
  onNode,
  openBrowser,
  secrets,
  ssh,
  sshByPassword,
  url,
  WHERE,
} from "./cluster-clients";
import {
  allUp,
  berth,
  CREDENTIAL,
  changes,
  configuration,
  docker,
  edit,
  footprint,
  HEAD,
  home,
  KEEP,
  makeHome,
  nothingToDo,
  ok,
  pulumi,
  RESUMED,
  removeLeftovers,
  STACK,
  stackFilesThere,
  startUp,
  status,
  up,
  WORKER,
  writeConfiguration,
} from "./cluster-rig";
import { nodeCases } from "./node-cases";

/** BERTH_HOME of the run that started the operator's engine; empty when it was there before. */
const ENGINE = process.env.BERTH_TEST_ENGINE ?? "";

let first: Ran | undefined;

beforeAll(async () => {
  if (!KEEP) await removeLeftovers();
  makeHome();
}, 5 * MINUTE);

afterAll(async () => {
  if (KEEP) return;
  // Whatever the tests did, nothing of the stack may stay; its own way first, as that is what leaves no trace.
  await berth("destroy", ["--yes"], 10 * MINUTE).catch(() => {});
  await removeLeftovers();
}, 15 * MINUTE);

describe.skipIf(RESUMED)("before the first up", () => {
  it("refuses every mistake at once, each with its place, before anything is touched", async () => {
    const wrong = configuration();
    wrong["berth:nodes"][1].role = "head";
    wrong["berth:nodes"][1].addres = HEAD;
    wrong["berth:users"][0].name = "root";
    wrong["berth:users"][0].keys = ["ssh-ed25519 nonsense"];
    wrong["berth:users"][1].node = "node-7";
    wrong["berth:users"][1].index = 100;
    wrong["berth:users"].push({ name: "bob", node: "node-1", index: 2, memory: "64GiB" });
    wrong["berth:ports"] = { pool: { start: 19000, end: 21000 } };
    writeConfiguration(wrong);
    const ran = await berth("preview", [], 5 * MINUTE);
    expect(ran.code).not.toBe(0);
    const places = ["nodes[*].role", "nodes[1].addres", "users[0].name", "users[0].keys[0]", "users[1].node"];
    for (const place of [...places, "users[1].index", "users[2].name", "users[2].memory", "ports.pool"])
      expect(ran.text).toContain(`berth:${place}`);
    expect(ran.text).toContain("nothing was touched");
    expect(ran.text).not.toMatch(/^\s+at .*\.[jt]s:\d+/m);
    expect(await footprint()).toEqual([]);
    expect(stackFilesThere()).toBe(false);
  });

  it("goes on after an up that was killed while it created", { timeout: 40 * MINUTE }, async () => {
    writeConfiguration(configuration());
    const secret = ["config", "set", "--secret", "--path", "berth:users[0].setup.credentials.API_KEY"];
    await pulumi(secret, { input: CREDENTIAL });
    const child = startUp();
    await until("a node's container", 10 * MINUTE, async () =>
      (await footprint()).some((line) => line.startsWith(`container berth-${STACK}-node-`)),
    );
    const killed = childrenOf(child.pid ?? 0);
    expect(killed.length).toBeGreaterThan(0);
    for (const pid of killed) process.kill(pid, "SIGKILL");
    await until("the script's end", MINUTE, async () => child.exitCode !== null);
    expect(child.exitCode).not.toBe(0);
    first = await up();
  });
});

/** Without a stack the rest would only wait for what cannot come. */
function needStack(): void {
  if (!RESUMED && !first) throw new Error("there is no stack to ask: the first up failed");
}

describe("after up", () => {
  beforeEach(needStack);

  it("tells no secret on the console or in the state, which is small", async () => {
    const values = await secrets();
    if (first) expect(found(first.text, values)).toEqual([]);
    const exported = await pulumi(["stack", "export"]);
    expect(found(exported, values)).toEqual([]);
    // Two nodes and two people: mostly the texts of their stages, each of which Pulumi keeps twice.
    expect(Buffer.byteLength(exported)).toBeLessThan(1.25e6);
    const onDisk = readFileSync(join(home, `state/.pulumi/stacks/berth/${STACK}.json`), "utf8");
    expect(found(onDisk, values)).toEqual([]);
  });

  it("says what is up, in the promised shape", async () => {
    await allUp(2 * MINUTE);
    const node = (name: string, role: string, address: string) => ({
      ...{ name, kind: "local", role, address, privateAddress: address, state: "up" },
    });
    const user = (name: "alice" | "bob", place: string, host: string, port: number) => ({
      ...{ name, node: place, state: "running", ssh: { host, port } },
      urls: { code: url(name, "code"), jupyter: url(name, "jupyter"), tensorboard: url(name, "tensorboard") },
    });
    expect(await status()).toEqual({
      code: 0,
      status: {
        stack: STACK,
        nodes: [node("node-0", "head", HEAD), node("node-1", "worker", WORKER)],
        users: [user("alice", "node-0", HEAD, 10022), user("bob", "node-1", WORKER, 10122)],
        ray: { address: `${HEAD}:6379`, dashboard: `http://${HEAD}:8265`, nodes: 2 },
      },
    });
    const outputs = JSON.parse(await pulumi(["stack", "output", "--json"]));
    expect(Object.keys(outputs).sort()).toEqual(["credentials", "nodes", "ray", "users"]);
    expect(outputs.credentials).toBe("[secret]");
  });

  it("has nothing more to do", { timeout: 10 * MINUTE }, async () => {
    await nothingToDo();
    const again = await up(["--expect-no-changes"]);
    expect(again.text).not.toMatch(/\d+ (created|updated|replaced|deleted)/);
  });

  it("lets people in by SSH with the key and with the password, and not with a wrong one", async () => {
    const all = await credentials();
    for (const user of ["alice", "bob"] as const) {
      expect(await ssh(user, "id -un")).toBe(user);
      const byPassword = await sshByPassword(user, all[user]?.password ?? "", "id -un");
      expect(byPassword.stdout.trim(), byPassword.text).toBe(user);
      const refused = await sshByPassword(user, "not-the-password", "id -un");
      expect(refused.code).not.toBe(0);
      expect(refused.text).toContain("Permission denied");
    }
  });

  it("set alice's workspace up", async () => {
    expect(await ssh("alice", "git config user.name; git config user.email")).toBe(
      "Alice Example\nalice@example.org",
    );
    expect(await ssh("alice", "stat -c %a .env; . ~/.env; printenv API_KEY")).toBe(`600\n${CREDENTIAL}`);
    await until("the service", MINUTE, async () =>
      (await ssh("alice", "tmux ls; curl -fsS -o /dev/null http://127.0.0.1:9000/")).startsWith("server:"),
    );
  });

  it("asks for a sign-in at each service, and opens with the right secret only", async () => {
    const all = await credentials();
    for (const user of ["alice", "bob"] as const) {
      const { codePassword, jupyterToken, tensorboardPassword, password } = all[user] ?? {
        ...{ codePassword: "", jupyterToken: "", tensorboardPassword: "", password: "" },
      };
      expect(await get(`${url(user, "code")}/`)).toBe(302);
      expect(await codeServer(user, password)).toBe(302);
      expect(await codeServer(user, codePassword)).toBe(200);
      const api = `${url(user, "jupyter")}/api/status`;
      expect([await get(api), await get(`${url(user, "jupyter")}/lab`)]).toEqual([403, 302]);
      expect(await get(`${api}?token=${codePassword}`)).toBe(403);
      expect(await get(`${api}?token=${jupyterToken}`)).toBe(200);
      const board = `${url(user, "tensorboard")}/`;
      expect(await get(board)).toBe(401);
      expect(await get(board, basic(user, password))).toBe(401);
      expect(await get(board, basic(user, tensorboardPassword))).toBe(200);
    }
  });

  it("shows VS Code and JupyterLab in a browser", { timeout: 6 * MINUTE }, async () => {
    const { codePassword, jupyterToken } = (await credentials()).alice ?? {
      ...{ codePassword: "", jupyterToken: "" },
    };
    const browser = await openBrowser();
    try {
      const page = await browser.newPage();
      page.setDefaultTimeout(2 * MINUTE);
      await page.goto(url("alice", "code"));
      await page.locator("input[name=password]").fill(codePassword);
      await page.locator("input[type=submit]").click();
      await page.locator(".monaco-workbench .part.editor").waitFor();
      await page.goto(`${url("alice", "jupyter")}/lab?token=${jupyterToken}`);
      await page.locator(".jp-Launcher-body").first().waitFor();
    } finally {
      await browser.close();
    }
  });

  it("runs 1+1 in a notebook, and a Ray task on the other node", { timeout: 6 * MINUTE }, async () => {
    const token = (await credentials()).alice?.jupyterToken ?? "";
    expect(await notebook("alice", token, ["1+1", WHERE, `on("${WORKER}")`])).toEqual([
      "2",
      "",
      `'${WORKER}'`,
    ]);
  });

  it("runs a Ray job on both nodes with the token, and none without", { timeout: 6 * MINUTE }, async () => {
    const program = `${WHERE}print("ran on", on("${HEAD}"), on("${WORKER}"))\n`;
    const text = Buffer.from(program).toString("base64");
    await ssh("alice", `mkdir -p ~/job && echo ${text} | base64 -d > ~/job/where.py`);
    const submit = "cd ~/job && ray job submit --working-dir . -- python where.py 2>&1";
    expect(await ssh("alice", `bash -lc '${submit}'`, 4 * MINUTE)).toContain(`ran on ${HEAD} ${WORKER}`);
    const ask = `curl -s -o /dev/null -w '%{http_code}' http://${HEAD}:8265/api/jobs/`;
    for (const user of ["alice", "bob"] as const) {
      expect(await ssh(user, ask)).toBe("401");
      expect(await ssh(user, `${ask} -H 'Authorization: Bearer none-of-ours'`)).toMatch(/^40[13]$/);
    }
  });

  it("shows no port of Ray to the outside", async () => {
    const ports = [6379, 8265, 31000, 31999, ...Array.from({ length: 9 }, (_, i) => 30001 + i)];
    for (const host of [HEAD, WORKER]) {
      expect(await answers(host, 22)).toBe(true);
      const open = await Promise.all(ports.map(async (port) => ((await answers(host, port)) ? port : 0)));
      expect(open.filter(Boolean)).toEqual([]);
    }
    // They do listen, so what keeps them closed is the firewall.
    const listening = await onNode("node-0", "ss -Hltn | awk '{print $4}'");
    for (const port of [6379, 8265, 30001]) expect(listening).toMatch(new RegExp(`:${port}$`, "m"));
  });

  it("keeps bob out of alice's home and services", async () => {
    await ssh("alice", "echo hers > ~/hers.txt && chmod 644 ~/hers.txt");
    expect(await ssh("bob", "sudo -n cat /home/alice/hers.txt 2>&1 || true")).toMatch(/No such file/);
    const search = "sudo -n find / -xdev -name hers.txt 2>/dev/null || true";
    expect(await ssh("bob", search)).toBe("");
    const ask = (service: "code" | "jupyter" | "tensorboard", path: string) =>
      ssh(
        "bob",
        `curl -s -m 10 -o /dev/null -w '%{http_code}' http://${address("alice", service)}${path} || true`,
      );
    // 000: not even a connection.
    expect(["000", "302"]).toContain(await ask("code", "/"));
    expect(["000", "403"]).toContain(await ask("jupyter", "/api/contents"));
    expect(["000", "401"]).toContain(await ask("tensorboard", "/"));
    const knock = `ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o ConnectTimeout=10 -p 10022 alice@${HEAD} id`;
    expect(await ssh("bob", `${knock} 2>&1 || true`)).toMatch(/Permission denied|timed out|refused/);
  });
});

describe("edits", () => {
  beforeEach(needStack);
  const byName = (a: { name: string }, b: { name: string }) => a.name.localeCompare(b.name);

  it("adds carol, and touches nothing else", { timeout: 15 * MINUTE }, async () => {
    edit((config) => config["berth:users"].push({ name: "carol", node: "node-1", index: 2 }));
    const steps = await changes();
    expect(steps.length).toBeGreaterThan(2);
    // Her node's daemon is told of her, without a restart.
    expect(steps.filter(({ op, name }) => op !== "create" || !/workspace-carol(-|$)/.test(name))).toEqual([
      { op: "update", name: "berth-node-1-agent-stage" },
    ]);
    await up();
    expect(await ssh("carol", "id -un")).toBe("carol");
    expect(await ssh("alice", "cat ~/hers.txt")).toBe("hers");
  });

  it("keeps two people of one node apart", async () => {
    await ssh("bob", "echo his > ~/his.txt && chmod 644 ~/his.txt");
    expect(await ssh("carol", "sudo -n cat /home/bob/his.txt 2>&1 || true")).toMatch(/No such file/);
    const container = `berth-${STACK}-workspace-bob`;
    const inside = await onNode(
      "node-1",
      `docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' ${container}`,
    );
    const knock = `curl -s -m 5 -o /dev/null -w '%{http_code}' http://${inside}:8888/api/status || true`;
    expect(await ssh("carol", knock)).toBe("000");
    const loop = "curl -s -m 5 -o /dev/null -w '%{http_code}' http://127.0.0.1:8888/api/status || true";
    expect(await ssh("bob", loop)).toBe("403");
  });

  it("removes bob, keeps his home, and opens a port on each node", { timeout: 15 * MINUTE }, async () => {
    edit((config) => {
      config["berth:users"] = config["berth:users"].filter(({ name }: { name: string }) => name !== "bob");
    });
    const bobs = await changes();
    expect(bobs.length).toBeGreaterThan(2);
    const told = { op: "update", name: "berth-node-1-agent-stage" };
    expect(bobs.filter(({ op, name }) => op !== "delete" || !/workspace-bob(-|$)/.test(name))).toEqual([
      told,
    ]);

    edit((config) => {
      config["berth:firewall"] = { rules: [{ port: 9100, from: ["10.91.0.0/24"] }] };
    });
    const firewall = (await changes()).filter(({ name }) => !/workspace-bob(-|$)/.test(name)).sort(byName);
    expect(firewall).toEqual([
      { op: "update", name: "berth-node-0-host-firewall" },
      told,
      { op: "update", name: "berth-node-1-host-firewall" },
    ]);
    const container = `berth-${STACK}-workspace-alice`;
    const started = () => onNode("node-0", `docker inspect -f '{{.State.StartedAt}}' ${container}`);
    const before = await started();
    await up();
    expect(await started()).toBe(before);
    expect(await onNode("node-1", "cat /mnt/storage/homes/bob/his.txt")).toBe("his");
    expect(
      await onNode("node-1", "docker ps -aq --filter label=berth.owner=bob; ls /var/lib/berth/workspaces"),
    ).toBe("carol");
    for (const node of ["node-0", "node-1"] as const)
      expect(await onNode(node, "ufw status")).toMatch(/^9100\/tcp\s+ALLOW/m);
    expect(Object.keys(await credentials()).sort()).toEqual(["alice", "carol"]);
    await nothingToDo();
  });

  it("replaces alice's container and keeps her home", { timeout: 15 * MINUTE }, async () => {
    const container = `berth-${STACK}-workspace-alice`;
    const id = () => onNode("node-0", `docker inspect -f '{{.Id}}' ${container}`);
    const before = await id();
    await ssh("alice", "echo kept > ~/notebooks/note && echo here > /workspace/note");
    const { deployment } = JSON.parse(await pulumi(["stack", "export"]));
    const { urn } = deployment.resources.find(
      ({ type, inputs }: { type: string; inputs?: { name?: string } }) =>
        type === "docker:index/container:Container" && inputs?.name === container,
    );
    // What a new image does to a container, without the minutes that building another one takes.
    await up(["--replace", urn]);
    expect(await id()).not.toBe(before);
    expect(await ssh("alice", "cat ~/notebooks/note /workspace/note")).toBe("kept\nhere");
    const password = (await credentials()).alice?.codePassword ?? "";
    expect(await codeServer("alice", password)).toBe(200);
    expect(await ssh("alice", "git config user.name")).toBe("Alice Example");
    await nothingToDo();
  });
});

describe("restarts", () => {
  beforeEach(needStack);

  it("comes back after a restart of a node", { timeout: 10 * MINUTE }, async () => {
    await docker("restart", `berth-${STACK}-node-1`);
    await allUp(2 * MINUTE);
    expect(await ssh("carol", "id -un")).toBe("carol");
    await nothingToDo();
  });

  it("comes back after a restart of everything", { timeout: 10 * MINUTE }, async () => {
    const all = ["registry", "node-0", "node-1"].map((name) => `berth-${STACK}-${name}`);
    await docker("restart", ...all);
    await allUp(2 * MINUTE);
    const token = (await credentials()).alice?.jupyterToken ?? "";
    expect((await notebook("alice", token, [WHERE, `on("${WORKER}")`]))[1]).toBe(`'${WORKER}'`);
    const service = "curl -s -m 10 -o /dev/null -w '%{http_code}' http://127.0.0.1:9000/";
    await until("alice's service", MINUTE, async () => (await ssh("alice", service)) === "200");
    await nothingToDo();
  });

  it.skipIf(!ENGINE)(
    "comes back after a restart of the operator's engine",
    { timeout: 10 * MINUTE },
    async () => {
      const env = { BERTH_HOME: ENGINE };
      await ok(process.execPath, ["test/e2e/last/restart-engine.mjs"], { deadline: 5 * MINUTE, env });
      await allUp(2 * MINUTE);
      expect(await ssh("alice", "cat ~/notebooks/note")).toBe("kept");
      await nothingToDo();
    },
  );
});

describe("one node at a time", () => {
  beforeEach(needStack);
  nodeCases();
});

describe("nodes out of reach", () => {
  beforeEach(needStack);

  it("are named with address, user and what went wrong, within two minutes", {
    timeout: 15 * MINUTE,
  }, async () => {
    await allUp(2 * MINUTE);
    // Some of them are asked of the node that is about to fall silent.
    const values = await secrets();
    const silent = `berth-${STACK}-node-1`;
    edit((config) => {
      const rules = config["berth:firewall"]?.rules ?? [];
      config["berth:firewall"] = { rules: [...rules, { port: 9101, from: ["10.91.0.0/24"] }] };
    });
    // As the node's own SSH is what goes, by the engine.
    await docker("exec", `berth-${STACK}-node-0`, "systemctl", "stop", "ssh.socket", "ssh.service");
    await docker("pause", silent);
    try {
      const began = Date.now();
      const ran = await berth("up", ["--yes"], 10 * MINUTE);
      expect(ran.code).not.toBe(0);
      expect(Date.now() - began).toBeLessThan(2 * MINUTE);
      const told = (host: string, what: string) =>
        new RegExp(`error: cannot connect to root@${host}:22 .*${what}`);
      expect(ran.text).toMatch(told(HEAD, "ECONNREFUSED"));
      expect(ran.text).toMatch(told(WORKER, "no SSH session within 8 s"));
      expect(found(ran.text, values)).toEqual([]);
    } finally {
      await docker("unpause", silent);
      await docker("exec", `berth-${STACK}-node-0`, "systemctl", "start", "ssh.service");
    }
    await up();
    await nothingToDo();
  });
});

describe.skipIf(KEEP)("destroy", () => {
  it("leaves nothing of the stack but what the README says", { timeout: 12 * MINUTE }, async () => {
    expect((await footprint()).length).toBeGreaterThan(5);
    const ran = await berth("destroy", ["--yes"], 10 * MINUTE);
    expect(ran.code, ran.text.slice(-4000)).toBe(0);
    expect(await footprint()).toEqual([]);
    expect(stackFilesThere()).toBe(false);
    const { deployment } = JSON.parse(await pulumi(["stack", "export"]));
    expect(deployment.resources ?? []).toEqual([]);
    const kept = readdirSync(home).filter(
      (name) => !["state", "passphrase", "stacks", "logs"].includes(name),
    );
    expect(kept).toEqual([]);
    expect(readdirSync(join(home, "stacks"))).toEqual([]);
  });
});
