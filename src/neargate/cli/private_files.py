"""Files with keys: how they are written. Must not know what is in them.

Invariant: 0600 from the first moment; whole and on the disk before the file has its name, over a power cut too.
"""

import os
import pwd
from pathlib import Path


def write(path: Path, content: bytes, owner: pwd.struct_passwd | None = None) -> None:
    """Replaces what is there. `owner`: whose the file becomes, None for who we are. Raises OSError."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    if owner is not None:
        os.chown(fresh, owner.pw_uid, owner.pw_gid)
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
