"""What /run/berth says: read and checked, every mistake named at once and no secret ever in a message."""

import json
import os
import re
from dataclasses import dataclass, field

RUN = "/run/berth"

# What useradd takes, less a trailing "$"; the longest that utmp keeps.
USER_NAME = re.compile(r"^[a-z_][a-z0-9_-]{0,31}$")
# Printable ASCII without ":" (htpasswd, chpasswd) and without line ends.
SECRET = re.compile(r"^[!-9;-~]{8,200}$")

PORTS = ("ssh", "code", "jupyter", "tensorboard", "vnc", "novnc", "rdp")
# Those that a browser opens; without their ports there is nothing to open.
WEB = ("code", "jupyter", "tensorboard")
# A name, an IPv4 address, or an IPv6 address in brackets: what a Host header has before its port.
HOST = re.compile(r"^(?:[a-z0-9_][a-z0-9._-]{0,252}|\[[0-9a-f:.]{2,45}\])$")
# Lines that are only shown.
LINE = re.compile(r"^[ -~]{1,500}$")
RESOURCES = ("cpus", "memoryBytes", "shmBytes", "pids")
SECRETS = ("password", "codePassword", "jupyterToken", "tensorboardPassword")


class BadSettings(Exception):
    """What is wrong with /run/berth, for people."""


@dataclass(frozen=True)
class Settings:
    """One workspace. `ports` are the person's block: VS Code, Jupyter and TensorBoard listen on theirs, sshd on 22.

    `hosts` are the names that the three answer to, beside loopback's own; `published` says that they listen on every
    address of the container instead of its loopback. `urls` and `tunnel` are for people to read.
    `node` and `resources` are what people are told when they sign in; "" and None where the node did not write them.
    """

    user: str
    uid: int
    gid: int
    shell: str
    hostname: str
    sudo: bool
    ports: dict
    hosts: tuple
    published: bool
    urls: dict
    tunnel: str | None
    ray: dict | None
    node: str
    resources: dict | None
    authorized_keys: str = field(repr=False)
    secrets: dict = field(repr=False)

    @property
    def home(self):
        return f"/home/{self.user}"


def read(folder=RUN):
    """The settings in `folder`.

    Raises BadSettings with one line per mistake.
    """
    wrong = []
    workspace = _document(folder, "workspace.json", wrong)
    secrets = _document(folder, "secrets.json", wrong)
    keys = _text(folder, "authorized_keys", wrong)
    _text(folder, "ssh_host_ed25519_key", wrong)
    if wrong:
        raise BadSettings("\n".join(wrong))

    def check(ok, path, value, allowed):
        if not ok:
            wrong.append(f"workspace.json: {path}: {json.dumps(value)} is not allowed; allowed: {allowed}")

    user, uid, gid = workspace.get("user"), workspace.get("uid"), workspace.get("gid")
    shell = workspace.get("shell") or "/bin/bash"
    sudo, ports, ray = workspace.get("sudo", False), workspace.get("ports", {}), workspace.get("ray")
    check(isinstance(user, str) and USER_NAME.match(user) and user != "root", "user", user, "a Linux user name, not root")
    for name, number in (("uid", uid), ("gid", gid)):
        # Below 1000 are the image's own accounts.
        check(type(number) is int and 1000 <= number < 60000, name, number, "a number from 1000 to 59999")
    check(isinstance(shell, str) and re.match(r"^/[A-Za-z0-9/._-]+$", shell), "shell", shell, "an absolute path")
    check(isinstance(sudo, bool), "sudo", sudo, "true or false")
    check(isinstance(ports, dict), "ports", ports, "an object")
    if isinstance(ports, dict):
        for name in dict.fromkeys((*WEB, *ports)):
            port = ports.get(name)
            check(name in PORTS, f"ports.{name}", port, f"one of {', '.join(PORTS)}")
            check(type(port) is int and 0 < port < 65536, f"ports.{name}", port, "1 to 65535")
    # What is left out leaves the services as closed as can be.
    web = workspace.get("web", {})
    check(isinstance(web, dict), "web", web, "an object")
    web = web if isinstance(web, dict) else {}
    hosts, published = web.get("hosts"), web.get("published", False)
    urls, tunnel = web.get("urls", {}), web.get("tunnel")
    check(hosts is None or isinstance(hosts, list), "web.hosts", hosts, "a list")
    for i, host in enumerate(hosts if isinstance(hosts, list) else ()):
        check(isinstance(host, str) and HOST.match(host), f"web.hosts[{i}]", host, "a host name or an address, no port")
    check(isinstance(published, bool), "web.published", published, "true or false")
    check(isinstance(urls, dict), "web.urls", urls, "an object")
    for name, url in urls.items() if isinstance(urls, dict) else ():
        check(name in WEB, f"web.urls.{name}", url, f"one of {', '.join(WEB)}")
        check(isinstance(url, str) and LINE.match(url), f"web.urls.{name}", url, "one line of ASCII")
    check(tunnel is None or isinstance(tunnel, str) and LINE.match(tunnel), "web.tunnel", tunnel, "one line of ASCII")
    node, resources = workspace.get("node", ""), workspace.get("resources")
    check(isinstance(node, str) and re.match(r"^[a-z0-9-]{0,63}$", node), "node", node, "a node's name")
    check(resources is None or isinstance(resources, dict), "resources", resources, "an object or nothing")
    for name in RESOURCES if isinstance(resources, dict) else ():
        value = resources.get(name)
        check(type(value) in (int, float) and value > 0, f"resources.{name}", value, "a number above 0")
    check(ray is None or isinstance(ray, dict), "ray", ray, "an object or nothing")
    for name in ("address", "client", "dashboard") if isinstance(ray, dict) else ():
        value = ray.get(name)
        check(isinstance(value, str) and re.match(r"^[A-Za-z0-9:/.\[\]-]+$", value), f"ray.{name}", value, "an address")
    for name in SECRETS:
        if not (isinstance(secrets.get(name), str) and SECRET.match(secrets[name])):
            wrong.append(f"secrets.json: {name}: missing, or not 8 to 200 printable ASCII characters without ':' and blanks")
    token = secrets.get("rayToken")
    if token is not None and not (isinstance(token, str) and SECRET.match(token)):
        wrong.append("secrets.json: rayToken: not 8 to 200 printable ASCII characters without ':' and blanks")
    if wrong:
        raise BadSettings("\n".join(wrong))
    return Settings(
        user=user,
        uid=uid,
        gid=gid,
        shell=shell,
        hostname=str(workspace.get("hostname", "")),
        sudo=sudo,
        ports=ports,
        hosts=(f"{user}.localhost",) if hosts is None else tuple(hosts),
        published=published,
        urls=urls,
        tunnel=tunnel,
        ray=ray,
        node=node,
        resources=resources,
        authorized_keys=keys,
        secrets=secrets,
    )


def _text(folder, name, wrong):
    try:
        with open(os.path.join(folder, name), encoding="utf8") as file:
            return file.read()
    except OSError as error:
        wrong.append(f"{folder}/{name}: {error.strerror}")
    except UnicodeDecodeError:
        wrong.append(f"{folder}/{name}: is no text")
    return ""


def _document(folder, name, wrong):
    before = len(wrong)
    text = _text(folder, name, wrong)
    try:
        value = json.loads(text)
        if isinstance(value, dict):
            return value
    except ValueError:
        pass
    if len(wrong) == before:
        wrong.append(f"{folder}/{name}: is no JSON object")
    return {}
