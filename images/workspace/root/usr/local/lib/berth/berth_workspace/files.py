"""Files that are whole or not there."""

import os
import tempfile


def write(path, text, mode=0o644, uid=0, gid=0):
    """Writes a file beside its place and renames it; True when that changed anything."""
    try:
        with open(path, encoding="utf8") as file:
            same = file.read() == text
        found = os.stat(path)
        if same and (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (mode, uid, gid):
            return False
    except (OSError, UnicodeDecodeError):
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
