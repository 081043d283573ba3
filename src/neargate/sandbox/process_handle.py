"""A hold on one process, which stays its own when its number becomes another's. Blocking.

Owns nothing but the kernel's handle (pidfd): what is asked by it meets this process or none. A number that was
read from a file, or listed, is only a guess until the process that it was given to is held and looked at again.
"""

import os
from pathlib import Path


def start_ticks(pid: int, *, or_ended: bool = False) -> int:
    """When it began: field 22 of /proc/PID/stat. 0: there is none, or, unless `or_ended`, it is not collected."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in b"ZX" and not or_ended else int(fields[19])


def held(pid: int, ticks: int) -> int | None:
    """A handle of the process of this number that began then, alive or not collected yet; whoever asks closes it."""
    if pid <= 0 or ticks <= 0:
        return None
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if start_ticks(pid, or_ended=True) == ticks:
        return handle
    os.close(handle)
    return None


def collected(handle: int) -> int | None:
    """How a child of ours ended, as `os.waitpid` tells it; None: it runs, or is not our child, or was collected."""
    try:
        found = os.waitid(os.P_PIDFD, handle, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if found is None or not found.si_pid:
        return None
    if found.si_code == os.CLD_EXITED:
        return found.si_status << 8
    return found.si_status | (0x80 if found.si_code == os.CLD_DUMPED else 0)
