"""Entry point of the Ray image: `berth-ray head`, `berth-ray worker`, its health check, and `berth-ray state`.

Settings come from the environment (see `read_settings`); the cluster's token from the file that
RAY_AUTH_TOKEN_PATH names. Every port is pinned, so that a firewall can be written for it.

The program is PID 1 and stays it: it runs `ray start --block` as a child, hands signals on, and ends with it, so
that the container's restart policy decides what comes next. A worker first waits until its head answers, however
long that takes, and ends when the head is gone or is another one than before: Ray's control service keeps its
tables in memory, so a restarted head does not know the nodes of the one before it.

A node that is drained stays out of the cluster, whatever restarts its container: while the file `drained` stands
beside the token, nothing of Ray is started here; when it goes, Ray starts.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

RAY = "/opt/venv/bin/ray"

# Seconds. A worker asks for its head so often; a head on the same network answers in milliseconds.
HEAD_POLL = 2
# A TCP connection that takes longer than this is taken for none.
DIAL = 5
# A head that has not answered for so long is gone: the worker starts over and waits for it.
HEAD_GONE = 20
# `ray stop` and the raylet's own shutdown take about 3 s.
GRACE = 8

PORTS = (
    "gcs",
    "dashboard",
    "client",
    "nodeManager",
    "objectManager",
    "runtimeEnvAgent",
    "dashboardAgentHttp",
    "dashboardAgentGrpc",
    "metrics",
)


# The head's own environment; what the container was given goes first.
HEAD_ENVIRONMENT = {
    # Two more listeners, in Ray's variables for them. Their defaults (44217, 44227) are in the range that the kernel
    # hands out to clients; these two follow the port plan's other ones.
    "AUTOSCALER_METRIC_PORT": "30008",
    "DASHBOARD_METRIC_PORT": "30009",
    # The Ray client's proxy forks while other threads use gRPC; with gRPC's fork handlers the new process dies now
    # and then (Ray issue 63202; seen here in 1 of 8 first connections after a start, in none of 22 without them).
    "GRPC_ENABLE_FORK_SUPPORT": "0",
}


class BadSettings(Exception):
    """What is wrong with the environment, for people."""


def read_settings(env):
    """The settings as a dict. Every mistake is named, all at once.

    BERTH_RAY_NODE_IP         address of this node that the others reach
    BERTH_RAY_HEAD            HOST:PORT of the head's control service
    BERTH_RAY_PORTS           JSON object: each of PORTS, and "workers": {"start", "end"}
    BERTH_RAY_CPUS            number of CPUs that Ray may hand out
    BERTH_RAY_MEMORY          bytes of memory that Ray may hand out
    BERTH_RAY_OBJECT_STORE    bytes of the object store; default: Ray's own choice
    BERTH_RAY_GPUS            default 0
    BERTH_RAY_RESOURCES       JSON object of custom resources; default {}
    BERTH_RAY_DASHBOARD_HOST  address that the dashboard listens on; default the node's
    RAY_AUTH_TOKEN_PATH       file with the cluster's token
    """
    wrong = []

    def need(name):
        value = env.get(name, "")
        if not value:
            wrong.append(f"{name} is missing")
        return value

    def number(name, default=None):
        value = env.get(name, "")
        if value == "" and default is not None:
            return default
        try:
            found = float(value)
            if found >= 0:
                return int(found) if found == int(found) else found
        except (ValueError, OverflowError):
            pass
        wrong.append(f"{name}: {value!r} is no number from 0")
        return 0

    def document(name, default=None):
        value = env.get(name, "")
        if value == "" and default is not None:
            return default
        try:
            found = json.loads(value)
            if isinstance(found, dict):
                return found
        except ValueError:
            pass
        wrong.append(f"{name}: is no JSON object")
        return {}

    ports = document("BERTH_RAY_PORTS")
    if ports:
        workers = ports.get("workers")
        span = [workers.get("start"), workers.get("end")] if isinstance(workers, dict) else [None]
        for name, port in [(name, ports.get(name)) for name in PORTS] + [("workers", port) for port in span]:
            if not isinstance(port, int) or not 1 <= port <= 65535:
                wrong.append(f"BERTH_RAY_PORTS: {name}: {port!r} is no port")
    settings = {
        "nodeIp": need("BERTH_RAY_NODE_IP"),
        "head": need("BERTH_RAY_HEAD"),
        "ports": ports,
        "cpus": number("BERTH_RAY_CPUS"),
        "memory": number("BERTH_RAY_MEMORY"),
        "objectStore": number("BERTH_RAY_OBJECT_STORE", 0),
        "gpus": number("BERTH_RAY_GPUS", 0),
        "resources": document("BERTH_RAY_RESOURCES", {}),
        "dashboardHost": env.get("BERTH_RAY_DASHBOARD_HOST") or env.get("BERTH_RAY_NODE_IP", ""),
    }
    host, _, port = settings["head"].rpartition(":")
    if settings["head"] and not (host and port.isdigit()):
        wrong.append(f"BERTH_RAY_HEAD: {settings['head']!r} is not HOST:PORT")
    token = need("RAY_AUTH_TOKEN_PATH")
    if token:
        try:
            with open(token, encoding="utf8") as file:
                if not file.read().strip():
                    wrong.append(f"RAY_AUTH_TOKEN_PATH: {token} is empty")
        except OSError as error:
            wrong.append(f"RAY_AUTH_TOKEN_PATH: {token}: {error.strerror} (it must be readable by uid {os.getuid()})")
    if env.get("RAY_AUTH_MODE") != "token":
        wrong.append("RAY_AUTH_MODE must be token: without it anybody who reaches a port can run programs")
    if wrong:
        raise BadSettings("\n".join(wrong))
    return settings


def start_command(role, settings):
    """The words of `ray start` for a role ("head" or "worker")."""
    ports = settings["ports"]
    words = [RAY, "start", "--block", "--disable-usage-stats", "--log-color=false", "--log-style=record"]
    if role == "head":
        words += [
            "--head",
            f"--port={ports['gcs']}",
            "--include-dashboard=true",
            f"--dashboard-host={settings['dashboardHost']}",
            f"--dashboard-port={ports['dashboard']}",
            f"--ray-client-server-port={ports['client']}",
        ]
    else:
        words += [f"--address={settings['head']}"]
    words += [
        f"--node-ip-address={settings['nodeIp']}",
        f"--node-manager-port={ports['nodeManager']}",
        f"--object-manager-port={ports['objectManager']}",
        f"--runtime-env-agent-port={ports['runtimeEnvAgent']}",
        f"--dashboard-agent-listen-port={ports['dashboardAgentHttp']}",
        f"--dashboard-agent-grpc-port={ports['dashboardAgentGrpc']}",
        f"--metrics-export-port={ports['metrics']}",
        f"--min-worker-port={ports['workers']['start']}",
        f"--max-worker-port={ports['workers']['end']}",
        f"--num-cpus={settings['cpus']}",
        f"--num-gpus={settings['gpus']}",
        f"--memory={settings['memory']}",
        f"--resources={json.dumps(settings['resources'], sort_keys=True)}",
    ]
    if settings["objectStore"]:
        words += [f"--object-store-memory={settings['objectStore']}"]
    return words


def dial(address):
    """Whether something accepts connections at HOST:PORT."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=DIAL):
            return True
    except OSError:
        return False


def say(text):
    print(f"berth-ray: {text}", flush=True)


def session_name(settings):
    """The head's session, which is new at each of its starts; None when the head does not say.

    Asked of the dashboard, which is at the head's address.
    """
    host = settings["head"].rpartition(":")[0]
    url = f"http://{host}:{settings['ports']['dashboard']}/api/version"
    try:
        return json.loads(fetch(url)).get("session_name")
    except (OSError, ValueError, urllib.error.URLError):
        return None


def fetch(url, timeout=DIAL):
    """The body of a page that asks for the cluster's token."""
    with open(os.environ["RAY_AUTH_TOKEN_PATH"], encoding="utf8") as file:
        token = file.read().strip()
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    # Never through a proxy: these are this cluster's own addresses.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=timeout) as answer:
        return answer.read().decode()


def watch(role, settings, child):
    """Returns when the child has ended, or a reason to end it.

    The raylet has ended, which `ray start --block` takes for no failure when it ended in order, as a drained one does;
    or, on a worker, the head is gone, or is a new one.
    """
    session = None
    heard = time.monotonic()
    seen = False
    while child.poll() is None:
        lives = process_runs("raylet")
        if seen and not lives:
            return "the raylet has ended"
        seen = seen or lives
        if role == "head":
            pass
        elif dial(settings["head"]):
            heard = time.monotonic()
            now = session_name(settings)
            if now is not None and session is not None and now != session:
                return f"the head started anew ({session} -> {now})"
            session = now or session
        elif time.monotonic() - heard > HEAD_GONE:
            return f"the head at {settings['head']} has not answered for {HEAD_GONE} s"
        try:
            child.wait(HEAD_POLL)
        except subprocess.TimeoutExpired:
            pass
    return None


def held(env):
    """Whether this node is to stay out of the cluster."""
    token = env.get("RAY_AUTH_TOKEN_PATH", "")
    return bool(token) and os.path.exists(os.path.join(os.path.dirname(token), "drained"))


def process_runs(name, words=(), proc="/proc"):
    """Whether a process of this name lives in this container, or one whose command line has all these words."""
    for number in os.listdir(proc):
        if not number.isdigit():
            continue
        try:
            with open(f"{proc}/{number}/comm", encoding="utf8") as file:
                if file.read().strip() == name:
                    return True
            with open(f"{proc}/{number}/cmdline", encoding="utf8", errors="replace") as file:
                line = file.read().split("\0")
        except OSError:
            continue  # It ended meanwhile.
        if words and all(word in line for word in words):
            return True
    return False


def state(env):
    """One word: `drained` (nothing of Ray runs, nor will), `draining`, `running` or `starting`."""
    if held(env):
        return "draining" if process_runs("raylet", (RAY, "start")) else "drained"
    return "running" if process_runs("raylet") else "starting"


def serve(role, settings):
    """Runs Ray until it ends; returns the exit code."""
    child = None

    # At once: the first process of a container ignores every signal that it has no handler for.
    def end(number, _frame):
        say(f"{signal.Signals(number).name}: ending")
        if child:
            stop(child)
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    if held(os.environ):
        say("this node is drained: waiting until it is taken back")
        while held(os.environ):
            time.sleep(HEAD_POLL)
    if role == "worker":
        if not dial(settings["head"]):
            say(f"waiting for the head at {settings['head']}")
        while not dial(settings["head"]):
            time.sleep(HEAD_POLL)
    own = HEAD_ENVIRONMENT if role == "head" else {}
    child = subprocess.Popen(start_command(role, settings), env={**own, **os.environ})
    reason = watch(role, settings, child)
    if reason:
        say(f"{reason}; ending, to start anew")
        stop(child)
        return 1
    say(f"ray ended with exit code {child.returncode}")
    # Never 0: a restart policy of "on-failure" must see it too.
    return child.returncode or 1


def stop(child):
    """Ends Ray and all that it started: the container has nothing else in it."""
    child.terminate()
    try:
        child.wait(GRACE)
    except subprocess.TimeoutExpired:
        child.kill()


def health(env):
    """Exit code 0 when this node's raylet answers and, on the head, the control service; also while it is drained."""
    if state(env) == "drained":
        print("drained")
        return 0
    settings = read_settings(env)
    ports = settings["ports"]
    pages = [f"http://{settings['nodeIp']}:{ports['dashboardAgentHttp']}/api/local_raylet_healthz"]
    if settings["head"].rpartition(":")[0] == settings["nodeIp"]:
        pages.append(f"http://{settings['dashboardHost']}:{ports['dashboard']}/api/gcs_healthz")
    for page in pages:
        try:
            body = fetch(page)
        except (OSError, urllib.error.URLError) as error:
            print(f"{page}: {error}")
            return 1
        if "success" not in body:
            print(f"{page}: {body[:200]}")
            return 1
    return 0


def main(argv):
    role = argv[1] if len(argv) == 2 else ""
    if role not in ("head", "worker", "health", "state"):
        print("usage: berth-ray head | worker", file=sys.stderr)
        return 2
    try:
        if role == "state":
            print(state(os.environ))
            return 0
        if role == "health":
            return health(os.environ)
        return serve(role, read_settings(os.environ))
    except BadSettings as error:
        print(f"berth-ray {role}: cannot start:\n{error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv))
