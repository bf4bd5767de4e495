"""Do the workspace's services answer? Each is asked for what it says without a sign-in."""

import json
import socket
import sys

# -I leaves the package's own folder out.
sys.path.insert(0, "/usr/local/lib/berth")

from berth_workspace import render  # noqa: E402

# Seconds for one answer: the engine's own deadline for all of them is the health check's.
PATIENCE = 4


def connect(address):
    """`address`: a port of loopback, or the path of a Unix socket."""
    if isinstance(address, int):
        return socket.create_connection(("127.0.0.1", address), timeout=PATIENCE)
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(PATIENCE)
    link.connect(address)
    return link


def http_status(address, path):
    """The status of one GET, or None."""
    try:
        with connect(address) as link:
            link.settimeout(PATIENCE)
            link.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            words = link.recv(64).split()
            return int(words[1]) if len(words) > 1 else None
    except (OSError, ValueError):
        return None


def listens(port):
    """Whether a server waits for connections at the port: read from the kernel's table, because sshd writes two
    lines to its log for each caller that says nothing."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table, encoding="ascii") as file:
            for line in file:
                words = line.split()
                # 0A: LISTEN (include/net/tcp_states.h).
                if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port:
                    return True
    return False


def doors_open(ports):
    """Whether nginx, which answers for itself at TensorBoard's door (401: it asks for the password), has all three."""
    return http_status(ports["tensorboard"], "/") == 401 and listens(ports["code"]) and listens(ports["jupyter"])


def checks(ports):
    """A service's name -> whether it answers; the last asks nothing of the others."""
    return {
        "sshd": lambda: listens(render.SSH),
        "code-server": lambda: http_status(render.CODE_BEHIND, "/healthz") == 200,
        "jupyter": lambda: http_status(render.JUPYTER_BEHIND, "/api") == 200,
        "tensorboard": lambda: http_status(render.TENSORBOARD_BEHIND, "/data/environment") == 200,
        "nginx": lambda: doors_open(ports),
    }


def main():
    with open("/run/berth/workspace.json", encoding="utf8") as file:
        ports = json.load(file)["ports"]
    silent = [name for name, check in checks(ports).items() if not check()]
    if silent:
        print(f"no answer from: {', '.join(silent)} (logs: /var/log/berth)")
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
