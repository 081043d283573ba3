"""From root to the unprivileged user, for good. Called after everything was imported that the process will need.

The Python of a virtual environment often lies under /root, which that user cannot read; so a process that is to be
unprivileged starts as root, loads its code, and steps down before it opens a socket or a database.
"""

import ctypes
import os
import pwd
import resource

PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38


def step_down(user: str) -> None:
    """Become `user` with its own group only; no way back, also not through set-uid programs."""
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    forbid_new_privileges()
    forbid_core_dumps()
    os.umask(0o077)


def allow_open_files() -> None:
    """As many as root lets us have: a login shell's usual 1024 are fewer than our own bounds on connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def forbid_new_privileges() -> None:
    """Neither this process nor any that it becomes or starts gains anything from set-uid programs."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def forbid_core_dumps() -> None:
    """Of this process alone, whose memory has keys: what it starts has the limits that the machine gives."""
    _prctl(PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")
