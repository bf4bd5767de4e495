/**
 * @file Real clients of the end-to-end test's stack: ssh, HTTP, a Jupyter kernel over its WebSocket, a browser.
 */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import type { RequestOptions } from "node:http";
import { join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { ask, cookies } from "../../lib/http";
import type { Ran } from "../../lib/run";
import { type SshTarget, sshArgs, sshOptions } from "../../lib/ssh";
import { MINUTE, SECOND } from "../../lib/time";
import { throughSsh } from "../../lib/tunnel";
import { CREDENTIAL, folder, home, NODES, ok, pulumi, run } from "./cluster-rig";

export interface Credentials {
  password: string;
  codePassword: string;
  jupyterToken: string;
  tensorboardPassword: string;
  sshPrivateKey: string;
}

/** By user; asked anew each time, as users come and go. */
export async function credentials(): Promise<Record<string, Credentials>> {
  return JSON.parse(await pulumi(["stack", "output", "credentials", "--show-secrets", "--json"]));
}

/** Where each user of the test lives. */
const PLACES = {
  alice: { host: NODES["node-0"], block: 10000 },
  bob: { host: NODES["node-1"], block: 10100 },
  carol: { host: NODES["node-1"], block: 10200 },
} as const;

export type User = keyof typeof PLACES;

export type Service = keyof typeof OFFSETS;
const OFFSETS = { code: 2, jupyter: 3, tensorboard: 4 } as const;
export const SERVICES: readonly Service[] = ["code", "jupyter", "tensorboard"];

/** Of the workspace's loopback, and of this computer's while `forwarded` works. */
export const portOf = (user: User, service: Service) => PLACES[user].block + OFFSETS[service];

/** Where the node would publish it. */
export const address = (user: User, service: Service) => `${PLACES[user].host}:${portOf(user, service)}`;

export const url = (user: User, service: Service) => `http://${user}.localhost:${portOf(user, service)}`;

/** The command by which the stack says that a person reaches the three. */
export const tunnel = (user: User) => {
  const forwards = SERVICES.map((service) => {
    const port = portOf(user, service);
    return `-L ${port}:127.0.0.1:${port}`;
  });
  const { host, block } = PLACES[user];
  return `ssh -N -o ExitOnForwardFailure=yes ${forwards.join(" ")} -p ${block + 22} ${user}@${host}`;
};

/** Only the host keys that the stack wrote down are accepted. */
const knownHosts = join(folder, "known_hosts");

const workspace = (user: User): SshTarget => {
  const { host, block } = PLACES[user];
  return { address: host, port: block + 22, user, knownHosts };
};

/** Runs a command in a user's workspace, signed in by the user's key. */
export async function ssh(user: User, command: string, deadline = MINUTE): Promise<string> {
  const args = [...sshArgs({ ...workspace(user), key: join(folder, `user-${user}`) }), command];
  return (await ok("ssh", args, { deadline })).stdout.trim();
}

/** What a person reads who signs in to a terminal and leaves. */
export async function welcome(user: User): Promise<string> {
  const args = ["-tt", ...sshArgs({ ...workspace(user), key: join(folder, `user-${user}`) })];
  return (await run("ssh", args, { input: "exit\n", deadline: MINUTE })).stdout.replaceAll("\r", "");
}

/** Runs a script in a user's workspace, and gives what it prints. */
export async function shell(user: User, script: string, deadline = 2 * MINUTE): Promise<string> {
  const args = [...sshArgs({ ...workspace(user), key: join(folder, `user-${user}`) }), "bash", "-s"];
  return (await ok("ssh", args, { deadline, input: script })).stdout;
}

/** A command by password. */
export function sshByPassword(user: User, password: string, command: string): Promise<Ran> {
  const options = { PreferredAuthentications: "password", NumberOfPasswordPrompts: "1" };
  const args = sshArgs({ ...workspace(user), options });
  return run("sshpass", ["-e", "ssh", ...args, command], { env: { SSHPASS: password } });
}

/** Does `work` while a user's services are on this computer's loopback, by the command that the stack prints. */
export async function forwarded<T>(user: User, work: () => Promise<T>): Promise<T> {
  const users: Record<string, { tunnel?: string }> = JSON.parse(
    await pulumi(["stack", "output", "users", "--json"]),
  );
  const printed = users[user]?.tunnel ?? "";
  if (printed !== tunnel(user)) throw new Error(`the stack prints for ${user}: ${printed}`);
  const [, ...words] = printed.split(" ");
  const options = sshOptions({ key: join(folder, `user-${user}`), knownHosts });
  const ports = SERVICES.map((service) => portOf(user, service));
  return throughSsh([...options, ...words], ports, work);
}

/** Asks a service that is forwarded by its own name, which not every system's resolver knows as a browser does. */
export const web = (user: User, service: Service, options: RequestOptions = {}, body = "") =>
  ask(
    {
      port: portOf(user, service),
      ...options,
      headers: { Host: new URL(url(user, service)).host, ...options.headers },
    },
    body,
  );

/** Runs a script on a node, as the operator. */
export async function onNode(node: keyof typeof NODES, script: string): Promise<string> {
  const args = sshArgs({ address: NODES[node], key: join(folder, "id_ed25519"), knownHosts });
  return (await ok("ssh", [...args, "bash", "-s"], { input: `set -eu\n${script}\n` })).stdout.trim();
}

/** Signs in to VS Code, which is forwarded, and gives the status of its page with the cookie that came back, if any. */
export async function codeServer(user: User, password: string): Promise<number> {
  const form = new URLSearchParams({ password, base: "." }).toString();
  const headers = { "Content-Type": "application/x-www-form-urlencoded" };
  const answer = await web(user, "code", { method: "POST", path: "/login", headers }, form);
  const page = { path: `/?folder=/home/${user}`, headers: { Cookie: cookies(answer) } };
  return (await web(user, "code", page)).status;
}

interface Message {
  msg_type: string;
  parent_header: { msg_id?: string };
  content: {
    execution_state?: string;
    data?: Record<string, string>;
    text?: string;
    ename?: string;
    evalue?: string;
  };
}

/** Runs cells in one new kernel of the user's Jupyter, which is forwarded; gives each cell's result as text. */
export async function notebook(
  user: User,
  token: string,
  cells: string[],
  deadline = 3 * MINUTE,
): Promise<string[]> {
  const at = `127.0.0.1:${portOf(user, "jupyter")}`;
  const api = `http://${at}/api/kernels`;
  const headers = { Authorization: `token ${token}` };
  const signal = AbortSignal.timeout(deadline);
  const made = await fetch(api, { method: "POST", headers, body: "{}", signal });
  if (!made.ok) throw new Error(`POST ${api}: HTTP ${made.status} ${await made.text()}`);
  const { id } = (await made.json()) as { id: string };
  const link = new WebSocket(`ws://${at}/api/kernels/${id}/channels?token=${token}`);
  try {
    const results: string[] = [];
    for (const code of cells) results.push(await cell(link, code, signal));
    return results;
  } finally {
    link.close();
    await fetch(`${api}/${id}`, { method: "DELETE", headers, signal: AbortSignal.timeout(30 * SECOND) });
  }
}

function cell(link: WebSocket, code: string, signal: AbortSignal): Promise<string> {
  const id = randomUUID();
  const header = { msg_id: id, username: "", session: id, msg_type: "execute_request", version: "5.3" };
  const content = { code, silent: false };
  const request = { header, parent_header: {}, metadata: {}, channel: "shell", content };
  let said = "";
  return new Promise((resolve, reject) => {
    const fail = (what: string) => reject(new Error(`cell ${JSON.stringify(code)}: ${what}\n${said}`));
    signal.addEventListener("abort", () => fail("not done in time"));
    link.addEventListener("error", () => fail("the WebSocket failed"));
    link.addEventListener("close", () => fail("the WebSocket closed"));
    let result = "";
    link.addEventListener("message", ({ data }) => {
      const message = JSON.parse(String(data)) as Message;
      if (message.parent_header.msg_id !== id) return;
      if (message.msg_type === "stream") said += message.content.text ?? "";
      if (message.msg_type === "execute_result") result = message.content.data?.["text/plain"] ?? "";
      if (message.msg_type === "error") fail(`${message.content.ename}: ${message.content.evalue}`);
      if (message.msg_type === "status" && message.content.execution_state === "idle") resolve(result);
    });
    const send = () => link.send(JSON.stringify(request));
    if (link.readyState === WebSocket.OPEN) send();
    else link.addEventListener("open", send, { once: true });
  });
}

/** Opens a headless Chromium that talks to nobody but the pages asked for. */
export const openBrowser = (): Promise<Browser> =>
  chromium.launch({
    executablePath: process.env.BERTH_CHROMIUM ?? "/usr/bin/chromium",
    timeout: 2 * MINUTE,
    args: [
      ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server"],
      ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
    ],
  });

/** Where a Ray task runs that asks for the node with this address. */
export const WHERE = `import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On
ray.init(ignore_reinit_error=True, log_to_driver=False)
@ray.remote(num_cpus=0.1)
def where():
    import ray
    return ray.util.get_node_ip_address()
nodes = {node["NodeManagerAddress"]: node["NodeID"] for node in ray.nodes() if node["Alive"]}
def on(address):
    return ray.get(where.options(scheduling_strategy=On(nodes[address], soft=False)).remote())
`;

/** Every secret of the stack, long ones line by line. */
export async function secrets(): Promise<string[]> {
  const byUser = await credentials();
  const values = Object.values(byUser).flatMap((user) => Object.values(user) as string[]);
  values.push(CREDENTIAL, readFileSync(join(home, "passphrase"), "utf8").trim());
  values.push(await onNode("node-0", "cat /var/lib/berth/ray/token"));
  values.push(readFileSync(join(folder, "id_ed25519"), "utf8"));
  const lines = values.flatMap((value) => value.split("\n")).filter((line) => /^[^-]{8,}/.test(line));
  if (lines.length < 20) throw new Error("too few secrets were found to look for");
  return lines;
}

/** Which secrets a text holds, by their number: the failure's message shows none of them. */
export const found = (text: string, values: string[]) =>
  values.flatMap((value, index) => (text.includes(value) ? [`secret ${index} of ${values.length}`] : []));
