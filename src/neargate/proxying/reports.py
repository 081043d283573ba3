"""What a node says of itself: from its plan, what is known of its targets, and the rows of its proxy's processes."""

from collections.abc import Mapping, Sequence

from ..model.balancing import (
    DRAINING,
    INITIAL,
    BalancerPlan,
    GroupVerdicts,
    NodeReport,
    PlannedGroup,
    PlannedNode,
    TargetVerdict,
)
from . import names
from .changes import Seen
from .stats import Known, judged
from .traffic import Tally


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
