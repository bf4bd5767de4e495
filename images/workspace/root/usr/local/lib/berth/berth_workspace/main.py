"""`start`: entry point of the container. `apply`: takes over changes in a running one."""

import os
import subprocess
import sys

from . import account, render, services, settings


def make(found):
    """Makes the workspace what the settings say; what is right already stays. The names of changed services."""
    account.make_account(found)
    account.make_keys(found)
    account.make_sudo(found, render.sudoers(found))
    account.make_home(found)
    os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    return services.write_all(found)


def main(argv):
    verb = argv[1] if len(argv) == 2 else ""
    if verb not in ("start", "apply"):
        print("usage: berth-workspace | berth-apply", file=sys.stderr)
        return 2
    os.umask(0o022)
    try:
        found = settings.read()
        changed = make(found)
    except settings.BadSettings as error:
        print(f"berth-workspace: {settings.RUN} is not in order:\n{error}", file=sys.stderr)
        return 2
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        # A CalledProcessError's text has the command line alone, in which no secret is.
        print(f"berth-workspace: {error}", file=sys.stderr)
        return 1
    if verb == "apply":
        services.reload(changed)
        print(" ".join(sorted(changed)) or "no change")
        return 0
    # The engine's own variables go no further than here.
    env = {
        name: value
        for name, value in render.environment(found).items()
        if not name.startswith("RAY_") and name != "PATH"
    }
    env["PATH"] = render.SYSTEM_PATH
    words = ["/usr/bin/supervisord", "-c", f"{render.ETC}/supervisord.conf"]
    sys.stdout.flush()
    os.execve(words[0], words, env)
    return 1
