/** berthd for the tests on a real node: a registry beside the node, its image in several versions, and the stage. */

import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AgentDocuments, agentInput, readAgentFacts, renderAgent } from "../../../components/agent";
import { renderFirewall } from "../../../components/host/firewall";
import { parseFacts } from "../../../components/host/stage";
import { buildImage, docker, removeThings } from "../../lib/docker";
import { TestNode } from "../../lib/node";
import { REGISTRIES, startPrepared } from "../../lib/prepared-node";
import { must, type Ran } from "../../lib/run";
import { MINUTE } from "../../lib/time";
import { until } from "../../lib/until";

const REGISTRY = "berth-agenttest-registry";
export const node = "node-0";
const network = { name: "berth-agenttest", subnets: ["10.89.9.0/24", "fd00:89:9::/64"] };
export const machine = new TestNode({
  ...{ name: "berth-agenttest-node", hostname: node, network },
  ...{ address: "10.89.9.10", address6: "fd00:89:9::10", cpus: "1.5" },
});
export const onNode = (command: string) => machine.onNode(command);
export const ssh = (command: string, deadline?: number) =>
  machine.ssh(command, deadline === undefined ? {} : { deadline });

/** The image of berthd that the node has to run, by digest: an upgrade puts another one here. */
export const berthd = { image: "" };

const folder = mkdtempSync(join(tmpdir(), "berth-agenttest-"));
let write = "";
let base = "";

/** Starts the registry in the node's network and puts berthd's image into it. */
async function startRegistry(): Promise<void> {
  const { ref: image } = await buildImage("registry");
  base = (await buildImage("agent")).ref;
  const password = randomBytes(16).toString("hex");
  const account = join(folder, "credentials.json");
  writeFileSync(account, JSON.stringify({ username: "push", password }), { mode: 0o444 });
  await docker(
    ...["create", "--name", REGISTRY, "--network", network.name],
    ...["--ip", REGISTRIES.agent.split(":")[0] ?? "", "--publish", "127.0.0.1:0:5001", image],
  );
  await docker("cp", account, `${REGISTRY}:/etc/berth/registry/credentials.json`);
  await docker("start", REGISTRY);
  write = await docker("port", REGISTRY, "5001");
  const auth = Buffer.from(`push:${password}`).toString("base64");
  writeFileSync(join(folder, "config.json"), JSON.stringify({ auths: { [write]: { auth } } }), {
    mode: 0o600,
  });
  await until("the registry", MINUTE, async () => (await fetch(`http://${write}/v2/`)).status === 401);
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
  const { stdout } = await must("docker", ["--config", folder, "push", name], { deadline: 5 * MINUTE });
  await docker("image", "rm", name);
  const digest = /digest: (sha256:[0-9a-f]{64})/.exec(stdout)?.[1];
  if (!digest) throw new Error(`no digest in: ${stdout}`);
  return `${REGISTRIES.agent}/berth/agent@${digest}`;
}

/** A stream of the node's own system without its data, for `docker import`: what runs in its containers. */
export const OWN_FILES = "tar -C / -c bin lib lib64 sbin usr/bin usr/lib64 usr/lib/x86_64-linux-gnu etc";

/** A node with every stage before berthd's, and the registry that has its image. */
export async function standardNode(): Promise<void> {
  await docker("info");
  await cleanUp();
  await startPrepared(machine);
  await startRegistry();
  berthd.image = await publish("plain", {});
  const firewall = {
    allowSsh: ["10.89.9.0/24"],
    allowUsers: [],
    userPorts: [],
    clusterAddresses: [],
    clusterPorts: [],
  };
  await machine.stage(renderFirewall({ node, ...firewall }));
}

export async function cleanUp(): Promise<void> {
  await removeThings({ containers: [REGISTRY] });
  await machine.cleanUp();
}

export async function removeFiles(): Promise<void> {
  await machine.removeFiles();
  rmSync(folder, { recursive: true, force: true });
}

export interface Stage {
  image: string;
  documents: AgentDocuments;
}

export const versionOf = (image: string) => /sha256:([0-9a-f]{12})/.exec(image)?.[1] ?? "";

/** Runs the agent stage over SSH, as the command provider does. */
export function runStage({ image, documents }: Stage): Promise<Ran> {
  const users = documents.node.users.map(({ name }) => name);
  const text = renderAgent({ node: documents.node.node, image, users });
  return machine.ssh(text, { input: agentInput(documents) });
}

/** The same, where it has to end well. */
export async function stage(options: Stage) {
  const { code, stdout, stderr } = await runStage(options);
  if (code !== 0 || stderr !== "") throw new Error(`the agent stage ended with ${code}: ${stderr}`);
  return { facts: readAgentFacts(stdout), changed: parseFacts(stdout).changed as string[] };
}

const DROP_IN = "/run/systemd/system/berthd.service.d";

/** Other values of the unit, while a test waits for what they make late; the unit's own are looked at elsewhere. */
export async function override(...settings: string[]): Promise<void> {
  const lines = ["[Service]", ...settings].join("\\n");
  const write = `mkdir -p ${DROP_IN} && printf '${lines}\\n' >${DROP_IN}/test.conf`;
  await onNode(`${settings.length > 0 ? write : `rm -rf ${DROP_IN}`} && systemctl daemon-reload`);
}

export const berth = async (words: string) => JSON.parse(await onNode(`berth ${words} --json`));
export const mainPid = async () => (await onNode("systemctl show -p MainPID --value berthd.service")).trim();
export const ready = () =>
  onNode(
    "curl -f -s -o /dev/null --max-time 5 --unix-socket /run/berth/berthd.sock http://berthd/ready && echo yes || true",
  ).then((text) => text.trim() === "yes");
