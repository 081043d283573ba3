"""One flow log's traffic of one aggregation interval, added up to records: one of each flow, direction and action.

Owns what a record says and how many there may be. Must not know where traffic was seen. Invariant: what does not fit is
not forgotten silently: its interface has a SKIPDATA line.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from ..model.flow_logs import ACCEPT, ALL, REJECT, PlannedFlowLog
from . import lines
from .interfaces import Interface
from .messages import Ends

Event = tuple[int, str]  # (epoch milliseconds, line)


class Share(Struct, frozen=True, kw_only=True):
    """A part of a flow's traffic on one interface in one direction. `ends`: as the line shows them.

    `reverts`: packets were counted as accepted before they were dropped. Times: epoch seconds.
    """

    is_egress: bool
    action: str
    protocol: int
    ends: Ends
    packets: int
    size: int  # their bytes
    begin: float
    end: float
    flags: int | None = None  # of TCP; None where they are not known
    path: int | None = None
    packet_source: bytes = b""  # where they are others than the line's
    packet_destination: bytes = b""
    reverts: bool = False


class _Sum:
    __slots__ = ("begin", "end", "flags", "packets", "reverted_packets", "reverted_size", "share", "size")

    def __init__(self, share: Share) -> None:
        self.share = share
        self.packets = self.size = self.reverted_packets = self.reverted_size = 0
        self.begin, self.end = share.begin, share.end
        self.flags: int | None = None

    def add(self, share: Share) -> None:
        self.packets += share.packets
        self.size += share.size
        self.begin, self.end = min(self.begin, share.begin), max(self.end, share.end)
        if share.flags is not None:
            self.flags = (self.flags or 0) | share.flags
        if share.reverts:
            self.reverted_packets += share.packets
            self.reverted_size += share.size


_Key = tuple[bool, str, int, Ends, bytes, bytes]


class Window:
    """`records_max`: of all interfaces; one interface has at most `interface_max` of these."""

    def __init__(self, log: PlannedFlowLog, begun: float, *, records_max: int, interface_max: int) -> None:
        self.log = log
        self.begun = begun
        self._records_max = records_max
        self._interface_max = interface_max
        self._records = 0
        self._sums: dict[str, dict[_Key, _Sum]] = {}
        self._skipped: set[str] = set()
        self.skips = 0  # records that say so

    def takes(self, interface: Interface) -> bool:
        return self.log.resource_id in (interface.eni_id, interface.subnet_id, interface.vpc_id)

    def add(self, interface: Interface, share: Share) -> None:
        # What was rejected corrects what was accepted, so it is added whatever the log shows.
        known = self._sums.setdefault(interface.eni_id, {})
        ends = (share.packet_source, share.packet_destination)
        key = (share.is_egress, share.action, share.protocol, share.ends, *ends)
        found = known.get(key)
        if found is None:
            if len(known) >= self._interface_max or self._records >= self._records_max:
                self._skipped.add(interface.eni_id)
                return
            self._records += 1
            found = known[key] = _Sum(share)
        found.add(share)

    def skip(self, eni_id: str) -> None:
        """Some of its traffic was not seen."""
        self._skipped.add(eni_id)

    def events(self, interfaces: Iterable[Interface], now: float) -> dict[str, list[Event]]:
        """By interface, oldest first. Those without a record have one that says so."""
        return {
            interface.eni_id: sorted(self._events(interface, now))
            for interface in interfaces
            if self.takes(interface) and interface.was_there(self.begun, now)
        }

    def _events(self, interface: Interface, now: float) -> list[Event]:
        sums = self._sums.get(interface.eni_id, {})
        shown = [self._event(interface, *each) for key, total in sums.items() if (each := _net(key, total, sums))]
        events = [event for event in shown if event is not None]
        if interface.eni_id in self._skipped:
            events.append(self._status(interface, now, lines.SKIPDATA))
            self.skips += 1
        return events or [self._status(interface, now, lines.NODATA)]

    def _event(self, interface: Interface, total: _Sum, packets: int, size: int) -> Event | None:
        share = total.share
        if self.log.traffic not in (ALL, share.action):
            return None
        ends = share.ends
        source, destination = lines.address(ends.source), lines.address(ends.destination)
        values = {
            "srcaddr": source,
            "dstaddr": destination,
            "srcport": str(ends.source_port),
            "dstport": str(ends.destination_port),
            "protocol": str(share.protocol),
            "packets": str(packets),
            "bytes": str(size),
            "action": share.action,
            "type": "IPv4" if len(ends.source) == 4 else "IPv6",
            "flow-direction": "egress" if share.is_egress else "ingress",
            "pkt-srcaddr": lines.address(share.packet_source) if share.packet_source else source,
            "pkt-dstaddr": lines.address(share.packet_destination) if share.packet_destination else destination,
        }
        if total.flags is not None:
            values["tcp-flags"] = str(total.flags)
        if share.path is not None and share.is_egress:
            values["traffic-path"] = str(share.path)
        return self._line(interface, values, total.begin, total.end, lines.OK)

    def _status(self, interface: Interface, now: float, status: str) -> Event:
        return self._line(interface, {}, max(self.begun, interface.since), now, status)

    def _line(self, interface: Interface, values: Mapping[str, str], begin: float, end: float, status: str) -> Event:
        known = {
            **interface.facts,
            **values,
            "version": str(lines.version_of(self.log.fields)),
            "account-id": lines.word(self.log.account),
            "interface-id": lines.word(interface.eni_id),
            "vpc-id": lines.word(interface.vpc_id),
            "subnet-id": lines.word(interface.subnet_id),
            "start": str(int(begin)),
            "end": str(int(max(begin, end))),
            "log-status": status,
        }
        return int(begin * 1000), lines.line(self.log.fields, known)


def _net(key: _Key, total: _Sum, sums: Mapping[_Key, _Sum]) -> tuple[_Sum, int, int] | None:
    """(record, packets, bytes): of those accepted, without what was rejected after it had been counted."""
    packets, size = total.packets, total.size
    if total.share.action == ACCEPT:
        rejected = sums.get((key[0], REJECT, *key[2:]))
        if rejected is not None:
            packets -= rejected.reverted_packets
            size -= rejected.reverted_size
    return (total, packets, max(size, 0)) if packets > 0 else None
