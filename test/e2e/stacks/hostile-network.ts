/**
 * @file Hostile rows: ports and addresses that are nobody's to reach. A firewall that says nothing shows as curl's 28;
 * controls show that the road is there and that somebody listens.
 */
import { curl, METADATA, OUT_OF_REACH, type Row, TIMED_OUT } from "./hostile-table";

/** Without the answer's code, which is 000 where there was none. */
const knock = (from: Row["from"], what: string, at: string, expect: Row["expect"] = TIMED_OUT): Row => ({
  ...{ from, what, expect, waits: true },
  command: curl(`http://${at}/`),
});

/** Of bob: at his block's numbers, and where the servers behind listen. */
const SERVICES = { "VS Code": 10102, Jupyter: 10103, "Jupyter itself": 8888, TensorBoard: 10104 };
/** What listens on the node for itself, its workspaces or the other nodes. */
const NODES_OWN = { SSH: 22, Docker: 2375, berthd: 9700 };
const RAYS = {
  "control service": 6379,
  dashboard: 8265,
  client: 30001,
  "node manager": 30002,
  metrics: 30008,
};

export const networkRows: readonly Row[] = [
  // Controls.
  {
    what: "gets an answer from the other node, where one is due: the attempts are real ones",
    from: "carol",
    command: curl("http://$OTHER_NODE:8265/api/jobs/"),
    expect: "401",
  },
  ...(["$NODE", "$OTHER_NODE"] as const).map(
    (node): Row => ({
      what: `reaches SSH of ${node}: the attempts are real ones`,
      from: "outsider",
      command: `timeout 5 bash -c 'exec 3<>/dev/tcp/'${node}'/22; head -c 7 <&3'`,
      expect: "SSH-2.0",
    }),
  ),
  {
    what: "gets an answer from the cloud's metadata: the attempts are real ones",
    from: "node",
    command: curl(`http://${METADATA}/`),
    expect: "200",
  },

  ...Object.entries({ SSH: 22, ...SERVICES }).map(([service, port]) =>
    knock("carol", `does not reach ${service} of bob's container past its published port`, `$BOB_AT:${port}`),
  ),
  ...Object.entries({ SSH: 22, ...SERVICES }).map(([service, port]) =>
    knock(
      "outsider",
      `does not reach ${service} of bob's container by a route over his node`,
      `$BOB_AT:${port}`,
    ),
  ),
  ...Object.entries(SERVICES).map(([service, port]) =>
    knock("alice", `does not reach ${service} on bob's node by its own port`, `$NODE:${port}`),
  ),
  ...(["$NODE", "$GATEWAY"] as const).flatMap((node) =>
    Object.entries(NODES_OWN).map(([what, port]) =>
      knock("carol", `does not reach ${what} of her node at ${node}`, `${node}:${port}`),
    ),
  ),
  ...Object.entries({ Docker: 2375, berthd: 9700 }).flatMap(([what, port]) => [
    knock("carol", `does not reach ${what} of the other node`, `$OTHER_NODE:${port}`),
    knock("alice", `does not reach ${what} of the other node`, `$NODE:${port}`),
    knock("outsider", `does not reach ${what}`, `$NODE:${port}`),
  ]),
  {
    what: "is not let in by SSH of the other node, which asks for the operator's key",
    from: "carol",
    command:
      "ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=5 root@$OTHER_NODE id",
    expect: /root@\S+: Permission denied \(publickey\)\.\nexit 255$/,
  },
  ...Object.entries(RAYS).flatMap(([what, port]) =>
    ["$NODE", "$OTHER_NODE"].map((node) =>
      knock("outsider", `does not reach Ray's ${what} on ${node}`, `${node}:${port}`),
    ),
  ),

  ...(["carol", "nobody", "ray"] as const).flatMap((from) => [
    knock(from, "learns nothing of the cloud's metadata", METADATA, OUT_OF_REACH),
    knock(from, "learns nothing of it over IPv6", "[fd00:ec2::254]", OUT_OF_REACH),
    knock(from, "learns nothing of it on the link", "[fe80::a9fe:a9fe%25eth0]", OUT_OF_REACH),
  ]),
];
