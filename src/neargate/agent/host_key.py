"""The host's own key, beside the host's id: made at the first start, mode 0600, read at each later one.

Owns the file. Invariant: a key is on the disk before it is used, so that no server ever pins one that a crash takes.
"""

import os
from pathlib import Path

from ..link.host_identity import KEY_BYTES
from ..world import World

_NAME = "host.key"


class HostKeyBroken(Exception):
    """The file holds no key. Without it this machine can only join as a new host."""


def load_or_make(world: World, directory: Path) -> bytes:
    """The seed. Blocks. Raises HostKeyBroken, OSError."""
    path = directory / _NAME
    if not path.exists():
        _make(path, world.random.getrandbits(8 * KEY_BYTES).to_bytes(KEY_BYTES, "big"))
    seed = path.read_bytes()
    if len(seed) != KEY_BYTES:
        raise HostKeyBroken(
            f"{path} is no key of a host. Restore it, or remove it together with host-id: then this machine joins as "
            "another host and its tasks of before are given up"
        )
    return seed


def _make(path: Path, seed: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(seed)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
