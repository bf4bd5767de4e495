/**
 * @file Hostile rows: berthd's streams, the tickets that open them, and how much one person may ask. Others' events, tickets
 * that are used twice, elsewhere or by somebody else, and as much of all as there is, over a person's own socket and TCP.
 */
import { BOBS, overSocket, overTcp, SOCKET, TCP, WRONG } from "./hostile-daemon";
import { curl, json, type Row } from "./hostile-table";

/** As of a workspace: carol's, over her own socket. */
const carol = (what: string, command: string, expect: Row["expect"], more: Partial<Row> = {}): Row => ({
  ...{ from: "carol", what, command, expect, ...more },
});
/** As of the node, over TCP. */
const nobody = (what: string, command: string, expect: Row["expect"], more: Partial<Row> = {}): Row => ({
  ...{ from: "nobody", what, command, expect, ...more },
});

/** The answer's code, of a stream as well: that is left after so many seconds, as it does not end by itself. */
const code = (options: string, url: string, seconds = 2) =>
  `{ ${curl(url, `-N -m ${seconds} ${options}`)} 2>/dev/null || [ $? = 28 ]; }`;

/** As a client of WebSockets asks. */
const UPGRADE = `-H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='`;

/** Fills `ticket`. */
const ticketBy = (options: string, at: string) =>
  `ticket=$(curl --noproxy '*' -sS -m 3 ${options} ${json("POST", '{"path": "/api/events"}')} ${at}/api/tickets |
  sed 's/.*"ticket":"\\([^"]*\\)".*/\\1/')`;

/** Whose events there are, all that are kept: a name each, or the whole line of one that is nobody's. */
const whoseEvents = (options: string, at: string) =>
  `curl --noproxy '*' -s -N -m 3 ${options} '${at}/api/events?last_event_id=0' | sed -n 's/^data: //p' |
  sed 's/.*"user":"\\([^"]*\\)".*/\\1/' | sort -u`;

/** How many answers of each code there were. */
const COUNT = "sort | uniq -c | xargs";
/** The same request so many times on one connection. */
const often = (times: number, options: string, url: string) =>
  `curl --noproxy '*' -s -o /dev/null -w '%{http_code}\\n' ${options} '${url}?n=[1-${times}]' | ${COUNT}`;

/** More requests than two minutes let through, as one may end in the middle. */
export const askMuch = (options: string, at: string) => often(2500, options, `${at}/api/whoami`);
export const WITH_AN_END = /^\d+ 200 \d+ 429$/;

export const streamRows: readonly Row[] = [
  carol("is told of no events but her own", whoseEvents(SOCKET, "http://berthd"), "carol"),
  carol("follows no events of bob's", overSocket("/api/events?user=bob"), "403"),
  carol(
    "gets no ticket for bob",
    overSocket("/api/tickets", json("POST", '{"path": "/api/events", "user": "bob"}')),
    "403",
  ),
  carol(
    "gets no ticket for what is no stream",
    overSocket("/api/tickets", json("POST", '{"path": "/api/grants"}')),
    "404",
  ),
  carol(
    "runs nothing in bob's workspace",
    overSocket("/api/containers/$BOB/exec", json("POST", '{"command": "id"}')),
    "404",
  ),
  carol("opens no terminal in bob's workspace", overSocket("/api/containers/$BOB/terminal", UPGRADE), "404"),
  carol("follows no log of bob's workspace", overSocket("/api/containers/$BOB/logs"), "404"),
  carol(
    "gets no ticket for a terminal in bob's workspace",
    overSocket("/api/containers/$BOB/terminal/ticket", json("POST", "{}")),
    "404",
  ),
  carol(
    "has no container set up as a back-end has",
    overSocket("/api/containers/00000000/setup", json("POST", '{"repo": "a/b"}')),
    "403",
  ),
  carol(
    "uses a ticket once",
    `${ticketBy(SOCKET, "http://berthd")}
for n in 1 2; do ${code(SOCKET, "http://berthd/api/events?ticket=$ticket")}; done`,
    "200\n401",
  ),
  carol(
    "holds no stream with a body that does not come",
    code(`${SOCKET} -H 'Content-Length: 200000'`, "http://berthd/api/events"),
    "400",
  ),
  carol(
    "has so many unused tickets at a time",
    often(70, `${SOCKET} ${json("POST", '{"path": "/api/events"}')}`, "http://berthd/api/tickets"),
    "64 201 6 429",
  ),
  carol(
    "has so many streams at a time",
    `for n in $(seq 34); do ${code(SOCKET, "http://berthd/api/events", 10)} & done | ${COUNT}`,
    "32 200 2 429",
    { seconds: 40, waits: true },
  ),
  // berthd's port is closed to workspaces and to Ray's tasks, for streams as for all else.
  carol(
    "reaches no stream over TCP, by a ticket either",
    curl(`http://$GATEWAY:9700/api/events?ticket=${"A".repeat(43)}`),
    /exit (7|28)$/,
    { waits: true },
  ),
  ...(
    [
      ["no stream", curl(`${TCP}/api/events`)],
      ["no ticket", curl(`${TCP}/api/tickets`, json("POST", '{"path": "/api/events"}'))],
    ] as const
  ).map(
    ([what, command]): Row => ({
      ...{ from: "ray", what: `opens ${what} of berthd's`, command, expect: /^401$|exit (7|28)$/ },
    }),
  ),

  ...WRONG.map(([how, options]) =>
    nobody(`${how} follows no events`, overTcp("/api/events", options), "401"),
  ),
  nobody(
    "without a token gets no ticket",
    overTcp("/api/tickets", json("POST", '{"path": "/api/events"}')),
    "401",
  ),
  nobody("with bob's token is told of no events but his", whoseEvents(BOBS, TCP), "bob"),
  nobody("with bob's token follows no events of carol's", overTcp("/api/events?user=carol", BOBS), "403"),
  nobody(
    "with bob's token follows no events for a page of another site",
    overTcp("/api/events", `${BOBS} -H 'Origin: http://evil.example'`),
    "403",
  ),
  nobody(
    "with bob's ticket opens one stream, once, and nothing else",
    `${ticketBy(BOBS, TCP)}
for url in "${TCP}/api/grants" "${TCP}/api/events" "${TCP}/api/events"; do ${code("", "$url?ticket=$ticket")}; done`,
    "401\n200\n401",
  ),
  nobody(
    "with bob's ticket is nobody on berthd's socket all the same",
    `${ticketBy(BOBS, TCP)}
${code("--unix-socket /run/berth/berthd.sock", "http://berthd/api/events?ticket=$ticket")}`,
    "403",
  ),
  // The last one with this token.
  nobody("with bob's token asks so much in a minute", askMuch(BOBS, TCP), WITH_AN_END, {
    seconds: 60,
    waits: true,
  }),
];
