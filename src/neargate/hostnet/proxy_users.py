"""Whom a node's proxy runs as: a user id that nobody else on the machine has, its own, without a name and a home.

A proxy that is taken over by what it reads must not read the keys of another's: of nodes of one user, each could.
Pure: what is taken and what this user namespace has in, an id out.
"""

from collections.abc import Collection
from hashlib import sha256

from msgspec import Struct

# Above what systemd gives to containers and services, below its last ids; and, where a container has fewer ids, what
# systemd keeps unused of 16 bits.
_RANGES = (range(1_900_000_000, 1_900_000_000 + (1 << 26)), range(60578, 61184))
NOBODY = 65534


class ProxyUser(Struct, frozen=True, kw_only=True):
    uid: int
    gid: int


def is_fresh(uid: int) -> bool:
    """Whether it is one of those that `fresh_user` gives."""
    return uid == NOBODY or is_own(uid)


def is_own(uid: int) -> bool:
    """Whether all that runs as it is one node's."""
    return any(uid in ids for ids in _RANGES)


def fresh_user(home: str, taken: Collection[int], uid_map: str) -> ProxyUser:
    """For the node with this directory: regions of one machine do not know each other's. `uid_map`: of /proc."""
    mapped = [(int(first), int(first) + int(count)) for first, _, count in map(str.split, uid_map.splitlines())]
    for ids in _RANGES:
        if any(first <= ids.start and ids.stop <= end for first, end in mapped):
            begin = int.from_bytes(sha256(home.encode()).digest()[:8])
            for step in range(len(taken) + 1):
                uid = ids[(begin + step) % len(ids)]
                if uid not in taken:
                    return ProxyUser(uid=uid, gid=uid)
    return ProxyUser(uid=NOBODY, gid=NOBODY)
