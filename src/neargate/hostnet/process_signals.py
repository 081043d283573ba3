"""Signals to processes that were found by looking, as in /proc: to the one that was meant, or to none. Blocking.

Invariant: between the look and the signal a number may become another process's; so it is held by the kernel's handle
(pidfd), looked at once more, and only then told. A child of ours that was not collected needs none of this.
"""

import os
import signal
from collections.abc import Callable


def send(pid: int, number: int, is_meant: Callable[[int], bool]) -> bool:
    """Whether it was there, was the one that is meant while it was held, and was told."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not is_meant(pid):
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True
