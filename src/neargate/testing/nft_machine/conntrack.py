"""Connections of one router: which packets are new, established, related or invalid, and translation of addresses.

After the kernel's nf_conntrack and nf_nat, for first packets and first answers. Invariant: an entry has two tuples, the
original's and the reply's; what differs between them is what is translated.
"""

from msgspec import Struct
from msgspec.structs import replace

from .packets import ICMP, ICMPV6, TCP, UDP, Packet
from .values import STATUSES

# Messages that may begin a connection, and those that answer them (nf_conntrack_proto_icmp, _icmpv6).
_ICMP_PAIRS = {(ICMP, 8): 0, (ICMP, 13): 14, (ICMP, 15): 16, (ICMP, 17): 18, (ICMPV6, 128): 129, (ICMPV6, 139): 140}
_ICMP_INVERSE = {**_ICMP_PAIRS, **{(protocol, reply): kind for (protocol, kind), reply in _ICMP_PAIRS.items()}}
# Messages about others: their connection is that of the packet inside.
_ICMP_ERRORS = {(ICMP, 3), (ICMP, 4), (ICMP, 5), (ICMP, 11), (ICMP, 12), *((ICMPV6, each) for each in (1, 2, 3, 4))}
# Neighbour discovery and the like are not tracked.
_UNTRACKED = {(ICMPV6, each) for each in (130, 131, 132, 133, 134, 135, 136, 137, 143)}
FIRST_FREE_PORT, LAST_PORT = 1024, 65535


class Tuple(Struct, frozen=True):
    """`source_part`, `part`: ports; of ICMP its id, and its type and code."""

    version: int
    protocol: int
    source: int
    source_part: int
    to: int
    part: tuple[int, int]

    def inverted(self) -> "Tuple":
        if self.protocol in (ICMP, ICMPV6):
            kind = _ICMP_INVERSE.get((self.protocol, self.part[0]), self.part[0])
            parts = self.source_part, (kind, self.part[1])
        else:
            parts = self.part[0], (self.source_part, 0)
        return Tuple(self.version, self.protocol, self.to, parts[0], self.source, parts[1])


class Entry:
    """A connection. `reply` is the tuple that answers will have; NAT changes it."""

    __slots__ = ("is_confirmed", "mark", "original", "reply", "seen_reply", "status", "tried")

    def __init__(self, original: Tuple) -> None:
        self.original = original
        self.reply = original.inverted()
        self.mark = 0
        self.status = 0
        self.seen_reply = False
        self.is_confirmed = False
        self.tried: set[str] = set()  # which of `dnat` and `snat` has been decided


def tuple_of(packet: Packet) -> Tuple:
    if packet.is_icmp:
        part = (packet.icmp_type, packet.icmp_code)
        return Tuple(packet.version, packet.protocol, packet.source, packet.icmp_id, packet.to, part)
    return Tuple(packet.version, packet.protocol, packet.source, packet.source_port, packet.to, (packet.port, 0))


class Conntrack:
    def __init__(self) -> None:
        self._held: dict[Tuple, tuple[Entry, bool]] = {}

    def flush(self) -> None:
        self._held.clear()

    def track(self, packet: Packet) -> tuple[str, Entry | None, bool]:
        """The packet's state, its connection, and whether it goes in the reply's direction."""
        kind = (packet.protocol, packet.icmp_type) if packet.is_icmp else None
        if kind in _UNTRACKED:
            return "untracked", None, False
        if kind in _ICMP_ERRORS:
            return self._related(packet)
        found = self._held.get(tuple_of(packet))
        if found is not None:
            entry, is_reply = found
            entry.seen_reply |= is_reply
            entry.status |= STATUSES["seen-reply"] if is_reply else 0
            return ("established" if entry.seen_reply else "new"), entry, is_reply
        may_begin = kind in _ICMP_PAIRS if kind is not None else not (packet.protocol == TCP and packet.is_answer)
        return ("new", Entry(tuple_of(packet)), False) if may_begin else ("invalid", None, False)

    def confirm(self, entry: Entry | None) -> bool:
        """The packet leaves the router, or reaches a socket of it: from now on others belong to its connection. False:
        another connection has the tuple, and the packet is dropped.
        """
        if entry is not None and not entry.is_confirmed:
            if entry.original in self._held or entry.reply in self._held:
                return False
            entry.is_confirmed = True
            entry.status |= STATUSES["confirmed"]
            self._held[entry.original] = (entry, False)
            self._held[entry.reply] = (entry, True)
        return True

    def set_up(self, entry: Entry, way: str, address: int | None, ports: tuple[int, int] | None) -> None:
        """Decide `dnat` or `snat` of a new connection; no address and no ports: it stays as it is, but for a source
        port that another connection has.
        """
        entry.tried.add(way)
        wanted = entry.reply.inverted()  # as the packet is now
        before = wanted
        if way == "dnat":
            wanted = replace(
                wanted,
                to=wanted.to if address is None else address,
                part=wanted.part if ports is None else (ports[0], 0),
            )
        else:
            wanted = self._unique(replace(wanted, source=wanted.source if address is None else address), entry, ports)
        entry.reply = wanted.inverted()
        if wanted != before:
            entry.status |= STATUSES[way]

    def _unique(self, wanted: Tuple, entry: Entry, ports: tuple[int, int] | None) -> Tuple:
        first, last = ports or (FIRST_FREE_PORT, LAST_PORT)
        fits = ports is None or first <= wanted.source_part <= last
        if wanted.protocol not in (TCP, UDP, ICMP, ICMPV6) or (fits and self._is_free(wanted, entry)):
            return wanted  # of other protocols there is nothing to tell two connections by
        tuples = (replace(wanted, source_part=port) for port in range(first, last + 1))
        return next(each for each in tuples if self._is_free(each, entry))

    def _is_free(self, wanted: Tuple, entry: Entry) -> bool:
        held = self._held.get(wanted.inverted())
        return held is None or held[0] is entry

    def _related(self, packet: Packet) -> tuple[str, Entry | None, bool]:
        found = self._held.get(tuple_of(packet.about).inverted()) if packet.about is not None else None
        return ("related", *found) if found is not None else ("invalid", None, False)


def translated(packet: Packet, entry: Entry, way: str, *, is_reply: bool) -> Packet:
    """Where packets go (`dnat`, on the way in) or where they come from (`snat`, on the way out), by their connection.

    An answer's destination is what `snat` changed. A message about a packet gets the addresses of an answer to it, as
    does the packet inside, the other way round.
    """
    changed_by = {"dnat": "snat", "snat": "dnat"}[way] if is_reply else way
    if not entry.status & STATUSES[changed_by]:
        return packet
    now = (entry.original if is_reply else entry.reply).inverted()
    inner = packet.about
    if inner is None:
        return _with_end(packet, now, way)
    if way == "dnat":
        return replace(packet, to=now.to, about=_with_end(inner, now.inverted(), "snat"))
    return replace(packet, source=now.source, about=_with_end(inner, now.inverted(), "dnat"))


def _with_end(packet: Packet, now: Tuple, way: str) -> Packet:
    """With the destination (`dnat`) or source of a tuple. Of ICMP either end has the id."""
    if packet.is_icmp:
        ended = replace(packet, to=now.to) if way == "dnat" else replace(packet, source=now.source)
        return replace(ended, icmp_id=now.source_part)
    if way == "dnat":
        return replace(packet, to=now.to, port=now.part[0])
    return replace(packet, source=now.source, source_port=now.source_part)
