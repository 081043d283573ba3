"""Starts the process that writes the server's databases: a fork of the server, before that loads the rest of its code.

It owns when that process ends: with the server, whatever ends it; and its user. Must not know databases. A fork needs
no start-up of its own; what the server has not loaded yet, neither has to copy from the other.
"""

import ctypes
import errno
import gc
import os
import signal
import socket
import sys

from ..store.writing_process import serve
from .privileges import step_down

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
NAME = b"neargate-db"  # in ps and top; the command line is the server's
SWITCH_INTERVAL_S = 0.0005


def start(user: str | None = None) -> socket.socket:
    """The server's end of the control socket. Call it in the main thread: the process dies with the thread.

    `user`: whom it becomes, where it is begun by root.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server = os.getpid()
    if os.fork() != 0:
        theirs.close()
        return ours
    status = 1
    try:
        ours.close()
        _become(server, user)
        # A Ctrl-C reaches the whole group, and the server writes until its own end, which ends this one.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        gc.freeze()  # a look for cycles would copy every page that the two share
        gc.enable()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        serve(theirs)
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _become(server: int, user: str | None) -> None:
    """Take the name and the user, and die with the server. Raises OSError."""
    if user is not None:
        step_down(user)  # first: a change of the user takes the order to die back
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NAME, NAME, 0, 0, 0)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != server:
        raise ProcessLookupError(errno.ESRCH, "the server ended before its writing process began")
