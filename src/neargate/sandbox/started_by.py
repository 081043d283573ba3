"""What a process on a terminal has started, found among the host's processes, and ended. Blocking; needs root.

Owns who belongs to it: its session, and whoever inherited its mark. Invariant: nothing outside the container's process
namespace is ever looked at twice, and who is killed is the one that was looked at, whatever its number is by then. A
process that took its own mark off and left the session is not found: it stays the container's, within its limits.
"""

import os
import signal
from pathlib import Path

from msgspec import Struct

_ENVIRONMENT_MAX_BYTES = 1024 * 1024


class Started(Struct, frozen=True, kw_only=True):
    """`namespace`: as /proc names it. `leader`: pid on the host, 0 when it is not known. `mark`: NAME=value."""

    namespace: str
    leader: int
    mark: str


def namespace_of(pid: int) -> str | None:
    """The process namespace of a process, None when there is no such process."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None


def end_once(started: Started) -> int:
    """Kill whoever is there now; how many there were."""
    found = 0
    for name in os.listdir("/proc"):
        if name.isdecimal() and _is_member(int(name), started):
            found += _end(int(name), started)
    return found


def _end(pid: int, started: Started) -> int:
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return 0  # it ended meanwhile
    try:
        if not _is_member(pid, started):
            return 0  # its number is another one's by now
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return 0
    finally:
        os.close(handle)
    return 1


def _is_member(pid: int, started: Started) -> bool:
    if namespace_of(pid) != started.namespace:
        return False
    try:
        # Bytes: a process gives itself any name, also one that is no text or looks like the fields behind it.
        state, _, _, session = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[:4]
    except (OSError, ValueError):
        return False
    if state in (b"Z", b"X"):
        return False  # dead; its parent has not asked for it
    return (started.leader > 0 and int(session) == started.leader) or _has_mark(pid, started.mark)


def _has_mark(pid: int, mark: str) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return mark.encode() in file.read(_ENVIRONMENT_MAX_BYTES).split(b"\0")
    except OSError:
        return False
