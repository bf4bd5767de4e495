/**
 * @file From where the hostile rows are tried, what is laid out for them, and how it goes again. Alice lives on node-0;
 * bob, who has no sudo, and carol, who is root of her workspace, share node-1.
 */
import { startClient } from "../../lib/client";
import { removeThings } from "../../lib/docker";
import { MINUTE, SECOND } from "../../lib/time";
import { until } from "../../lib/until";
import { onNode, shell } from "./cluster-clients";
import { docker, HEAD, ok, STACK, WORKER } from "./cluster-rig";
import { container, pool } from "./gpu-clients";
import { DEVICE, INSIDE, METADATA, ON_NODE, OWN_LAYER, type Place, SETUID } from "./hostile-table";

const OUTSIDER = `berth-${STACK}-outsider`;
const OUTSIDE = "10.91.0.50";
/** Of the workspaces on each node. */
const WORKSPACES = "172.30.0.0/24";

const HOME = ON_NODE[0];

/** Carol opens her folders as far as she can, so that whoever is on the node gets to her programs. */
const CAROLS = `
for at in ${[...INSIDE, OWN_LAYER].join(" ")}; do
  sudo -n install -m 6755 -o root -g root /usr/bin/id "$at/${SETUID}" || exit
done
chmod 711 ~ /workspace /var/lib/state
`;
const BOBS = `install -m 6755 /usr/bin/id /shared/tensorboard/bob/${SETUID}; echo his >~/his.txt; chmod 644 ~/his.txt`;

/** What the rows find in their environment. */
export async function setUp(): Promise<Record<string, string>> {
  await removeThings({ containers: [OUTSIDER] });
  const image = await docker("inspect", "--format", "{{.Image}}", `berth-${STACK}-node-1`);
  const [facts, { grants }] = await Promise.all([
    onNode(
      "node-1",
      `docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' ${container("bob")}
docker inspect -f '{{.GraphDriver.Data.UpperDir}}' ${container("carol")}
rm -f ${HOME}/${DEVICE}; mknod -m 666 ${HOME}/${DEVICE} c 1 5
ip route replace ${METADATA}/32 via ${OUTSIDE}
berth token create --role user --user bob --name hostile --json`,
    ),
    pool("node-1"),
    shell("carol", CAROLS),
    shell("bob", BOBS),
    startOutsider(image),
  ]);
  const [bobAt = "", layer = "", ...token] = facts.split("\n");
  const grantOf = (user: string) => grants.find(({ key }) => key === `workspace/${user}`)?.id ?? "";
  const variables = {
    NODE: WORKER,
    OTHER_NODE: HEAD,
    GATEWAY: WORKSPACES.replace("0/24", "1"),
    REGISTRY: HEAD.replace(/\d+$/, "2"),
    BOB: container("bob"),
    BOB_AT: bobAt,
    BOB_GRANT: grantOf("bob"),
    BOB_TOKEN: JSON.parse(token.join("\n")).token,
    CAROL: container("carol"),
    CAROL_GRANT: grantOf("carol"),
    CAROL_LAYER: layer,
  };
  const missing = Object.entries(variables).filter(([, value]) => !value);
  if (missing.length > 0) throw new Error(`not found: ${missing.map(([name]) => name).join(", ")}`);
  await until("the metadata service", 20 * SECOND, () =>
    onNode("node-1", `curl -sS -m 2 -o /dev/null http://${METADATA}/ && echo yes`),
  );
  return variables;
}

async function startOutsider(image: string): Promise<void> {
  const network = `berth-${STACK}`;
  await startClient({ name: OUTSIDER, network, address: OUTSIDE, image, capabilities: ["NET_ADMIN"] });
  const roads = `ip route replace ${WORKSPACES} via ${WORKER} && ip addr add ${METADATA}/32 dev lo`;
  await docker("exec", OUTSIDER, "sh", "-c", roads);
  const serve = ["python3", "-m", "http.server", "-b", METADATA, "-d", "/etc/alternatives", "80"];
  await docker("exec", "--detach", OUTSIDER, ...serve);
}

/** All of it, also after a set-up that failed half-way. */
export async function tearDown(): Promise<void> {
  const revoke = `berth token list --json | python3 -c 'import json, sys
for token in json.load(sys.stdin)["tokens"]:
    if token.get("name") == "hostile": print(token["id"])' | xargs -r -n 1 berth token revoke >/dev/null`;
  const own = [...INSIDE, OWN_LAYER].map((at) => `${at}/${SETUID}`).join(" ");
  const done = await Promise.allSettled([
    shell("carol", `sudo -n rm -f ${own}; chmod 700 ~ /workspace /var/lib/state`),
    shell("bob", `rm -f /shared/tensorboard/bob/${SETUID}`),
    onNode("node-1", `rm -f ${HOME}/${DEVICE}; ip route del ${METADATA}/32 || true\n${revoke}`),
    removeThings({ containers: [OUTSIDER] }),
  ]);
  for (const one of done) if (one.status === "rejected") throw one.reason;
}

const encoded = (text: string) => Buffer.from(text).toString("base64");

/** As the account that nobody has, with nothing of root's in its environment. */
const asNobody = (script: string) => `cd /
base64 -d <<<${encoded(script)} | setpriv --reuid=65534 --regid=65534 --clear-groups \\
  env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=/nonexistent bash -s`;

const TASK = `import ray, subprocess, sys
ray.init(logging_level="ERROR", log_to_driver=False)
@ray.remote(num_cpus=0, resources={"node_node-1": 0.01}, max_retries=0)
def task(script):
    return subprocess.run(["bash", "-s"], input=script, capture_output=True, text=True, timeout=100).stdout
print(ray.get(task.remote(sys.stdin.read())))
`;

/** By a job of alice's. */
const inTask = (script: string) =>
  shell(
    "alice",
    `base64 -d <<<${encoded(TASK)} >~/hostile.py
base64 -d <<<${encoded(script)} | bash -lc 'python ~/hostile.py'
rm -f ~/hostile.py`,
    3 * MINUTE,
  );

/** Runs a script there, and gives what it prints. */
export const reach: Readonly<Record<Place, (script: string) => Promise<string>>> = {
  alice: (script) => shell("alice", script),
  bob: (script) => shell("bob", script),
  carol: (script) => shell("carol", script),
  node: (script) => onNode("node-1", script),
  nobody: (script) => onNode("node-1", asNobody(script)),
  outsider: async (script) =>
    (await ok("docker", ["exec", "--interactive", OUTSIDER, "bash", "-s"], { input: script })).stdout,
  ray: inTask,
};
