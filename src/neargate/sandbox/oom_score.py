"""How soon the kernel ends a command in a container when the host itself has no memory left: as soon as the container.

Owns its score. Shims have containerd's, next to the last, and what they start inherits it: crun, unlike runc, gives the
container's to the container alone.
"""

import os
from contextlib import suppress

from .oci_spec import OOM_SCORE


def make_ordinary(pid: int, cgroup_path: str) -> None:
    """A command's process, which its container's cgroup shows to be one; others, and one that ended, are let be.

    What it had started by then keeps the shim's. Blocking.
    """
    with suppress(OSError):
        process = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)  # never another's of that number
        try:
            if cgroup_path in _read(process, "cgroup"):
                _write(process, "oom_score_adj", str(OOM_SCORE))
        finally:
            os.close(process)


def _read(process: int, name: str) -> str:
    file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=process)
    try:
        return os.read(file, 65536).decode(errors="replace")
    finally:
        os.close(file)


def _write(process: int, name: str, value: str) -> None:
    file = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=process)
    try:
        os.write(file, value.encode())
    finally:
        os.close(file)
