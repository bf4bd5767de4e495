/** @file A stand-in machine on which the agent stage is run by bash for real: Docker, systemd and berthd are scripts. */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach } from "vitest";
import {
  type AgentDocuments,
  agentInput,
  type NodeDocument,
  readAgentFacts,
  renderAgent,
} from "../../components/agent";
import { parseFacts, stageBody } from "../../components/host/stage";
import { standIns } from "../lib/host-scripts";

export const digestOf = (version: string) => version.padEnd(64, "0");
export const imageOf = (version: string) => `10.88.0.2:5000/berth/agent@sha256:${digestOf(version)}`;

export const nodeDocument: NodeDocument = {
  stack: "dev",
  node: "node-0",
  strategy: "least-allocated",
  allocation: "exclusive",
  users: [{ name: "alice", uid: 10000, group: "student" }],
  listen: "loopback",
  port: 9700,
};

export interface Run {
  status: number | null;
  stdout: string;
  stderr: string;
  changed: string[];
  facts: ReturnType<typeof readAgentFacts> | undefined;
}

const DOCKER = `record "$@"
case "$1 $2" in
  'pull -q') [ ! -e "$ROOT/no-registry" ] ;;
  'container cp') cp -a "$ROOT/image/." "$4" ;;
esac`;

/**
 * Active or not, and how often it was started. A version named in `broken` does not start, one in `unready` grants
 * nothing, one in `crashes` does not stay. As berthd: the ledger is of the newest version that opened it, and no older
 * one reads it; what begins to grant says so in the event log. A command named in `cut` is the last that a run does.
 */
const SYSTEMCTL = `record "$@"
version=$(readlink "$ROOT/usr/local/lib/berth/agent/current" || true)
ledger=$ROOT/var/lib/berth/agent/ledger.db
cut() { if [ -e "$ROOT/cut/$1" ]; then rm "$ROOT/cut/$1"; kill -9 $PPID; fi; }
case $1 in
  is-active) [ -e "$ROOT/active" ] ;;
  stop) rm -f "$ROOT/active" ;;
  show)
    if [ -e "$ROOT/crashes/$version" ]; then echo started >>"$ROOT/starts"; fi
    cat "$ROOT/starts" ;;
  restart)
    rm -f "$ROOT/active"
    echo started >>"$ROOT/starts"
    for other in $(sed -n 's/^ledger of //p' "$ledger" 2>/dev/null); do
      if [[ $other > $version ]]; then exit 1; fi
    done
    if ! grep -qx "ledger of $version" "$ledger" 2>/dev/null; then echo "ledger of $version" >>"$ledger"; fi
    if [ -e "$ROOT/broken/$version" ]; then cut restart; exit 1; fi
    "$ROOT/bin/listen"
    if [ ! -e "$ROOT/unready/$version" ]; then "$ROOT/bin/event" ledger-open; fi
    : >"$ROOT/active" ;;
esac
rc=$?
cut "$1"
exit "$rc"`;

const CURL = `version=$(readlink "$ROOT/usr/local/lib/berth/agent/current" || true)
[ -e "$ROOT/active" ] || exit 7
code=200
case $* in
  */ready*) if [ -e "$ROOT/unready/$version" ]; then code=503; fi ;;
  */health*) if [ -e "$ROOT/unready/$version" ]; then echo '{"status":"degraded","reasons":["no GPUs"]}'; else echo '{"status":"ok","reasons":[]}'; fi ;;
  */api/gpus*) echo '{"gpus":[{},{}]}' ;;
esac
case $* in *http_code*) printf %s "$code" ;; esac
case " $* " in *' -f '*) [ "$code" = 200 ] ;; esac`;

/** The paths that the stage knows, each inside the test's own folder. */
const PATHS = [
  "/usr/local/lib/berth",
  "/usr/local/bin",
  "/usr/local/share",
  "/usr/bin/nvidia-smi",
  "/etc/",
  "/run/berth",
  "/var/lib/berth",
];
const MORE = ["/var/log/berth", "/dev/nvidiactl", "/proc/driver/nvidia"];

export function agentMachine() {
  let folder = "";
  const tools = standIns(() => folder);
  const { at, tool } = tools;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "berth-agent-test-"));
    for (const path of [
      "bin",
      "image/bin",
      "broken",
      "unready",
      "cut",
      "usr/local/bin",
      "etc/tmpfiles.d",
      "run",
    ])
      mkdirSync(at(path), { recursive: true });
    mkdirSync(at("etc/systemd/system"), { recursive: true });
    tool("docker", `ROOT=${folder}\n${DOCKER}`);
    tool("systemctl", `ROOT=${folder}\n${SYSTEMCTL}`);
    tool("curl", `ROOT=${folder}\n${CURL}`);
    tool("journalctl", "echo 'its last words'");
    tool(
      "systemd-tmpfiles",
      `awk '$1 == "d" {print $2}' "$2" | xargs mkdir -p\nif [ -e ${at("active")} ]; then ${at("bin/listen")}; fi`,
    );
    // Between tries; the watch over a step sleeps for its whole deadline.
    tool("sleep", 'case $1 in ? | 0.*) exec /bin/sleep 0.01 ;; *) exec /bin/sleep "$1" ;; esac');
    const program =
      '#!/bin/sh\nif [ "$1" = --version ]; then echo v24; else cat "$(dirname "$0")/made" 2>/dev/null || true; fi\n';
    writeFileSync(at("image/node.gz"), gzipSync(program));
    for (const file of ["berthd.cjs", "berth.cjs", "stand-ins.cjs", "bin/berth"])
      write(`image/${file}`, file);
    // As berthd --check: it says what is wrong.
    write(
      "image/bin/berthd",
      `#!/bin/sh\nif [ -e ${at("refused")} ]; then cat ${at("refused")}; exit 78; fi\n`,
    );
    spawnSync("chmod", ["0755", at("image/bin/berthd")]);
    // A line of berthd's event log.
    tool(
      "event",
      `log=${at("var/log/berth/events.jsonl")}\necho "{\\"seq\\":$(($(cat "$log" 2>/dev/null | wc -l) + 1)),\\"event\\":\\"$1\\"}" >>"$log"`,
    );
    // As a running berthd: a socket in each folder.
    tool(
      "listen",
      `cd ${at("run/berth/users")} && for name in *; do [ -S "$name/berth.sock" ] || python3 -c 'import socket, sys
socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$name/berth.sock"; done`,
    );
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function write(path: string, content: string): void {
    mkdirSync(dirname(at(path)), { recursive: true });
    writeFileSync(at(path), content);
  }

  /** Runs the stage; `documents` over those of a plain node. */
  function run(version: string, documents: Partial<AgentDocuments> = {}, users: string[] = ["alice"]): Run {
    let text = stageBody(renderAgent({ node: "node-0", image: imageOf(version), users }));
    text = text.replaceAll("PATH=/usr/local/sbin:/usr/local/bin:", `PATH=${at("bin")}:/usr/local/sbin:`);
    for (const path of [...PATHS, ...MORE]) text = text.replaceAll(path, at(path));
    // Nobody here gets ready later.
    text = text.replaceAll(/wait_for \d+ /g, "wait_for 0 ");
    const done = spawnSync("bash", ["--norc", "-c", text], {
      input: agentInput({ node: nodeDocument, limits: { defaults: {} }, ...documents }),
      encoding: "utf8",
    });
    const ok = done.status === 0;
    return {
      ...{ status: done.status, stdout: done.stdout, stderr: done.stderr },
      changed: ok
        ? (parseFacts(done.stdout).changed as string[]).map((what) => what.replace(folder, ""))
        : [],
      facts: ok ? readAgentFacts(done.stdout) : undefined,
    };
  }

  const versions = () =>
    readdirSync(at("usr/local/lib/berth/agent")).filter(
      (name) => !name.startsWith(".") && name !== "current",
    );
  const forget = () => rmSync(at("calls"), { force: true });
  const copy = (from: string, to: string) => cpSync(at(from), at(to), { recursive: true });
  return { ...tools, write, run, versions, forget, copy, exists: (path: string) => existsSync(at(path)) };
}
