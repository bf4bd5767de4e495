"""The services' files on disk, and which services a change of them concerns."""

import os
import subprocess

from . import files, render, welcome


def write_all(settings):
    """Writes every service's files; the names of those whose files changed, as a set."""
    etc = render.ETC
    person = (settings.uid, settings.gid)
    os.makedirs(etc, mode=0o755, exist_ok=True)
    os.makedirs(render.LOGS, mode=0o755, exist_ok=True)
    # nginx comes to code-server's socket by the group, which the socket takes from its folder (setgid).
    os.makedirs(render.CODE_FOLDER, exist_ok=True)
    os.chown(render.CODE_FOLDER, settings.uid, www_data())
    os.chmod(render.CODE_FOLDER, 0o2750)
    changed = set()

    def put(service, *file):
        if files.write(*file):
            changed.add(service)

    put("shells", "/etc/profile.d/berth.sh", render.profile(settings), 0o644)
    put("shells", "/etc/motd", welcome.motd(settings), 0o644)
    put("sshd", "/etc/ssh/sshd_config.d/10-berth.conf", render.sshd(settings), 0o644)
    path = f"{etc}/code-server.yaml"
    password = settings.secrets["codePassword"]
    put("code-server", path, render.code_server(settings, code_hash(path, password)), 0o400, *person)
    put("code-server", f"{etc}/code-server-texts.json", render.code_server_texts(), 0o644)
    put("jupyter", f"{etc}/jupyter.py", render.jupyter(settings), 0o400, *person)
    put("nginx", f"{etc}/nginx.conf", render.nginx(settings), 0o644)
    path = f"{etc}/tensorboard.htpasswd"
    line = htpasswd_line(path, settings.user, settings.secrets["tensorboardPassword"])
    put("nginx", path, line, 0o640, 0, www_data())
    put("supervisor", f"{etc}/supervisord.conf", render.supervisor(settings), 0o644)
    return changed


def www_data():
    import grp

    return grp.getgrnam("www-data").gr_gid


def code_hash(path, password):
    """The hash in the file while it still fits the password (a new salt would look like a change), else a new one."""
    import json

    from argon2 import PasswordHasher
    from argon2.exceptions import InvalidHashError, VerifyMismatchError

    hasher = PasswordHasher()
    try:
        with open(path, encoding="utf8") as file:
            found = [line for line in file if line.startswith("hashed-password: ")]
        kept = json.loads(found[0].split(": ", 1)[1])
        hasher.verify(kept, password)
        return kept
    except (OSError, IndexError, ValueError, VerifyMismatchError, InvalidHashError):
        return hasher.hash(password)


def htpasswd_line(path, user, password):
    """As `code_hash`, for nginx: SHA-512 crypt, which it checks at every request."""
    salt = None
    try:
        with open(path, encoding="utf8") as file:
            salt = file.read().split(":", 1)[1].split("$")[2]
    except (OSError, IndexError):
        pass
    words = ["openssl", "passwd", "-6", "-stdin"] + (["-salt", salt] if salt else [])
    done = subprocess.run(words, input=password + "\n", capture_output=True, encoding="utf8", timeout=30, check=True)
    return f"{user}:{done.stdout.strip()}\n"


def reload(changed):
    """Brings the services whose files changed up to date in a running workspace."""
    ctl = ["supervisorctl", "-c", f"{render.ETC}/supervisord.conf"]
    if "supervisor" in changed:
        subprocess.run([*ctl, "update"], timeout=120, check=True, stdout=subprocess.DEVNULL)
    for service in sorted(changed & {"code-server", "jupyter"}):
        subprocess.run([*ctl, "restart", service], timeout=60, check=True, stdout=subprocess.DEVNULL)
    for service in sorted(changed & {"sshd", "nginx"}):
        # Both read their files again on HUP and keep their connections.
        subprocess.run([*ctl, "signal", "HUP", service], timeout=60, check=True, stdout=subprocess.DEVNULL)
