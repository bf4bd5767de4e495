/**
 * @file Hostile rows: what berthd, Ray and the image registry are asked by whoever may not ask it: with no token, a wrong
 * one and another person's, over TCP and the sockets, with headers that pretend to be somebody.
 */
import { curl, json, type Row } from "./hostile-table";

const row = (from: Row["from"], what: string, command: string, expect: Row["expect"]): Row => ({
  ...{ from, what, command, expect },
});

/** What a proxy would say of a caller that it knows. */
const LIES = [
  "X-Forwarded-User: root",
  "X-Remote-User: root",
  "X-Forwarded-For: 127.0.0.1",
  "X-Real-IP: 127.0.0.1",
]
  .map((line) => `-H '${line}'`)
  .join(" ");
const body = (options: string, url: string) => `curl --noproxy '*' -sS -m 3 ${options} "${url}"`;

/** Requests that are for operators alone, or concern somebody else, and what each is answered. */
const ADMINS: readonly (readonly [string, string, string])[] = [
  ["reads what all hold", "/api/declared", ""],
  ["grants as the stack does", "/api/declared", json("POST", '{"declared": []}')],
  ["lists tokens", "/api/tokens", ""],
  ["makes a token", "/api/tokens", json("POST", '{"role": "admin"}')],
  ["lists what Docker could not start", "/api/held-back", ""],
  ["puts a GPU out of use", "/api/gpus/GPU-0/quarantine", json("POST", '{"reason": "mine"}')],
];
const ASK = '"ask": {"kind": "mig", "profile": "1g.10gb"}';

/** Asks of a new container that go beyond what a person may have, and what each is answered; `$CAROL_GRANT` is of her workspace. */
const CONTAINERS: readonly (readonly [string, string, string])[] = [
  ["uses the grant of her workspace", '"gpus": {"grant": "$CAROL_GRANT"}', "403"],
  ["uses bob's grant", '"gpus": {"grant": "$BOB_GRANT"}', "404"],
  ["uses a grant that there is not", '"gpus": {"grant": "g0"}', "404"],
  ["takes an image that nobody allowed", `"image": "sha256:${"0".repeat(64)}"`, "403"],
  ["mounts the node's disk", '"mounts": [{"source": "/", "target": "/host"}]', "400"],
  ["mounts it as Docker writes it", '"HostConfig": {"Binds": ["/:/host"]}', "400"],
  ["takes all rights", '"privileged": true', "400"],
  ["adds a capability", '"cap_add": ["SYS_ADMIN"]', "400"],
  ["takes the node's network", '"network": "host"', "400"],
  ["chooses its cgroup", '"cgroup_parent": "/"', "400"],
  ["sees all GPUs by a variable", '"env": {"NVIDIA_VISIBLE_DEVICES": "all"}', "400"],
  ["publishes a port of the node", '"ports": [{"container": 80, "host": 20000}]', "403"],
  ["has more memory than her workspace", '"memory": "64GiB"', "422"],
  ["has more processes than a person may", '"pids": 32768', "422"],
  ["belongs to bob", '"user": "bob"', "403"],
];

/** By a person whose rights end at their own. @param whom somebody else, with their grant and their container */
const forged = (
  from: Row["from"],
  who: string,
  whom: { name: string; grant: string; container: string },
  ask: (path: string, options?: string) => string,
): Row[] => [
  ...ADMINS.map(([what, path, options]) => row(from, `${who} ${what}`, ask(path, options), "403")),
  row(from, `${who} lists ${whom.name}'s grants`, ask(`/api/grants?user=${whom.name}`), "403"),
  row(from, `${who} sees ${whom.name}'s grant`, ask(`/api/grants/${whom.grant}`), "404"),
  row(from, `${who} releases ${whom.name}'s grant`, ask(`/api/grants/${whom.grant}`, "-X DELETE"), "404"),
  row(from, `${who} lists ${whom.name}'s containers`, ask(`/api/containers?user=${whom.name}`), "403"),
  row(from, `${who} sees ${whom.name}'s container`, ask(`/api/containers/${whom.container}`), "404"),
  row(
    from,
    `${who} removes ${whom.name}'s container`,
    ask(`/api/containers/${whom.container}`, "-X DELETE"),
    "404",
  ),
  row(
    from,
    `${who} asks as ${whom.name}`,
    ask("/api/grants", json("POST", `{"user": "${whom.name}", ${ASK}}`)),
    "403",
  ),
];

/** Where a person finds berthd in their workspace, and programs on the node, and bob's token for it. */
export const SOCKET = "--unix-socket /run/berthd/berth.sock";
export const TCP = "http://127.0.0.1:9700";
export const BOBS = '-H "Authorization: Bearer $BOB_TOKEN"';
export const overSocket = (path: string, options = "") =>
  curl(`http://berthd${path}`, `${SOCKET} ${options}`);
export const overTcp = (path: string, options = "") => curl(`${TCP}${path}`, options);

/** Asks for a container that would run; the fields stand in double quotes, so that the shell fills them in. */
const made = (fields: string) =>
  `-X POST -H 'Content-Type: application/json' -d "${`{"entrypoint": ["sleep", "1"], ${fields}}`.replaceAll('"', '\\"')}"`;

export const WRONG: readonly (readonly [string, string])[] = [
  ["without a token", ""],
  ["with a token that never was", `-H "Authorization: Bearer berth_${"A".repeat(43)}"`],
  ["with a token of another shape", '-H "Authorization: Bearer root"'],
  ["with a name and a password", "-u root:root"],
  ["with headers that pretend", LIES],
];

const RAY = "http://$OTHER_NODE:8265";
/** Asks one of Ray's gRPC services, and prints the status that it answers. */
const grpc = (module: string, call: string, port: number) =>
  `python3 -c 'import grpc, os
from ray.core.generated import ${module}_pb2 as p, ${module}_pb2_grpc as g
channel = grpc.insecure_channel(os.environ["OTHER_NODE"] + ":${port}")
try:
    ${call}
    print("answered")
except grpc.RpcError as error:
    print(error.code().name)'`;

export const daemonRows: readonly Row[] = [
  ...forged("carol", "by her socket", { name: "bob", grant: "$BOB_GRANT", container: "$BOB" }, overSocket),
  row(
    "carol",
    "by her socket takes a grant of hers from under its container",
    overSocket("/api/grants/$CAROL_GRANT?force=true", "-X DELETE"),
    "403",
  ),
  ...CONTAINERS.map(([what, fields, answer]) =>
    row("carol", `starts no container that ${what}`, overSocket("/api/containers", made(fields)), answer),
  ),
  row(
    "carol",
    "removes her own workspace by no call",
    overSocket("/api/containers/$CAROL", "-X DELETE"),
    "403",
  ),
  row(
    "carol",
    "is carol on her socket, whatever she says, also with bob's token",
    body(`${SOCKET} ${LIES} ${BOBS}`, "http://berthd/api/whoami"),
    '{"role":"user","user":"carol","actor":"user:carol"}',
  ),
  row("carol", "is no administrator for the command", "berth declared show", /exit 4$/),
  row(
    "bob",
    "releases no grant of carol's by the command",
    "berth gpu release $CAROL_GRANT",
    /There is no grant [\s\S]*\nexit 1$/,
  ),

  ...WRONG.flatMap(([how, options]) => [
    row("nobody", `${how} lists no grants`, overTcp("/api/grants", options), "401"),
    row(
      "nobody",
      `${how} releases no grant`,
      overTcp("/api/grants/$BOB_GRANT", `-X DELETE ${options}`),
      "401",
    ),
  ]),
  ...forged(
    "nobody",
    "with bob's token",
    { name: "carol", grant: "$CAROL_GRANT", container: "$CAROL" },
    (path, options = "") => overTcp(path, `${BOBS} ${options}`),
  ),
  row(
    "nobody",
    "with bob's token is bob, whatever the headers say",
    body(`${LIES} ${BOBS}`, `${TCP}/api/whoami`),
    /^\{"role":"user","user":"bob","actor":"token:[0-9a-f]+"\}$/,
  ),
  row(
    "nobody",
    "is nobody on berthd's socket",
    curl("http://berthd/api/grants", `--unix-socket /run/berth/berthd.sock ${LIES}`),
    "403",
  ),
  row(
    "nobody",
    "does not come to a person's socket",
    curl("http://berthd/api/grants", "--unix-socket /run/berth/users/bob/berth.sock"),
    /exit 7$/,
  ),
  // Where tasks are kept from the node's own services, they do not even get that answer.
  row("ray", "is asked for a token by berthd", curl(`${TCP}/api/grants`), /^401$|exit (7|28)$/),

  ...["/api/jobs/", "/api/cluster_status", "/nodes?view=summary", "/api/v0/tasks"].map((path) =>
    row(
      "carol",
      `without the token is told nothing by Ray's dashboard: ${path}`,
      curl(`${RAY}${path}`),
      "401",
    ),
  ),
  ...(
    [
      ["without the token", "", "401"],
      ["with a wrong token", '-H "Authorization: Bearer root"', "403"],
      ["with a wrong token in a cookie", '-H "Cookie: ray-authentication-token=root"', "403"],
    ] as const
  ).map(([how, options, code]) =>
    row(
      "carol",
      `${how} starts no job`,
      curl(`${RAY}/api/jobs/`, `${json("POST", '{"entrypoint": "id"}')} ${options}`),
      code,
    ),
  ),
  {
    ...row(
      "carol",
      "without the token opens no session at Ray's client port",
      grpc(
        "ray_client",
        "g.RayletDriverStub(channel).ClusterInfo(p.ClusterInfoRequest(type=p.ClusterInfoType.PING), timeout=10)",
        30001,
      ),
      "UNAUTHENTICATED",
    ),
    seconds: 40,
    waits: true,
  },
  {
    ...row(
      "carol",
      "without the token is told nothing by Ray's control service",
      grpc(
        "gcs_service",
        "g.NodeInfoGcsServiceStub(channel).GetAllNodeInfo(p.GetAllNodeInfoRequest(), timeout=10)",
        6379,
      ),
      "UNAUTHENTICATED",
    ),
    seconds: 40,
    waits: true,
  },

  ...(["carol", "outsider"] as const).flatMap((from) => [
    row(
      from,
      "puts no image into the registry where nodes pull from",
      curl("http://$REGISTRY:5000/v2/berth/workspace/blobs/uploads/", "-X POST -d ''"),
      "405",
    ),
    row(
      from,
      "puts no image into the registry where the stack pushes",
      curl("http://$REGISTRY:5001/v2/berth/workspace/blobs/uploads/", "-X POST -d ''"),
      "401",
    ),
  ]),
];
