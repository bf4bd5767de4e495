"""Listeners and questions of test/process/host-outgoing.test.ts, each by an account and in a network namespace of its own.

serve FILE:      one listener for each line `NAMESPACE UID tcp|udp HOST PORT`. Whatever one hears it notes below FILE's
                 folder as `heard-PORT`, then answers.
ask FILE:        one question for each line `NAMESPACE UID tcp|udp HOST PORT`, all at once; prints each with yes or no.

call FILE:       one caller for each line `NAMESPACE UID tcp HOST PORT`, for 8 s. It calls from HOST's PORT to BACK above PORT
                 of the machine beside it, over and over, and notes what it hears as above.
ask FILE back:   the same questions as ask, from BACK above their ports.

NAMESPACE is the id of a process in it, or `self`. An address may have a zone, as in `fe80::1%eth0`.
"""

import ctypes
import os
import socket
import sys
import time

# Read now: another account may not read where it lies.
"".encode("idna")
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
# Seconds. What is dropped is silent; what should answer has the time that a busy computer takes.
PATIENCE = 4
# Between the port that is asked and the one that is asked from.
BACK = 30000


def enter(namespace, uid):
    if namespace != "self":
        handle = os.open(f"/proc/{namespace}/ns/net", os.O_RDONLY)
        if libc.setns(handle, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    os.setgroups([])
    os.setresgid(int(uid), int(uid), int(uid))
    os.setresuid(int(uid), int(uid), int(uid))


def address(kind, host, port):
    found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)[0]
    return socket.socket(found[0], found[1]), found[4]


def quiet_note(folder, port):
    # Whoever waits for the ids would wait for the end of these.
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    return os.open(os.path.join(folder, f"heard-{port}"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)


def call(line, folder):
    namespace, uid, kind, host, port = line.split()
    note = quiet_note(folder, port)
    enter(namespace, uid)
    beside = host[:-1] + "2"
    end = time.monotonic() + 2 * PATIENCE
    while time.monotonic() < end:
        caller, at = address(kind, host, port)
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        caller.bind(at)
        caller.settimeout(1)
        try:
            caller.connect((beside, int(port) + BACK))
            caller.sendall(b"hello")
            os.write(note, caller.recv(100))
        except OSError:
            time.sleep(0.1)
        caller.close()


def serve(line, folder):
    namespace, uid, kind, host, port = line.split()
    note = quiet_note(folder, port)
    enter(namespace, uid)
    listener, at = address(kind, host, port)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
    listener.bind(at)
    if kind == "udp":
        while True:
            heard, peer = listener.recvfrom(100)
            os.write(note, heard)
            listener.sendto(b"hello", peer)
    listener.listen(64)
    while True:
        peer, _ = listener.accept()
        peer.settimeout(PATIENCE)
        try:
            os.write(note, peer.recv(100))
            peer.sendall(b"hello")
        except OSError:
            pass
        peer.close()


def ask(line, back=False):
    namespace, uid, kind, host, port = line.split()
    enter(namespace, uid)
    caller, at = address(kind, host, port)
    if back:
        caller.bind((host[:-1] + "2", int(port) + BACK))
    caller.settimeout(PATIENCE)
    try:
        caller.connect(at)
        caller.sendall(b"password")
        return caller.recv(100) == b"hello"
    except OSError:
        return False


def children(lines, work):
    """Runs `work` for each line in a process of its own; their ids, in order."""
    found = []
    for line in lines:
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if work(line) else 1)
            except BaseException as error:  # noqa: BLE001 - a child must never go on as its parent
                print(f"{line}: {error}", file=sys.stderr, flush=True)
                os._exit(2)
        found.append(child)
    return found


def main(verb, path, *how):
    with open(path, encoding="utf8") as file:
        lines = [line.strip() for line in file if line.strip()]
    if verb != "ask":
        work = serve if verb == "serve" else call
        print(*children(lines, lambda line: work(line, os.path.dirname(path))), flush=True)
        return
    for _, child in zip(lines, children(lines, lambda line: ask(line, back="back" in how))):
        _, status = os.waitpid(child, 0)
        print("yes" if status == 0 else "no", flush=True)


main(*sys.argv[1:])
