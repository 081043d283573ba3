"""What nodes say where nothing runs: every target is healthy as soon as it is there. For simulated hosts. Pure."""

from collections.abc import Callable, Sequence

from ...interfaces.proxies import AccessLines
from ...model.balancing import DRAINING, HEALTHY, BalancerPlan, GroupVerdicts, NodeReport, PlannedGroup, TargetVerdict


def all_healthy(plan: BalancerPlan, host_id: str) -> list[NodeReport]:
    """Of the load balancer's nodes on this host. What drains has no connection left."""
    groups = tuple(map(_verdicts, plan.groups))
    return [
        NodeReport(arn=plan.arn, place=node.place, generation=plan.generation, is_serving=True, groups=groups)
        for node in plan.nodes
        if node.host_id == host_id
    ]


def _verdicts(group: PlannedGroup) -> GroupVerdicts:
    return GroupVerdicts(
        group=group.arn,
        targets=tuple(
            TargetVerdict(key=one.key, state=DRAINING if one.is_draining else HEALTHY) for one in group.targets
        ),
    )


class SimulatedRunner:
    """Implements BalancerRunner."""

    def __init__(self, host_id: str) -> None:
        self._host_id = host_id
        self._listeners: list[Callable[[NodeReport], None]] = []
        self.plans: tuple[BalancerPlan, ...] = ()

    async def apply(self, plans: Sequence[BalancerPlan]) -> None:
        self.plans = tuple(plans)
        for report in self.reports():
            for listener in self._listeners:
                listener(report)

    def reports(self) -> Sequence[NodeReport]:
        return [report for plan in self.plans for report in all_healthy(plan, self._host_id)]

    def on_report(self, listener: Callable[[NodeReport], None]) -> None:
        self._listeners.append(listener)

    def on_access_lines(self, ship: AccessLines) -> None:
        """Nobody asks its nodes for anything."""
