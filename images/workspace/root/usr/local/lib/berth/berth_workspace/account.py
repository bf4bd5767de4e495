"""The person's account, home and keys."""

import grp
import os
import pwd
import re
import shutil
import subprocess

from . import files

# A token as components/secrets/derive.ts makes it.
RAY_TOKEN = re.compile(r"^[0-9a-f]{64}\n?$")
RAY_TOKEN_LENGTH = 65

# seeds: what a new home has in it.
FOLDERS = ("projects", "notebooks", "models", "data", "runs", ".config", ".local/bin")


def run(words, text=None):
    """Runs a program with `text` on its standard input; its error output is in the exception."""
    done = subprocess.run(words, input=text, capture_output=True, encoding="utf8", timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{words[0]} ended with {done.returncode}: {done.stderr.strip()[:500]}")


def make_account(settings):
    """Group and user with the numbers that the node's folders are owned by.

    The account is in the container's own layer: a replaced container makes it anew, a restarted one finds it.
    """
    try:
        group = grp.getgrgid(settings.gid).gr_name
    except KeyError:
        run(["groupadd", "--gid", str(settings.gid), settings.user])
        group = settings.user
    try:
        found = pwd.getpwnam(settings.user)
        if (found.pw_uid, found.pw_gid) != (settings.uid, settings.gid):
            raise RuntimeError(
                f"the account {settings.user} is {found.pw_uid}:{found.pw_gid} in this image, not {settings.uid}:{settings.gid}"
            )
        if found.pw_shell != settings.shell:
            run(["usermod", "--shell", settings.shell, settings.user])
    except KeyError:
        run(
            ["useradd", "--uid", str(settings.uid), "--gid", group, "--home-dir", settings.home]
            + ["--no-create-home", "--shell", settings.shell, settings.user]
        )
    # On standard input: a command line can be read by everybody in the container.
    run(["chpasswd"], f"{settings.user}:{settings.secrets['password']}\n")


def make_keys(settings):
    """The keys from the configuration, where the person cannot lose them; their own file counts as well."""
    os.makedirs("/etc/ssh/authorized_keys", mode=0o755, exist_ok=True)
    files.write(f"/etc/ssh/authorized_keys/{settings.user}", settings.authorized_keys, 0o644)


def make_home(settings):
    """Makes what is missing in the home, as the person: nothing there may lead root elsewhere by a link."""
    os.makedirs(settings.home, mode=0o700, exist_ok=True)
    for folder in (settings.home, "/workspace"):
        os.makedirs(folder, exist_ok=True)
        # A volume that the engine has just made belongs to root; one that the node made does not.
        if os.stat(folder).st_uid == 0:
            os.chown(folder, settings.uid, settings.gid)
            os.chmod(folder, 0o700)
    as_person(settings, lambda: fill_home(settings))


def fill_home(settings):
    """Runs as the person."""
    for name in os.listdir("/etc/skel"):
        target = os.path.join(settings.home, name)
        if not os.path.lexists(target):
            shutil.copyfile(os.path.join("/etc/skel", name), target)
    for name in FOLDERS:
        os.makedirs(os.path.join(settings.home, name), exist_ok=True)
    os.makedirs(os.path.join(settings.home, ".ssh"), mode=0o700, exist_ok=True)
    link = os.path.join(settings.home, "workspace")
    if not os.path.lexists(link):
        os.symlink("/workspace", link)
    place_ray_token(settings)


def place_ray_token(settings):
    """The cluster's Ray token for whoever has access; one of a time before is taken from whoever has none any more."""
    token = os.path.join(settings.home, ".ray", "auth_token")
    if settings.secrets.get("rayToken"):
        os.makedirs(os.path.dirname(token), mode=0o700, exist_ok=True)
        files.write(token, settings.secrets["rayToken"], 0o600, settings.uid, settings.gid)
        return
    # Longer than ours is no token of ours.
    ours = RAY_TOKEN.match(files.read(token, RAY_TOKEN_LENGTH + 1) or "")
    # Whatever has another form is the token of a cluster of the person's own.
    if ours:
        os.unlink(token)


def as_person(settings, work):
    """Does `work` in a child process with the person's rights and nobody else's."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(settings.gid, settings.gid, settings.gid)
            os.setresuid(settings.uid, settings.uid, settings.uid)
            os.umask(0o022)
            os.environ["HOME"] = settings.home
            work()
            status = 0
        except Exception as error:  # noqa: BLE001 - the parent only sees the status
            print(f"berth-workspace: home of {settings.user}: {error}", flush=True)
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise RuntimeError(f"the home of {settings.user} could not be made ready (see the lines above)")


def make_sudo(settings, text):
    """Grants or takes away sudo."""
    path = "/etc/sudoers.d/berth"
    if text:
        files.write(path, text, 0o440)
    elif os.path.exists(path):
        os.unlink(path)
