"""Packet marks: in one number, which way a packet takes (or came), from the first hook of a router to the last.

A way's number comes from its name, so that it means the same in every rule set and, in a flow's record, for as long
as the flow lives. Zero is what no rule has looked at: the router's own packets, and nothing that is forwarded.
"""

import hashlib
from collections.abc import Iterable, Mapping

from ..model.network import LOCAL
from .routing import EGRESS_ONLY, INTERNET, Way

LOCAL_MARK, INTERNET_MARK, EGRESS_ONLY_MARK = 1, 2, 3
UPLINK_MARK = 4  # came in from the uplink
SERVICE_MARK = 5  # for the router's own services; nothing with it is forwarded
_FIXED = {Way(LOCAL): LOCAL_MARK, Way(INTERNET): INTERNET_MARK, Way(EGRESS_ONLY): EGRESS_ONLY_MARK}
_OTHERS, _ARRIVED = 0x1000_0000, 0x2000_0000


def marks(ways: Iterable[Way]) -> Mapping[Way, int]:
    """All different. The same way has the same number always, but for two ways of one VPC whose hashes are equal."""
    found = dict(_FIXED)
    taken: set[int] = set()
    for way in sorted((way for way in set(ways) if way not in _FIXED), key=_name):
        number = _hashed(_name(way))
        while number in taken:
            number = (number + 1) % _OTHERS
        taken.add(number)
        found[way] = _OTHERS | number
    return found


def arrival_mark(way_mark: int) -> int:
    """Of what came in over the peering whose own way has this mark."""
    return way_mark & ~_OTHERS | _ARRIVED


def _name(way: Way) -> str:
    return ">".join((*way.nats, way.exit))


def _hashed(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % _OTHERS
