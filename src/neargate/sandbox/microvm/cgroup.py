"""The cgroup of a machine's monitor, `machine` below its task's: where it is put, and where it is found again.

Blocking. Owns the directories' places in both versions; the task's own cgroup with its limits is somebody else's. A
leaf of its own, as version 2 allows no process beside inner cgroups.
"""

import errno
import os
import signal
from contextlib import suppress
from pathlib import Path

from .vmm import MachineRefused

_LEAF = "machine"


def join_paths(root: Path, cgroup_path: str) -> list[Path]:
    """Made here. Raises MachineRefused where the task has no cgroup."""
    tasks = [directory for directory in _tasks(root, cgroup_path) if directory.is_dir()]
    if not tasks:
        raise MachineRefused(f"the task's cgroup {cgroup_path} does not exist")
    leaves = [task / _LEAF for task in tasks]
    for leaf in leaves:
        leaf.mkdir(mode=0o755, exist_ok=True)
    return leaves


def move(root: Path, cgroup_path: str, pid: int) -> None:
    """A process with all its threads. Raises MachineRefused, OSError."""
    for leaf in join_paths(root, cgroup_path):
        (leaf / "cgroup.procs").write_text(str(pid))


def processes(root: Path, cgroup_path: str) -> set[int]:
    """Of all hierarchies; in the host's numbers. Those that ended but were not collected are not among them."""
    found: set[int] = set()
    for task in _tasks(root, cgroup_path):
        with suppress(FileNotFoundError, OSError):
            found |= {int(word) for word in (task / _LEAF / "cgroup.procs").read_text().split()}
    return {pid for pid in found if pid and _is_alive(pid)}


def kill(root: Path, cgroup_path: str) -> set[int]:
    """Everything in it, by SIGKILL. Those that were there; empty when nothing lives in it."""
    found = processes(root, cgroup_path)
    for pid in found:
        with suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            try:
                # The number may have become another's since it was listed; the handle cannot.
                if pid in processes(root, cgroup_path):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            finally:
                os.close(handle)
    return found


def remove(root: Path, cgroup_path: str) -> None:
    """Once nothing lives in it. Raises OSError while something does."""
    for task in _tasks(root, cgroup_path):
        try:
            (task / _LEAF).rmdir()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise


def _tasks(root: Path, cgroup_path: str) -> list[Path]:
    """The task's directory in every hierarchy where it may be."""
    relative = cgroup_path.lstrip("/")
    if not relative or any(part in ("", ".", "..") for part in relative.split("/")):
        raise MachineRefused(f"{cgroup_path!r} is no task's cgroup")
    if (root / "cgroup.controllers").exists():
        return [root / relative]
    return [root / name / relative for name in sorted(os.listdir(root)) if not (root / name).is_symlink()]


def _is_alive(pid: int) -> bool:
    """Any thread of it: the first one may have ended alone, and the others run on."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return False
    return any(_state(pid, thread) not in b"ZX" for thread in threads)


def _state(pid: int, thread: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/task/{thread}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return b"X"
