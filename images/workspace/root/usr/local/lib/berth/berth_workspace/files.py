"""Files that are whole or not there."""

import os
import stat
import tempfile


def read(path, most):
    """At most `most` characters of a file; None where there is none, or what is there is no text.

    In a home may lie anything: a pipe would be waited for, and a link may lead to something without an end.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with open(handle, encoding="utf8") as file:
            return file.read(most) if stat.S_ISREG(os.fstat(handle).st_mode) else None
    except (OSError, UnicodeDecodeError):
        return None


def write(path, text, mode=0o644, uid=0, gid=0):
    """Writes a file beside its place and renames it; True when that changed anything."""
    try:
        found = os.stat(path)
        right = (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (mode, uid, gid)
        if right and read(path, len(text) + 1) == text:
            return False
    except OSError:
        pass
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".berth-")
    try:
        with os.fdopen(handle, "w", encoding="utf8") as file:
            file.write(text)
            os.fchmod(file.fileno(), mode)
            os.fchown(file.fileno(), uid, gid)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return True
