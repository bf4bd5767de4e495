/**
 * The images that a stack runs, on the operator's engine alone: a Ray head and worker and one workspace with the
 * rights that components/ give them, asked by real clients (ssh, HTTP, a Jupyter kernel, a Ray job).
 * What it does not prove: networks and firewalls of a stack (test/e2e of the whole stack does).
 */
import { writeFileSync } from "node:fs";
import type { RequestOptions } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildImage, docker } from "../../lib/docker";
import { ask, basic, cookies, get, UPGRADE } from "../../lib/http";
import { run } from "../../lib/run";
import { MINUTE, SECOND } from "../../lib/time";
import { until } from "../../lib/until";
import { KERNEL, PORTS, RAY_UID, secret, USER_UID, workspaceRig } from "./workspace-image-rig";

const rig = workspaceRig("10.213.77");
const { ID, HEAD, WORKER, WORKSPACE, secrets, dir } = rig;
const { healthy, layOut, cleanUp, startRay, startWorkspace, writeRun, ssh, sshWithPassword, forwarded } = rig;

/** Where the workspace's services listen, and where this test has them. */
const INSIDE = { code: 10002, jupyter: 10003, tensorboard: 10004 };
const HERE = { code: 19702, jupyter: 19703, tensorboard: 19704 };

/** Asks a service that is forwarded, by the person's own name. */
const web = (service: keyof typeof HERE, options: RequestOptions = {}, body = "") =>
  ask(
    {
      port: HERE[service],
      ...options,
      headers: { Host: `alice.localhost:${HERE[service]}`, ...options.headers },
    },
    body,
  );

/** The cookie that VS Code, which is forwarded, gives for a password; empty: none. */
async function codeCookie(password: string): Promise<string> {
  const form = new URLSearchParams({ password, base: "." }).toString();
  const headers = { "Content-Type": "application/x-www-form-urlencoded" };
  return cookies(await web("code", { method: "POST", path: "/login", headers }, form));
}

let rayImage = "";
let workspaceImage = { ref: "", bytes: 0 };

beforeAll(async () => {
  rayImage = (await buildImage("ray")).ref;
  workspaceImage = await buildImage("workspace");
  await layOut();
  // The worker first: it has to wait for its head.
  await startRay(rayImage, "worker", "worker", WORKER);
  await startRay(rayImage, "head", "head", HEAD);
  await startWorkspace(workspaceImage.ref);
  await Promise.all(["head", "worker", "alice"].map(healthy));
});

afterAll(() => cleanUp("alice", "worker", "head"));

describe("Ray image", () => {
  it("asks for the token", async () => {
    const jobs = `http://${HEAD}:8265/api/jobs/`;
    expect(await get(jobs)).toBe(401);
    expect(await get(jobs, { Authorization: "Bearer wrong-wrong" })).toBeGreaterThanOrEqual(401);
    expect(await get(jobs, { Authorization: `Bearer ${secrets.rayToken}` })).toBe(200);
  });

  it("listens on pinned ports only", async () => {
    const pinned = new Set(Object.values(PORTS).filter((port) => typeof port === "number"));
    // Metrics of the head's autoscaler and dashboard.
    for (const port of [30008, 30009]) pinned.add(port);
    for (const name of ["head", "worker"]) {
      const table = await docker("exec", `${ID}-${name}`, "cat", "/proc/net/tcp", "/proc/net/tcp6");
      const open = [...table.matchAll(/^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ 0A/gm)]
        // 0B00007F is 127.0.0.11, the engine's own name server.
        .filter((row) => row[1] !== "0B00007F")
        .map((row) => Number.parseInt(row[2] ?? "", 16));
      expect(open).toContain(30002);
      expect(open.filter((port) => !pinned.has(port) && !(port >= 31000 && port <= 31999))).toEqual([]);
    }
  });

  it("runs without any right of root", async () => {
    const status = await docker("exec", `${ID}-head`, "cat", "/proc/1/status");
    expect(status).toMatch(new RegExp(`^Uid:\\t${RAY_UID}\\t${RAY_UID}`, "m"));
    expect(status).toMatch(/^CapBnd:\t0+$/m);
  });

  it("a worker joins again after its head started anew", { timeout: 5 * MINUTE }, async () => {
    await docker("restart", `${ID}-head`);
    await until("two nodes", 2 * MINUTE, async () => {
      const answer = await fetch(`http://${HEAD}:8265/api/v0/nodes`, {
        headers: { Authorization: `Bearer ${secrets.rayToken}` },
      }).catch(() => undefined);
      const text = answer?.ok ? await answer.text() : "";
      return [...text.matchAll(/"state": "ALIVE"/g)].length === 2;
    });
    await Promise.all(["head", "worker"].map(healthy));
  });
});

describe("workspace image", () => {
  it("is under 3 GB", () => expect(workspaceImage.bytes).toBeLessThan(3e9));

  it("lets in with the key and with the password, and not with a wrong one or as root", async () => {
    expect(await ssh("id -un; id -u")).toBe(`alice\n${USER_UID}`);
    expect(await sshWithPassword(secrets.password, "id -un")).toBe("alice");
    await expect(sshWithPassword("wrong-password", "id")).rejects.toThrow(/Permission denied/);
    await expect(ssh("id", "root")).rejects.toThrow(/Permission denied/);
  });

  it("has a home as the guide says, and mounts with the right rights", async () => {
    const names = (await ssh("ls -A")).split("\n");
    for (const name of [
      ".bashrc",
      ".ssh",
      ".config",
      "workspace",
      "projects",
      "notebooks",
      "models",
      "data",
    ]) {
      expect(names).toContain(name);
    }
    expect(await ssh("readlink workspace; stat -c '%a' .ssh .ray/auth_token")).toBe("/workspace\n700\n600");
    expect(await ssh("touch /workspace/x /shared/tensorboard/alice/x && echo written")).toBe("written");
    await expect(ssh("touch /shared/x")).rejects.toThrow(/Read-only/);
    // What pam_motd shows at a sign-in: Berth's words, and none of the distribution's.
    expect(await ssh("cat /etc/motd; ls -A /etc/update-motd.d")).toMatch(
      /^Berth: the workspace of alice\n[\s\S]*berth --help; [^\n]*$/,
    );
  });

  it("shows its secrets to nobody else", async () => {
    // As another account of the same container.
    const others = `cat /run/berth/secrets.json /etc/berth/services/* /home/alice/.ray/auth_token /etc/shadow
      cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; true`;
    const seen = await docker("exec", "--user", "nobody", `${ID}-alice`, "bash", "-c", `(${others}) 2>&1`);
    const logs = await docker(
      "exec",
      `${ID}-alice`,
      "bash",
      "-c",
      "cat /var/log/berth/*.log /proc/1/environ",
    );
    const inspected = await docker("inspect", `${ID}-alice`);
    for (const value of Object.values(secrets)) {
      expect(seen.includes(value)).toBe(false);
      expect(logs.includes(value)).toBe(false);
      expect(inspected.includes(value)).toBe(false);
    }
  });

  it("listens on its loopback alone, but for SSH", async () => {
    const listening = (await ssh("ss -Hltn | awk '{print $4}'")).split("\n");
    for (const port of Object.values(INSIDE)) expect(listening).toContain(`127.0.0.1:${port}`);
    const elsewhere = listening.filter((at) => !at.startsWith("127.") && !at.startsWith("[::1]"));
    expect(elsewhere).toContain("0.0.0.0:22");
    expect(elsewhere.filter((at) => !at.endsWith(":22"))).toEqual([]);
  });

  it("asks for a sign-in at each door, and opens with the right secret only", async () => {
    await forwarded(HERE, async () => {
      const get = async (...what: Parameters<typeof web>) => (await web(...what)).status;
      expect(await get("code")).toBe(302);
      expect(await get("jupyter", { path: "/api/status" })).toBe(403);
      expect(await get("tensorboard")).toBe(401);

      const api = (headers: Record<string, string>) => get("jupyter", { path: "/api/status", headers });
      expect(await get("jupyter", { path: `/api/status?token=${secrets.jupyterToken}` })).toBe(200);
      expect(await api({ Authorization: `token ${secrets.jupyterToken}` })).toBe(200);
      expect(await api({ Authorization: "token wrong" })).toBe(403);
      const runs = (password: string) =>
        get("tensorboard", { path: "/data/runs", headers: basic("alice", password) });
      expect(await runs(secrets.tensorboardPassword)).toBe(200);
      expect(await runs(secrets.password)).toBe(401);

      const page = async (password: string) =>
        get("code", { path: "/?folder=/home/alice", headers: { Cookie: await codeCookie(password) } });
      expect(await page(secrets.codePassword)).toBe(200);
      expect(await page("wrong-password")).toBe(302);
      const { text } = await web("code", { path: "/login" });
      expect(text).toContain("your VS Code password");
      expect(text).not.toMatch(/config(uration)? file/i);
    });
  });

  it("takes pages and WebSockets by its person's names and from its own pages only", async () => {
    await forwarded(HERE, async () => {
      const token = { Authorization: `token ${secrets.jupyterToken}` };
      const made = await web("jupyter", { method: "POST", path: "/api/kernels", headers: token }, "{}");
      const kernel = `/api/kernels/${JSON.parse(made.text).id}`;
      const session = await codeCookie(secrets.codePassword);
      // Jupyter's cookie has its name from the Host that it was given for.
      const jupyterCookie = async (Host: string) =>
        cookies(await web("jupyter", { path: `/lab?token=${secrets.jupyterToken}`, headers: { Host } }));
      const doors = [
        ["jupyter", "/api/status", `${kernel}/channels`, jupyterCookie],
        ["code", "/?folder=/home/alice", "/?type=Management", async () => session],
      ] as const;
      const own = ["alice.localhost:10002", "localhost:7", "127.0.0.1", "[::1]:9"];
      const foreign = ["bob.localhost:10002", "x.alice.localhost", "evil.example", `${WORKSPACE}:10002`];
      for (const [service, path, socket, cookieOf] of doors) {
        const page = async (Host: string, Cookie: string) =>
          (await web(service, { path, headers: { Cookie, Host } })).status;
        const upgrade = async (Host: string, Origin: string, Cookie: string) =>
          (await web(service, { path: socket, headers: { ...UPGRADE, Cookie, Host, Origin } })).status;
        for (const host of own) {
          const cookie = await cookieOf(host);
          expect(await page(host, cookie), `${service} ${host}`).toBe(200);
          expect(await upgrade(host, `http://${host}`, cookie), `${service} ${host}`).toBe(101);
        }
        const [host = ""] = own;
        const cookie = await cookieOf(host);
        for (const name of foreign) {
          expect(await page(name, cookie), `${service} ${name}`).toBe(403);
          expect(await upgrade(name, `http://${name}`, cookie), `${service} ${name}`).toBe(403);
        }
        for (const origin of [
          "http://bob.localhost:10002",
          "http://alice.localhost:10203",
          "http://evil.example",
        ])
          expect(await upgrade(host, origin, cookie), `${service} ${origin}`).toBe(403);
      }
      await web("jupyter", { method: "DELETE", path: kernel, headers: token });
    });
  });

  it("shows at sign-in how its services are reached", async () => {
    writeRun({
      web: {
        published: false,
        hosts: ["alice.localhost"],
        urls: { code: "http://alice.localhost:10002" },
        tunnel: "ssh -N it",
      },
    });
    expect(await docker("exec", `${ID}-alice`, "berth-apply")).toBe("shells");
    expect(await ssh("cat /etc/motd")).toMatch(
      /^ {2}Browser +VS Code +http:\/\/alice\.localhost:10002$[\s\S]*^ {2}ssh -N it$/m,
    );
    writeRun();
    await docker("exec", `${ID}-alice`, "berth-apply");
  });

  it("gives root inside by sudo, and apt and pip work", { timeout: 5 * MINUTE }, async () => {
    expect(await ssh("sudo -n id -u")).toBe("0");
    await ssh("sudo -n apt-get -qq update && sudo -n apt-get -qq -y install figlet > /dev/null");
    expect(await ssh("command -v figlet")).toContain("figlet");
    await ssh("pip install --quiet humanize");
    expect(await ssh("python -c 'import humanize; print(humanize.__file__)'")).toContain(
      "/home/alice/.local/",
    );
  });

  it("runs 1+1 in a notebook, and a Ray task on each node", { timeout: 5 * MINUTE }, async () => {
    const where = `import ray, numpy as np
ray.init(ignore_reinit_error=True, log_to_driver=False)
@ray.remote
def where(a): return ray.util.get_node_ip_address() + " " + str(int(a.sum()))
ray.get([where.options(resources={name: 0.1}).remote(np.ones(3)) for name in ("head", "worker")])`;
    writeFileSync(join(dir, "home", "kernel.py"), KERNEL);
    const cells = JSON.stringify(["1+1", where]).replaceAll("'", "'\\''");
    const output = await ssh(`python kernel.py ${secrets.jupyterToken} '${cells}'`);
    expect(output.split("\n")).toEqual(["2", `['${HEAD} 3', '${WORKER} 3']`]);
    // gRPC's fork handlers, under which the client's server dies now and then, say so at each fork.
    const logs = "/tmp/ray/session_latest/logs/";
    expect(await docker("exec", `${ID}-head`, "ls", logs)).toMatch(/^ray_client_server_\d+\.err$/m);
    expect(await docker("exec", `${ID}-head`, "sh", "-c", `grep -rl fork_posix ${logs} || true`)).toBe("");
  });

  it("takes over changed secrets without ending a session", { timeout: 3 * MINUTE }, async () => {
    expect(await docker("exec", `${ID}-alice`, "berth-apply")).toBe("no change");
    const session = ssh("sleep 15; echo still here");
    const old = secrets.codePassword;
    secrets.codePassword = secret();
    secrets.password = secret();
    writeRun({ sudo: false });
    // Who has no sudo any more reads so at the next sign-in.
    expect(await docker("exec", `${ID}-alice`, "berth-apply")).toBe("code-server shells");
    expect(await sshWithPassword(secrets.password, "echo in")).toBe("in");
    await expect(ssh("sudo -n true")).rejects.toThrow(/password is required/);
    await healthy("alice");
    const config = await docker("exec", `${ID}-alice`, "cat", "/etc/berth/services/code-server.yaml");
    expect(config).toMatch(/hashed-password: "\$argon2id/);
    expect(config).not.toContain(old);
    expect(await session).toBe("still here");
  });

  it("stops in seconds and comes back with its home", { timeout: 5 * MINUTE }, async () => {
    await ssh("echo kept > notebooks/note");
    const began = Date.now();
    await docker("stop", "--time", "30", `${ID}-alice`);
    expect(Date.now() - began).toBeLessThan(10 * SECOND);
    await docker("start", `${ID}-alice`);
    await healthy("alice");
    expect(await ssh("cat notebooks/note")).toBe("kept");
  });

  it("says what is wrong with its settings, all at once, without a secret", async () => {
    writeRun({ user: "root", uid: 0 });
    const { code, stderr: failure } = await run("docker", ["exec", `${ID}-alice`, "berth-apply"]);
    writeRun();
    expect(code).not.toBe(0);
    expect(failure).toContain('workspace.json: user: "root" is not allowed');
    expect(failure).toContain("workspace.json: uid: 0 is not allowed; allowed: a number from 1000 to 59999");
    for (const value of Object.values(secrets)) expect(failure).not.toContain(value);
  });
});
