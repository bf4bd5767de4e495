"""Do the workspace's services answer? Each is asked for what it says without a sign-in."""

import socket
import sys

# Seconds for one answer: the engine's own deadline for all of them is the health check's.
PATIENCE = 4


def http_status(port, path):
    """The status of one GET, or None."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as link:
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


CHECKS = {
    "sshd": lambda: listens(22),
    "code-server": lambda: http_status(8443, "/healthz") == 200,
    "jupyter": lambda: http_status(8888, "/api") == 200,
    "tensorboard": lambda: http_status(6006, "/data/environment") == 200,
    # 401: it stands before TensorBoard and asks for the password.
    "nginx": lambda: http_status(6007, "/") == 401,
}


def main():
    silent = [name for name, check in CHECKS.items() if not check()]
    if silent:
        print(f"no answer from: {', '.join(silent)} (logs: /var/log/berth)")
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
