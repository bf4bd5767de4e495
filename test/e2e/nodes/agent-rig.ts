/** berthd for the tests on a real node: a registry beside the node, its image in several versions, and the stage. */

import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AgentDocuments, agentInput, readAgentFacts, renderAgent } from "../../../components/agent";
import { renderBase } from "../../../components/host/base";
import { renderFirewall } from "../../../components/host/firewall";
import { renderRuntime } from "../../../components/host/runtime";
import { parseFacts } from "../../../components/host/stage";
import { renderStorage } from "../../../components/host/storage";
import { cleanUp, docker, must, onNode, run, ssh, sshArgs, startNode, until } from "../../lib/host-node";

const REGISTRY = "berth-hosttest-registry";
/** As the runtime stage of the test's node is told. */
export const REGISTRY_HOST = "10.89.7.2:5000";
const folder = mkdtempSync(join(tmpdir(), "berth-agenttest-"));
let write = "";
let base = "";

/** Starts the registry in the node's network and puts berthd's image into it. */
export async function startRegistry(network: string): Promise<string> {
  const build = async (name: string) =>
    (JSON.parse(await must("node", ["scripts/image.mjs", "build", name, "--json"], 1800)) as { ref: string })
      .ref;
  const image = await build("registry");
  base = await build("agent");
  const password = randomBytes(16).toString("hex");
  const account = join(folder, "credentials.json");
  writeFileSync(account, JSON.stringify({ username: "push", password }), { mode: 0o444 });
  await docker(
    ...["create", "--name", REGISTRY, "--network", network, "--ip", REGISTRY_HOST.split(":")[0] ?? ""],
    ...["--publish", "127.0.0.1:0:5001", image],
  );
  await docker("cp", account, `${REGISTRY}:/etc/berth/registry/credentials.json`);
  await docker("start", REGISTRY);
  write = (await docker("port", REGISTRY, "5001")).trim();
  const auth = Buffer.from(`push:${password}`).toString("base64");
  writeFileSync(join(folder, "config.json"), JSON.stringify({ auths: { [write]: { auth } } }), {
    mode: 0o600,
  });
  await until("the registry", 60, async () => {
    const answer = await fetch(`http://${write}/v2/`).catch(() => undefined);
    return answer?.status === 401;
  });
  return publish("plain", {});
}

/** Another version of the image: these files over those of the built one. Returns its name for a node, by digest. */
export async function publish(tag: string, files: Record<string, string>): Promise<string> {
  const context = join(folder, tag);
  mkdirSync(join(context, "root/bin"), { recursive: true });
  writeFileSync(join(context, "root/.variant"), tag);
  for (const [path, text] of Object.entries(files))
    writeFileSync(join(context, "root", path), text, { mode: 0o755 });
  writeFileSync(join(context, "Dockerfile"), `FROM ${base}\nCOPY root/ /agent/\n`);
  const name = `${write}/berth/agent:${tag}`;
  await docker("build", "-q", "-t", name, context);
  const said = await must("docker", ["--config", folder, "push", name], 300);
  await docker("image", "rm", name);
  const digest = /digest: (sha256:[0-9a-f]{64})/.exec(said)?.[1];
  if (!digest) throw new Error(`no digest in: ${said}`);
  return `${REGISTRY_HOST}/berth/agent@${digest}`;
}

/** A stream of the node's own system without its data, for `docker import`: what runs in its containers. */
export const OWN_FILES = "tar -C / -c bin lib lib64 sbin usr/bin usr/lib64 usr/lib/x86_64-linux-gnu etc";

/** A fresh node with every stage before berthd's, and the registry that has its image. */
export async function standardNode(documents: AgentDocuments): Promise<Stage> {
  await must("docker", ["info"], 20);
  await stopRegistry();
  await cleanUp();
  await startNode();
  const image = await startRegistry("berth-hosttest");
  const node = documents.node.node;
  const firewall = {
    allowSsh: ["10.89.7.0/24"],
    allowUsers: [],
    userPorts: [],
    clusterAddresses: [],
    clusterPorts: [],
  };
  for (const text of [
    renderBase({ node }),
    renderFirewall({ node, ...firewall }),
    renderStorage({ node }),
    renderRuntime({ node, avoidNetworks: firewall.allowSsh, insecureRegistries: [REGISTRY_HOST] }),
  ]) {
    const { code, stderr } = await ssh(text);
    if (code !== 0 || stderr !== "") throw new Error(`a stage of ${node} ended with ${code}: ${stderr}`);
  }
  return { image, documents };
}

export async function stopRegistry(): Promise<void> {
  await run("docker", ["rm", "-f", "-v", REGISTRY]);
}

export function removeRigFiles(): void {
  rmSync(folder, { recursive: true, force: true });
}

export interface Stage {
  image: string;
  documents: AgentDocuments;
}

export const versionOf = (image: string) => /sha256:([0-9a-f]{12})/.exec(image)?.[1] ?? "";

/** Runs the agent stage over SSH, as the command provider does. */
export function runStage({
  image,
  documents,
}: Stage): Promise<{ code: number; stdout: string; stderr: string }> {
  const users = documents.node.users.map(({ name }) => name);
  const text = renderAgent({ node: documents.node.node, image, users });
  return new Promise((resolve) => {
    const child = execFile("ssh", sshArgs(text), { timeout: 600_000 }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr }),
    );
    child.stdin?.end(agentInput(documents));
  });
}

/** The same, where it has to end well. */
export async function stage(options: Stage) {
  const { code, stdout, stderr } = await runStage(options);
  if (code !== 0 || stderr !== "") throw new Error(`the agent stage ended with ${code}: ${stderr}`);
  return { facts: readAgentFacts(stdout), changed: parseFacts(stdout).changed as string[] };
}

export const berth = async (words: string) => JSON.parse(await onNode(`berth ${words} --json`));
export const mainPid = async () => (await onNode("systemctl show -p MainPID --value berthd.service")).trim();
export const ready = () =>
  onNode(
    "curl -f -s -o /dev/null --max-time 5 --unix-socket /run/berth/berthd.sock http://berthd/ready && echo yes || true",
  ).then((text) => text.trim() === "yes");
