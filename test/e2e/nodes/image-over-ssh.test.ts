/**
 * Images for machines that are reached by SSH alone: `scripts/image.mjs send`, the registry on the head, and
 * `push --through`.
 *
 * Proves: an image arrives whole and is not sent twice, for root and for a user who needs sudo; the registry runs
 * there as a stack runs it; a push through the tunnel can be pulled by digest on another node; nothing is left
 * behind (tags, tunnels) after success, a wrong password and Ctrl-C; a wrong host key ends it.
 * Does not prove: speed over a real network, jump hosts.
 */
import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { policyFlags } from "../../lib/container-flags";
import { docker } from "../../lib/docker";
import { ensureNetwork, TestNode } from "../../lib/node";
import { REGISTRIES, startPrepared } from "../../lib/prepared-node";
import { must, type Ran, run } from "../../lib/run";
import { MINUTE, SECOND } from "../../lib/time";
import { until } from "../../lib/until";

const STACK = `sshimage${process.pid}`;
const network = { name: "berth-sshimage", subnets: ["10.89.10.0/24"] };
const folder = mkdtempSync(join(tmpdir(), "berth-sshimage-"));
const nodes = ["head", "worker"].map(
  (hostname, i) =>
    new TestNode({
      name: `berth-sshimage-${hostname}`,
      hostname,
      network,
      folder,
      address: `10.89.10.1${i}`,
    }),
);
const [HEAD = "", WORKER = ""] = nodes.map(({ address }) => address);

/** As the program hands them over. */
const sshOptions = [
  "-i",
  join(folder, "id"),
  ...["IdentitiesOnly=yes", "BatchMode=yes", "StrictHostKeyChecking=yes"].flatMap((word) => ["-o", word]),
  ...["-o", `UserKnownHostsFile=${join(folder, "known_hosts")}`],
  ...["-o", "ControlMaster=auto", "-o", `ControlPath=${folder}/%C`, "-o", "ControlPersist=10"],
];
const password = randomBytes(16).toString("hex");
const env = { ...process.env, BERTH_SSH_OPTIONS: JSON.stringify(sshOptions) };

const image = (args: string[], input = "", settings: NodeJS.ProcessEnv = env): Promise<Ran> =>
  run("node", ["scripts/image.mjs", ...args], { deadline: 20 * MINUTE, input, env: settings });

/** What a command on the node of that address prints. */
async function onNode(address: string, command: string): Promise<string> {
  const node = nodes.find((one) => one.address === address);
  if (!node) throw new Error(`no node has the address ${address}`);
  return (await node.onNode(command)).trim();
}

const account = (word: string) => JSON.stringify({ username: "berth", password: word });
const pushArgs = (name: string) => ["push", name, "--through", `root@${HEAD}:22`, "--stack", STACK];
const push = (name: string, word = password) => image(pushArgs(name), account(word));

const ownTags = async () =>
  (await docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}"))
    .split("\n")
    .filter((tag) => tag.includes(STACK));

/** The ssh processes of this computer that hold a tunnel of this test. */
function tunnels(): string[] {
  return execFileSync("ps", ["-eo", "pid,args"], { encoding: "utf8" })
    .split("\n")
    .filter((line) => / -L 127\.0\.0\.1:\d+:127\.0\.0\.1:5001 /.test(line) && line.includes(folder));
}

async function nothingLeft(): Promise<void> {
  expect(await ownTags()).toEqual([]);
  expect(tunnels()).toEqual([]);
}

async function cleanUp(): Promise<void> {
  for (const node of nodes) await node.cleanUp();
}

beforeAll(async () => {
  await cleanUp();
  await ensureNetwork(network);
  await Promise.all(nodes.map(startPrepared));
  await must("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, "otherkey")]);
  const other = readFileSync(join(folder, "otherkey.pub"), "utf8").split(" ", 2).join(" ");
  writeFileSync(join(folder, "wrong_hosts"), `${HEAD} ${other}\n`);
}, 1_200_000);

afterAll(async () => {
  await cleanUp();
  for (const node of nodes) await node.removeFiles();
}, 120_000);

describe("images over SSH", { timeout: 900_000 }, () => {
  it("sends an image once", async () => {
    const built = await image(["build", "registry"]);
    expect(built.code, built.stderr).toBe(0);
    const first = await image(["send", "registry", "--to", `root@${HEAD}:22`]);
    expect(first.code, first.stderr).toBe(0);
    const { ref, id } = JSON.parse(built.stdout);
    expect(JSON.parse(first.stdout)).toEqual({ name: "registry", ref, id });
    expect(await onNode(HEAD, `docker image inspect -f '{{.Id}}' ${ref}`)).toBe(id);
    const events =
      "docker events --since 24h --until $(($(date +%s) + 1)) --filter event=load --format x | wc -l";
    expect(await onNode(HEAD, events)).toBe("1");
    const second = await image(["send", "registry", "--to", `root@${HEAD}:22`]);
    expect(second).toMatchObject({ code: 0, stdout: first.stdout, stderr: "" });
    expect(await onNode(HEAD, events)).toBe("1");
  });

  it("sends as a user with sudo, and drops what an earlier version left", async () => {
    await onNode(
      WORKER,
      "useradd -m -s /bin/bash ops && install -d -o ops -m 700 /home/ops/.ssh && " +
        "install -o ops -m 600 /root/.ssh/authorized_keys /home/ops/.ssh/ && " +
        "echo 'ops ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ops",
    );
    const refused = await image(["send", "registry", "--to", `nobody@${WORKER}`]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(`nobody@${WORKER}:22 cannot be asked over SSH`);
    const sent = await image(["send", "registry", "--to", `ops@${WORKER}`]);
    expect(sent.code, sent.stderr).toBe(0);
    const { ref, id } = JSON.parse(sent.stdout);
    await onNode(WORKER, `docker tag ${id} berth/registry:000000000000 && docker image rm ${ref}`);
    expect((await image(["send", "registry", "--to", `ops@${WORKER}:22`])).code).toBe(0);
    expect(await onNode(WORKER, "docker image ls --format '{{.Repository}}:{{.Tag}}'")).toBe(ref);
  });

  it("removes what was sent; says that no engine answers a user without rights", async () => {
    expect((await image(["remove", "registry", "--from", `ops@${WORKER}:22`])).code).toBe(0);
    expect(await onNode(WORKER, "docker image ls -q")).toBe("");
    await onNode(WORKER, "rm /etc/sudoers.d/ops");
    const sent = await image(["send", "registry", "--to", `ops@${WORKER}:22`]);
    expect(sent.code).toBe(1);
    expect(sent.stderr).toContain(`no Docker engine answers ops on ${WORKER}, neither directly nor by`);
    expect(sent.stderr).toMatch(/^sudo: a password is required$/m);
  });

  it("runs the registry on the head as a stack does", async () => {
    const { id } = JSON.parse((await image(["send", "registry", "--to", `root@${HEAD}:22`])).stdout);
    await onNode(
      HEAD,
      "docker volume create berth-registry >/dev/null && docker create --name registry --restart unless-stopped " +
        `${policyFlags("registry").join(" ")} --memory 512m --memory-swap 512m ` +
        "-v berth-registry:/var/lib/registry " +
        `-p ${HEAD}:5000:5000 -p 127.0.0.1:5001:5001 ${id} >/dev/null && ` +
        `printf '%s' '${account(password)}' >/run/credentials.json && chmod 444 /run/credentials.json && ` +
        "docker cp -q /run/credentials.json registry:/etc/berth/registry/credentials.json && docker start registry",
    );
    await until(
      "the registry",
      60 * SECOND,
      async () => (await onNode(WORKER, `curl -s http://${HEAD}:5000/v2/`)) === "{}",
    );
    await expect(onNode(WORKER, `curl -s -m 3 http://${HEAD}:5001/v2/`)).rejects.toThrow();
  });

  it("refuses a wrong password, does not show it and leaves nothing", async () => {
    const refused = await push("base", "wrong-password-1");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/unauthorized/);
    expect(refused.stdout + refused.stderr).not.toContain("wrong-password-1");
    await nothingLeft();
  });

  it("pushes two images at once; another node pulls them by digest", async () => {
    const pushes = await Promise.all(["base", "registry", "base"].map((name) => push(name)));
    for (const one of pushes) expect(one.code, one.stderr).toBe(0);
    expect(pushes[0]?.stdout).toBe(pushes[2]?.stdout);
    for (const [i, name] of ["base", "registry"].entries()) {
      const { digest } = JSON.parse(pushes[i]?.stdout ?? "");
      const ref = `${REGISTRIES.imageOverSsh}/berth/${name}@${digest}`;
      await onNode(WORKER, `docker pull -q ${ref}`);
      const ids = await docker("image", "ls", "-q", "--no-trunc", `berth/${name}`);
      expect(ids.split("\n")).toContain(await onNode(WORKER, `docker image inspect -f '{{.Id}}' ${ref}`));
    }
    await nothingLeft();
  });

  it("ends at once on Ctrl-C, and leaves nothing", async () => {
    const name = "workspace";
    expect((await image(["build", name])).code).toBe(0);
    const child = spawn("node", ["scripts/image.mjs", ...pushArgs(name)], {
      env,
      stdio: ["pipe", "pipe", "pipe"],
    });
    let said = "";
    child.stderr.on("data", (chunk) => {
      said += String(chunk);
    });
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
    child.stdin.end(account(password));
    await until("the push", 60 * SECOND, async () => tunnels().length > 0 && (await ownTags()).length > 0);
    const began = Date.now();
    child.kill("SIGINT");
    expect(await ended).toBe(130);
    expect(said).toContain("stopped by SIGINT");
    expect(Date.now() - began).toBeLessThan(15_000);
    await nothingLeft();
  });

  it("leaves no tunnel when it is killed; the next push drops its tag", async () => {
    const child = spawn("node", ["scripts/image.mjs", ...pushArgs("workspace")], {
      env,
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
    child.stdin.end(account(password));
    await until("the push", 60 * SECOND, async () => tunnels().length > 0 && (await ownTags()).length > 0);
    child.kill("SIGKILL");
    await until("the tunnel's end", 60 * SECOND, async () => tunnels().length === 0);
    expect((await image(["remove", "workspace", "--stack", STACK])).code).toBe(0);
    await nothingLeft();
  });

  it("talks to no machine that shows another key than the known one", async () => {
    const options = sshOptions.map((word) => word.replace("/known_hosts", "/wrong_hosts"));
    const wrong = { ...env, BERTH_SSH_OPTIONS: JSON.stringify(options) };
    for (const args of [pushArgs("base"), ["send", "base", "--to", `root@${HEAD}:22`]]) {
      const { code, stderr } = await image(args, account(password), wrong);
      expect(code).toBe(1);
      expect(stderr).toMatch(/Host key verification failed/);
    }
  });

  it("says what is wrong when the registry is not there", async () => {
    await onNode(HEAD, "docker stop -t 2 registry");
    const { code, stderr } = await push("base");
    expect(code).toBe(1);
    expect(stderr).toContain(`root@${HEAD}:22 was reached, but the registry at 127.0.0.1:5001 there did not`);
    await nothingLeft();
  });

  it("says that an engine on another computer cannot use the tunnel", async () => {
    const elsewhere = { ...env, DOCKER_HOST: `tcp://${HEAD}:2375` };
    const { code, stderr } = await image(pushArgs("base"), account(password), elsewhere);
    expect(code).toBe(1);
    expect(stderr).toContain(`the docker command uses the engine at tcp://${HEAD}:2375, on another computer`);
  });
});
