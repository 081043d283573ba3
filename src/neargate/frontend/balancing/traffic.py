"""What nodes of load balancers counted of their traffic, added up for the operator's metrics. In memory alone.

Nodes say sums that grow from when their runner began. Here only what comes on top is added, so that a sum never goes
back when a node, its host's agent or a proxy begins anew; what a node had counted before this server heard of it is not
in it. Must not know how it is shown.
"""

from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct

from ...model.balancing import NodeReport, NodeTraffic

_Five = tuple[int, int, int, int, int]
_NONE: _Five = (0, 0, 0, 0, 0)
# Of NodeTraffic, what grows.
_GROWING = ("requests", "connections", "received", "sent", "lost_lines")


class Sums(Struct, frozen=True, kw_only=True):
    """Of a load balancer. `groups`: by ARN, what targets answered (2xx, 3xx, 4xx, 5xx), connections that failed."""

    traffic: NodeTraffic = NodeTraffic()
    groups: Mapping[str, _Five] = {}


class TrafficSums:
    def __init__(self) -> None:
        self._sums: dict[str, Sums] = {}  # by ARN of the load balancer
        self._last: dict[str, NodeReport] = {}  # by place

    def heard(self, report: NodeReport, groups: Collection[str]) -> None:
        """`groups`: those that the load balancer leads to; of others nothing is believed."""
        last = self._last.get(report.place)
        if last is not None and last.generation > report.generation:
            return  # it is late
        self._last[report.place] = report
        sums = self._sums.get(report.arn, Sums())
        before = report if last is None or last.arn != report.arn else last
        known = dict(before.requests)
        added = {
            arn: _added(sums.groups.get(arn, _NONE), _more(counts, known.get(arn, _NONE)))
            for arn, counts in report.requests
            if arn in groups
        }
        kept = {arn: counts for arn, counts in sums.groups.items() if arn in groups}
        self._sums[report.arn] = Sums(
            traffic=_grown(sums.traffic, report.traffic, before.traffic), groups={**kept, **added}
        )

    def forget_others(self, places: Mapping[str, tuple[str, str]]) -> None:
        """All but those of these nodes: (host, ARN of the load balancer) by place."""
        self._last = {place: report for place, report in self._last.items() if place in places}
        arns = {arn for _, arn in places.values()}
        self._sums = {arn: sums for arn, sums in self._sums.items() if arn in arns}

    def of(self, arn: str) -> Sums:
        """`active` is not in it: that is of now (`active`)."""
        return self._sums.get(arn, Sums())

    def active(self, places: Iterable[str]) -> int:
        """Connections of clients to these nodes, as they said last."""
        return sum(self._last[place].traffic.active for place in places if place in self._last)


def _more(now: _Five, before: _Five) -> _Five:
    """What counts less than before began anew."""
    if any(new < old for new, old in zip(now, before, strict=True)):
        return now
    first, second, third, fourth, fifth = (new - old for new, old in zip(now, before, strict=True))
    return first, second, third, fourth, fifth


def _added(one: _Five, other: _Five) -> _Five:
    first, second, third, fourth, fifth = (a + b for a, b in zip(one, other, strict=True))
    return first, second, third, fourth, fifth


def _grown(sums: NodeTraffic, now: NodeTraffic, before: NodeTraffic) -> NodeTraffic:
    fields = [(getattr(now, name), getattr(before, name)) for name in _GROWING]
    pairs = [*fields, *zip(now.own, before.own, strict=True)]
    if any(new < old for new, old in pairs):
        before = NodeTraffic()
    more = {name: getattr(sums, name) + getattr(now, name) - getattr(before, name) for name in _GROWING}
    third, fourth, fifth = (a + b - c for a, b, c in zip(sums.own, now.own, before.own, strict=True))
    return NodeTraffic(own=(third, fourth, fifth), **more)
