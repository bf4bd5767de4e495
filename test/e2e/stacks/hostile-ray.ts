/**
 * @file Hostile rows about Ray: what a task of Ray's reaches, and what it can pretend to be. Only rows; whoever runs them
 * lays out what they name.
 *
 * In the environment of each: NODE and OTHER_NODE (node-1, where bob, carol and the Ray task are, and the head), GATEWAY
 * (the node's address among its workspaces), BOB_AT (bob's container, past its published ports).
 */
import { STACK } from "./cluster-rig";
import { curl, OUT_OF_REACH, type Row } from "./hostile-table";

const closed = (what: string, at: string): Row => ({
  from: "ray",
  what: `does not reach ${what} at ${at}`,
  command: curl(`http://${at}/`),
  expect: OUT_OF_REACH,
  waits: true,
});

/** The first letters that a server says by itself. */
const greeting = (at: string, port: number) =>
  `timeout 5 bash -c "exec 3<>/dev/tcp/${at}/${port} && head -c 4 <&3"; echo`;

const ray = `berth-${STACK}-ray`;

/** Listens in the place of a service that is down, and says what it heard. */
const listener = (port: number) => `
docker exec ${ray} rm -f /tmp/hostile-${port}
docker exec -d ${ray} timeout 20 /opt/venv/bin/python3 -c '
import socket
listener = socket.create_server(("0.0.0.0", ${port}), backlog=0)
while True:
    caller, _ = listener.accept()
    with open("/tmp/hostile-${port}", "ab") as file:
        file.write(caller.recv(500))
    caller.close()'
sleep 1`;
const heard = (port: number) =>
  `docker exec ${ray} sh -c 'cat /tmp/hostile-${port} 2>/dev/null; echo heard no more'`;

/** A block of ports that is nobody's, as somebody's is whose workspace is stopped. */
const FREE = 10302;

export const rayRows: readonly Row[] = [
  // Controls: the road is there.
  {
    from: "ray",
    what: "gets an answer from Ray on the head, which wants the token",
    command: curl("http://$OTHER_NODE:8265/api/jobs/"),
    expect: "401",
  },
  {
    from: "ray",
    what: "reaches another process of Ray's on a port of its own choice",
    command: `/opt/venv/bin/python3 -c '
import os, socket
listener = socket.create_server((os.environ["NODE"], 0))
caller = socket.create_connection(listener.getsockname(), 5)
listener.accept()[0].sendall(b"hello")
print(caller.recv(5).decode())'`,
    expect: "hello",
  },
  {
    from: "ray",
    what: "finds names",
    command: `getent hosts "berth-${STACK}-node-0" >/dev/null; echo "exit code $?"`,
    expect: /^exit code [02]$/,
  },

  ...["127.0.0.1", "[::1]", "$NODE", "$GATEWAY"].flatMap((at) => [
    closed("SSH of its node", `${at}:22`),
    closed("berthd of its node", `${at}:9700`),
  ]),
  ...["22", "9700", "2375"].map((port) =>
    closed("what is not Ray's of the other node", `$OTHER_NODE:${port}`),
  ),
  closed("SSH of bob's workspace past its published port", "$BOB_AT:22"),
  closed("bob's published SSH on the same node", "$NODE:10122"),
  closed("alice's published SSH on the other node", "$OTHER_NODE:10022"),
  closed("the cloud's metadata", "169.254.169.254"),
  closed("any other address of the link", "169.254.7.7"),
  closed("the cloud's metadata over IPv6", "[fd00:ec2::254]"),
  closed("the cloud's metadata on the link", "[fe80::a9fe:a9fe%25eth0]"),

  // In somebody's place.
  {
    from: "node",
    what: "hears nothing of a person whose neighbour's Ray task listens on a port of people's",
    command: `${listener(FREE)}
docker exec berth-${STACK}-workspace-carol curl --noproxy '*' -s -m 3 -o /dev/null -u carol:password "http://$NODE:${FREE}/" || echo "carol's curl: $?"
curl --noproxy '*' -s -m 3 -o /dev/null -u root:password "http://$NODE:${FREE}/" || echo "the node's curl: $?"
${heard(FREE)}`,
    expect: "carol's curl: 28\nthe node's curl: 28\nheard no more",
  },
  {
    from: "carol",
    what: "reaches bob's published SSH on the same node, by Docker's proxy",
    command: greeting("$NODE", 10122),
    expect: "SSH-",
  },
  {
    from: "node",
    what: "reaches a published port of its own",
    command: greeting("$NODE", 10122),
    expect: "SSH-",
  },
];
