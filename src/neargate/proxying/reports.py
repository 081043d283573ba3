"""What a node says of itself: from its plan, what is known of its targets, and the rows of its proxy's processes.

Invariant: whatever a proxy told, a report is one that a server hears: for one that it does not it ends the whole
host's link (`clusters/arrivals.py`).
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from ..model.balancing import (
    DRAINING,
    INITIAL,
    BalancerPlan,
    GroupVerdicts,
    NodeReport,
    NodeTraffic,
    PlannedGroup,
    PlannedNode,
    TargetVerdict,
)
from . import names
from .changes import Seen
from .stats import Known, judged
from .traffic import Five, Tally

_TEXT_MAX, _COUNT_MAX = 255, 2**63 - 1  # of a report


def known_now(
    plan: BalancerPlan, node: PlannedNode, has: Seen, known: Mapping[str, Known], now: float, *, is_adopted: bool
) -> dict[str, Known]:
    """What is known after a look. `is_adopted`: this is the first look at a process of an earlier time."""
    found: dict[str, Known] = {}
    for group in plan.groups:
        backend = names.backend(group.arn)
        for target in names.live(plan, node, group):
            server = names.server(group, target)
            row = has.get((backend, server))
            before = known.get(server)
            if row is None or row.is_out:
                # A process that was lost is no news of its targets; one that comes back after it left is fresh.
                kept = before is not None and row is None
                found[server] = before if kept and before is not None else Known(state=INITIAL, since=now)
                continue
            if before is None and not is_adopted:
                before = Known(state=INITIAL, since=now)
            found[server] = judged(before, row, has.get((backend + names.PROBE, server)), group.check, now)
    return found


def has_drains(plan: BalancerPlan) -> bool:
    return any(target.is_draining for group in plan.groups for target in group.targets)


def report(
    plan: BalancerPlan,
    node: PlannedNode,
    known: Mapping[str, Known],
    processes: Sequence[Seen],
    tally: Tally,
    why: str,
) -> NodeReport:
    """`processes`: the rows of each that still has connections."""
    return NodeReport(
        arn=plan.arn,
        place=node.place,
        generation=plan.generation,
        is_serving=not why,
        groups=tuple(_verdicts(plan, node, group, known, processes) for group in plan.groups),
        requests=tuple((group.arn, tally.of(group.arn)) for group in plan.groups),
        why=why,
        traffic=tally.shown(),
    )


def _verdicts(
    plan: BalancerPlan, node: PlannedNode, group: PlannedGroup, known: Mapping[str, Known], processes: Sequence[Seen]
) -> GroupVerdicts:
    found = []
    for target in names.served(plan, node, group):
        server = names.server(group, target)
        if target.is_draining:
            found.append(TargetVerdict(key=target.key, state=DRAINING, in_flight=_in_flight(group, server, processes)))
        else:
            one = known.get(server, Known())
            found.append(TargetVerdict(key=target.key, state=one.state, reason=one.reason, detail=one.detail))
    return GroupVerdicts(group=group.arn, targets=tuple(found))


def _in_flight(group: PlannedGroup, server: str, processes: Sequence[Seen]) -> int:
    backend = names.backend(group.arn)
    rows = [has.get((name, server)) for has in processes for name in (backend, backend + names.OPEN)]
    return sum(row.current for row in rows if row is not None)


def heard(told: NodeReport) -> NodeReport:
    """What is too long or too much for a server is cut; what was no count is none."""
    traffic = told.traffic
    third, fourth, fifth = map(_count, traffic.own)
    return replace(
        told,
        why=_text(told.why),
        groups=tuple(replace(group, targets=tuple(map(_verdict, group.targets))) for group in told.groups),
        requests=tuple((arn, _five(counts)) for arn, counts in told.requests),
        traffic=NodeTraffic(
            requests=_count(traffic.requests),
            connections=_count(traffic.connections),
            active=_count(traffic.active),
            received=_count(traffic.received),
            sent=_count(traffic.sent),
            own=(third, fourth, fifth),
            lost_lines=_count(traffic.lost_lines),
        ),
    )


def _verdict(one: TargetVerdict) -> TargetVerdict:
    if not one.detail and not one.in_flight:
        return one
    return replace(one, detail=_text(one.detail), in_flight=_count(one.in_flight))


def _five(counts: Five) -> Five:
    first, second, third, fourth, fifth = map(_count, counts)
    return first, second, third, fourth, fifth


def _count(number: int) -> int:
    return min(max(0, number), _COUNT_MAX)


def _text(text: str) -> str:
    shown = text[:_TEXT_MAX]
    return shown if shown.isprintable() else "".join(one if one.isprintable() else " " for one in shown)
