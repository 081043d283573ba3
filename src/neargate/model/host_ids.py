"""Which of the host's user ids are a task's: ranges that nothing else of a machine uses.

Pure. Owns the arithmetic: a task's ids 0 to 65535 are as many of the host's, from the first of its range on. Must not
know who has which range. Invariant: the ranges of two numbers have no id in common, and none of them has root.
"""

from msgspec import Struct

IDS = 65536
# What systemd leaves free (its UIDS-GIDS document) and lies above what Debian and Ubuntu give users (/etc/subuid).
# Every id fits into 31 bits: some programs and filesystems read more as negative.
FIRST = 0x7000_0000
RANGES = 4096


class UserNamespace(Struct, frozen=True, kw_only=True):
    """A task's. `path`: the namespace, kept as a file. `mounts_path`: one that no process is ever in, which says to
    whom files belong on a mount of the task's: as `path`, and root of the host, who puts filesystems together, is the
    id after the last. `first`: the host's id that is the task's root."""

    path: str
    mounts_path: str
    first: int

    def of_host(self, inside: int) -> int:
        """The host's id for one of the task's. Raises ValueError."""
        if not 0 <= inside < IDS:
            raise ValueError(f"{inside} is none of a task's {IDS} ids")
        return self.first + inside


def first_of(number: int) -> int:
    """Of a range by its number. Raises ValueError."""
    if not 0 <= number < RANGES:
        raise ValueError(f"{number} is none of {RANGES} ranges")
    return FIRST + number * IDS


def task_map(first: int) -> str:
    """As /proc/PID/uid_map takes it."""
    return f"0 {first} {IDS}\n"


def mounts_map(first: int) -> str:
    """The same for the task's files, with a place for root of the host: without one what he mounts is read-only."""
    return f"{task_map(first)}{IDS} 0 1\n"


def given_away(subids: str) -> str | None:
    """The first line of /etc/subuid or /etc/subgid (`user:first:count`) that gives somebody some of these ids."""
    for line in subids.splitlines():
        words = line.strip().split(":")
        if len(words) == 3 and words[1].isdecimal() and words[2].isdecimal():
            first, count = int(words[1]), int(words[2])
            if count and first < FIRST + RANGES * IDS and first + count > FIRST:
                return line.strip()
    return None
