"""How a guest disappoints: it is gone, it broke the rules, or it says no.

A `GuestGone` that is no `GuestBroke` is an end of the connection alone: the machine may run on, and who connects again
finds its kept processes. A `GuestBroke` is the machine's end: nothing that it says is worth hearing any more.
"""

import os


class GuestGone(Exception):
    """The connection is over; every call on it gives this same reason from then on. Connect again, or look for it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class GuestBroke(GuestGone):
    """The guest said what the protocol does not allow, or nothing where it must answer: its machine is to be ended."""


class GuestRefused(Exception):
    """The guest could not do this one thing. `errno` as of its kernel; the connection goes on."""

    def __init__(self, what: str, errno: int) -> None:
        super().__init__(f"{what}: {os.strerror(errno)}")
        self.errno = errno
