/**
 * @file Hostile rows: a page of another site in the browser of somebody who is signed in. It opens a WebSocket to VS Code
 * or Jupyter, and the browser sends the cookie along; the server has to look at the Origin.
 */
import type { Row } from "./hostile-table";

const SETTINGS = "/etc/berth/services";
/** The handshake that a browser sends, from a page of the origin given; prints the answer's code. */
const HANDSHAKE = `handshake() {
  curl --noproxy '*' -g -s -m 4 -o /dev/null -w '%{http_code}\\n' --http1.1 -b "$jar" -H "Origin: $1" \\
    -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \\
    -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' "http://127.0.0.1:$port$2"
}
jar=$(mktemp)
trap 'rm -f "$jar"' EXIT`;

/** As from the services' own page, which is let in, so that a refusal is one of the origin. */
const OWN = '"http://127.0.0.1:$port"';
const FOREIGN = ["http://evil.example", "http://127.0.0.1:1", "null"];

interface Service {
  name: string;
  /** Fills `port`. */
  port: string;
  /** Fills the jar with the cookie of somebody who is signed in. */
  signIn: string;
  path: string;
}

const SERVICES: readonly Service[] = [
  {
    name: "VS Code",
    // Where another server stands before it, the person's own port leads to that.
    port: `sudo -n grep -q '^bind-addr:' ${SETTINGS}/code-server.yaml && sudo -n sed -n 's/^bind-addr: .*://p' ${SETTINGS}/code-server.yaml ||
  sudo -n jq -r .ports.code /run/berth/workspace.json`,
    signIn: `curl -s -o /dev/null -c "$jar" -d base=. --data-urlencode \\
  "password=$(sudo -n jq -r .codePassword /run/berth/secrets.json)" "http://127.0.0.1:$port/login"
# The first who comes waits until it has loaded.
curl -s -o /dev/null -m 40 -b "$jar" "http://127.0.0.1:$port/?folder=/home/carol"`,
    path: "/?reconnectionToken=7c9e6679-7425-40de-944b-e07fc1f90ae7&reconnection=false&skipWebSocketFrames=false",
  },
  {
    name: "Jupyter",
    port: `sudo -n sed -n 's/^c.ServerApp.port = //p' ${SETTINGS}/jupyter.py`,
    signIn: `curl -s -o /dev/null -L -c "$jar" -b "$jar" \\
  "http://127.0.0.1:$port/lab?token=$(sudo -n jq -r .jupyterToken /run/berth/secrets.json)"`,
    path: "/api/events/subscribe",
  },
];

export const webRows: readonly Row[] = SERVICES.map(({ name, port, signIn, path }) => ({
  what: `a page of another site opens no WebSocket to her ${name}, though it brings her cookie; her own page does`,
  from: "carol",
  command: `${HANDSHAKE}
port=$(${port})
${signIn}
for origin in ${FOREIGN.join(" ")} ${OWN}; do handshake "$origin" '${path}'; done
exit 0`,
  expect: [...FOREIGN.map(() => "403"), "101"].join("\n"),
  waits: true,
  seconds: 70,
}));
