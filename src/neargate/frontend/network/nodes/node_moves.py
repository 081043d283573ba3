"""When a load balancer's node goes to another host, and how. Pure: nodes and hosts in, moves out.

A node whose host is lost or drained gets a successor in its subnet, on another host, with addresses of its own: only so
is there never an address that two hosts answer at. It retires when the successor serves and, as long as names lead to
it, has found a healthy target, too: then names lead to it no longer, it finishes what it has, and what was its own is
held until its host has heard that it is over. With its addresses a node goes only where nothing answers at them any
more: its host was given up by its operator, or is connected and was told to end it. One whose address was asked for
(an elastic one, a private one) goes in no other way.

Of the nodes of one line the last is the one that is wanted. Must not know zones, records or reports. Invariants: no
move to a host that is away or drained; no node ends before another serves in its zone, but for one that is carried.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto

from msgspec import Struct

from ....model.capacity import HostPlace
from ..records.balancers import AVAILABLE, LEAVING, MOVING, PENDING, RETIRING, Node


class HostSeen(Struct, frozen=True, kw_only=True):
    """`for_s`: for so long it has been connected, or away, as this process saw it."""

    place: HostPlace
    for_s: float


class Patience(Struct, frozen=True, kw_only=True):
    """Seconds. `lost_s`: of a host's absence, until it counts as lost; `told_s`: until a connected host has ended what
    it was told to end; `handover_s`: of a successor, for a target to be found healthy, and then of the node that
    retires, for names to be forgotten and requests to end."""

    lost_s: float
    told_s: float
    handover_s: float


class Step(Enum):
    SUCCEED = auto()  # another is made beside it
    LET_GO = auto()  # its host ends it, and then it is carried
    CARRY = auto()  # to another host, with its addresses
    STAY = auto()  # let go, and not carried after all
    RETIRE = auto()
    END = auto()


class Move(Struct, frozen=True, kw_only=True):
    place: str
    step: Step


class _Fate(Enum):
    WELL = auto()
    DRAINED = auto()
    AWAY = auto()  # for now
    LOST = auto()
    GIVEN_UP = auto()


class MovePlanner:
    """For all load balancers at one instant. `now`: of the clock of `Node.since`."""

    def __init__(self, hosts: Iterable[HostSeen], now: float, patience: Patience) -> None:
        self._hosts = {host.place.host_id: host for host in hosts}
        self._now = now
        self._patience = patience

    def moves(self, nodes: Sequence[Node]) -> tuple[Move, ...]:
        """`nodes`: all of one load balancer, in their order. Each is moved at most once."""
        lines = dict.fromkeys(node.line for node in nodes)
        found = (self._of_line([one for one in nodes if one.line == line]) for line in lines)
        return tuple(move for moves in found for move in moves)

    def is_hopeless(self, zone: str) -> bool:
        """There is no host that could ever come back to take a node."""
        return all(one.is_given_up for one in self._of_zone(zone))

    def is_to_leave(self, host_id: str | None, zone: str) -> bool:
        """Of a thing that every host serves, and that one has in its books: whether another should."""
        fate = self._fate(host_id, zone)
        return fate in (_Fate.DRAINED, _Fate.LOST, _Fate.GIVEN_UP) and self._has_other(host_id, zone)

    def _of_line(self, nodes: Sequence[Node]) -> Iterator[Move]:
        standing = [one for one in nodes if one.state in (PENDING, AVAILABLE, MOVING)]
        needless = list(self._needless(standing))
        over = [one for one in nodes if one.state == RETIRING and self._is_over(one)]
        yield from (Move(place=one.place, step=Step.END) for one in (*over, *needless))
        needed = [one for one in standing if one not in needless]
        for index, node in enumerate(needed):
            step = self._step(node, needed[index + 1 :])
            if step is not None:
                yield Move(place=node.place, step=step)

    def _step(self, node: Node, later: Sequence[Node]) -> Step | None:
        """`later`: its successors."""
        if node.state == AVAILABLE:
            return self._step_of_available(node, later)
        return self._step_of_moving(node) if node.state == MOVING else None

    def _step_of_available(self, node: Node, later: Sequence[Node]) -> Step | None:
        if any(self._takes_over(one, node) for one in later):
            return Step.RETIRE
        if not self._has_other(node.host_id, node.zone):
            return None
        fate = self._fate_of(node)
        if fate is _Fate.GIVEN_UP and _are_pending(later):
            return Step.CARRY
        if later:
            return None
        if fate is _Fate.DRAINED:
            return Step.LET_GO if is_bound(node) else Step.SUCCEED
        return Step.SUCCEED if fate is _Fate.LOST and not is_bound(node) else None

    def _takes_over(self, later: Node, node: Node) -> bool:
        """It serves; and where the one before has a healthy target, so that names lead to it, it has one, too, or has
        had the time to find one."""
        if later.state != AVAILABLE or not later.serves:
            return False
        is_late = self._seconds_since(later.attached_at) >= self._patience.handover_s
        return later.is_listed or not node.is_listed or is_late

    def _step_of_moving(self, node: Node) -> Step | None:
        fate, has_other = self._fate_of(node), self._has_other(node.host_id, node.zone)
        if fate is _Fate.WELL or (fate is _Fate.DRAINED and not has_other):
            return Step.STAY
        has_ended = fate is _Fate.GIVEN_UP or (fate is _Fate.DRAINED and self._was_told(node))
        return Step.CARRY if has_ended and has_other else None

    def _needless(self, standing: Sequence[Node]) -> Iterator[Node]:
        """Successors that do not serve yet, of a node whose host is well again, or that is carried itself."""
        for index, node in enumerate(standing):
            before = enumerate(standing[:index])
            is_idle = node.state == PENDING or (node.state == AVAILABLE and not node.serves)
            if is_idle and any(self._stays(one, standing[at + 1 :]) for at, one in before):
                yield node

    def _stays(self, node: Node, later: Sequence[Node]) -> bool:
        fate = self._fate_of(node)
        is_carried = fate is _Fate.GIVEN_UP and _are_pending(later) and self._has_other(node.host_id, node.zone)
        return node.state == AVAILABLE and (fate is _Fate.WELL or is_carried)

    def _fate_of(self, node: Node) -> _Fate:
        return self._fate(node.host_id, node.zone)

    def _fate(self, host_id: str | None, zone: str) -> _Fate:
        host = self._hosts.get(host_id or "")
        if host is None:
            return _Fate.AWAY  # its zone may have forgotten it
        if host.place.is_connected:
            return _Fate.DRAINED if host.place.is_draining else _Fate.WELL
        if host.place.is_given_up:
            return _Fate.GIVEN_UP
        is_lost = host.for_s >= self._patience.lost_s and not self._is_wide(zone)
        return _Fate.LOST if is_lost else _Fate.AWAY

    def _is_wide(self, zone: str) -> bool:
        """So many of the zone's hosts are away that it is rather the way to them, or this process, that is ill."""
        there = [one for one in self._of_zone(zone) if not one.is_given_up]
        return sum(not one.is_connected for one in there) > max(1, len(there) // 3)

    def _has_other(self, host_id: str | None, zone: str) -> bool:
        return any(can_take(one) and one.host_id != host_id for one in self._of_zone(zone))

    def _of_zone(self, zone: str) -> list[HostPlace]:
        return [host.place for host in self._hosts.values() if host.place.zone in (None, zone)]

    def _was_told(self, node: Node) -> bool:
        """Its host is connected, and has been for long enough since."""
        return min(self._hosts[node.host_id or ""].for_s, self._since(node)) >= self._patience.told_s

    def _is_over(self, node: Node) -> bool:
        """What its host may still answer at is held."""
        fate = self._fate_of(node)
        if fate in (_Fate.WELL, _Fate.DRAINED):
            return self._since(node) >= self._patience.handover_s
        return fate is _Fate.GIVEN_UP

    def _since(self, node: Node) -> float:
        return self._seconds_since(node.since)

    def _seconds_since(self, at: float | None) -> float:
        """What began in the future began before the clock was set back."""
        since = self._now if at is None else at
        return self._now - since if since <= self._now else float("inf")


def is_bound(node: Node) -> bool:
    """It must have the address that was asked for."""
    return node.allocation_id is not None or node.wanted_private_ip is not None


def can_take(host: HostPlace) -> bool:
    return host.is_connected and not host.is_draining


def hosts_beside(nodes: Iterable[Node], node: Node) -> tuple[str, ...]:
    """Of the load balancer's other nodes: others are better for this one."""
    there = (one.host_id for one in nodes if one.place != node.place and one.state != LEAVING)
    return tuple(dict.fromkeys(host_id for host_id in there if host_id))


def _are_pending(nodes: Iterable[Node]) -> bool:
    return all(one.state == PENDING for one in nodes)
