"""Where the credentials of tasks outlive the agent's process, but not the machine: files on a filesystem in memory.

Owns one file for each task, mode 0600 in a directory of mode 0700. Must not know who asks for them. Invariant: nothing
is written to a directory that is not on a tmpfs; a file holds the whole of one answer or is not there.
"""

import os
from pathlib import Path

import msgspec

from ..link.messages import CredentialsIssued
from .arrivals.messages import problem

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(CredentialsIssued).decode
_MAX_BYTES = 256 * 1024
_UNFINISHED = ".unfinished"  # no task's id has a dot


class CredentialFiles:
    """All calls block, on one thread. `directory` is made when it is not there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def save(self, issued: CredentialsIssued) -> None:
        """Raises OSError."""
        path = self._directory / issued.task_id
        unfinished = path.with_suffix(_UNFINISHED)
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_encode(issued))
        unfinished.replace(path)

    def load(self) -> dict[str, CredentialsIssued | None]:
        """By task id; None for what is no whole answer. Raises OSError."""
        return {path.name: _read(path) for path in sorted(self._directory.iterdir())}

    def remove(self, task_id: str) -> None:
        (self._directory / task_id).unlink(missing_ok=True)


def credential_files(directory: Path) -> CredentialFiles | None:
    """None where the directory would be on a disk: then credentials end with the agent's process."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    mounts = Path("/proc/self/mountinfo").read_text(errors="replace")
    return CredentialFiles(directory) if is_in_memory(directory, mounts) else None


def is_in_memory(path: Path, mountinfo: str) -> bool:
    """Whether the device of this path is a tmpfs, as the kernel lists its mounts."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in mountinfo.splitlines():
        mount, _, filesystem = line.partition(" - ")
        if mount.split(" ")[2] == wanted:
            return filesystem.split(" ")[0] in ("tmpfs", "ramfs")
    return False


def _read(path: Path) -> CredentialsIssued | None:
    try:
        with path.open("rb") as file:
            found = _decode(file.read(_MAX_BYTES))
    except (OSError, msgspec.DecodeError):
        return None
    return found if found.task_id == path.name and problem(found) is None else None
