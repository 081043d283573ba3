"""The region's load balancers as hosts need them: which host runs nodes of which, by what plan, and what it says back.

Implements interfaces.roles.Balancers. Reads are from memory and never wait. Invariants: a plan of a generation never
differs from another of that generation: what it is made of only grows, over restarts too; a host is believed only about
nodes that are placed on it, and of these only about the groups that they lead to.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from ...log import get_logger
from ...model.balancing import BalancerPlan, NodeReport
from ...model.bugs import told
from ...model.knobs import Knobs
from ..network.nodes import balancer_nodes as nodes
from ..network.records.balancers import balancers
from ..network.registry import NetworkRegistry
from ..regional.shelves import Shelf
from .health import Verdicts
from .limits import PLANNED_TARGETS_MAX
from .objects import LoadBalancer
from .traffic import TrafficSums

_log = get_logger(__name__)
_encode = msgspec.msgpack.Encoder().encode
# Of a message to a host. What its nodes say of all targets fits one, too.
PLAN_MAX_BYTES = Knobs().link_message_max_bytes // 4 * 3

Planner = Callable[[Shelf, LoadBalancer, int], BalancerPlan]  # the last: its generation


def _none_beside(account: str) -> int:
    del account
    return 0


class PlanTooLarge(Exception):
    """The text is for the operator."""


class BalancerBook:
    """`beside`: how often of an account what is on no shelf of the network had changed, which plans are made of too."""

    def __init__(
        self,
        network: NetworkRegistry,
        verdicts: Verdicts,
        planner: Planner,
        beside: Callable[[str], int] = _none_beside,
    ) -> None:
        self._network = network
        self._verdicts = verdicts
        self._planner = planner
        self._beside = beside
        self.traffic = TrafficSums()
        self._plans: dict[str, dict[str, BalancerPlan]] = {}  # by account, by ARN
        self._seen: dict[str, int] = {}  # account -> generation of what its plans were made of
        self._by_host: dict[str, list[BalancerPlan]] = {}
        self._places: dict[str, tuple[str, str]] = {}  # place -> (host, ARN)
        self._groups: dict[str, frozenset[str]] = {}  # ARN -> of the groups that it leads to
        self._version = 0
        self._feeds: list[asyncio.Event] = []
        network.on_change(self.changed)

    def changed(self) -> None:
        """What plans are made of may be something else."""
        for feed in self._feeds:
            feed.set()

    def of_host(self, host_id: str) -> Sequence[BalancerPlan]:
        self._catch_up()
        return tuple(self._by_host.get(host_id, ()))

    def generation(self, arn: str) -> int | None:
        """Of the newest plan. None: no host has to know of it."""
        self._catch_up()
        return next((plans[arn].generation for plans in self._plans.values() if arn in plans), None)

    def places(self) -> Mapping[str, tuple[str, str]]:
        """Of all nodes with an interface: (host, ARN of the load balancer)."""
        self._catch_up()
        return self._places

    def unplanned(self, account: str) -> Mapping[str, str]:
        """ARN -> why, of the account's load balancers whose last changes are in no plan."""
        self._catch_up()
        owned = {one.arn for one in balancers(self._network.shelf(account))}
        return {arn: why for arn, why in self._verdicts.unplanned.items() if arn in owned}

    async def changes(self) -> AsyncIterator[None]:
        feed = asyncio.Event()
        self._feeds.append(feed)
        self._catch_up()
        known = self._version
        try:
            while True:
                await feed.wait()
                feed.clear()
                self._catch_up()
                if self._version != known:
                    known = self._version
                    yield None
        finally:
            self._feeds.remove(feed)

    def heard(self, host_id: str, reports: Sequence[NodeReport]) -> None:
        """Of a group that the node does not lead to nothing is believed, its name included."""
        self._catch_up()
        for report in reports:
            if self._places.get(report.place) == (host_id, report.arn):
                led = self._groups[report.arn]
                self.traffic.heard(report, led)
                self._verdicts.heard(replace(report, groups=tuple(one for one in report.groups if one.group in led)))

    def _catch_up(self) -> None:
        is_other = False
        for account in self._network.accounts():
            shelf = self._network.shelf(account)
            now = shelf.generation + self._beside(account)
            if self._seen.get(account) != now:
                self._seen[account] = now
                is_other |= self._replan(shelf, now)
        if is_other:
            self._version += 1
            self._index()

    def _replan(self, shelf: Shelf, generation: int) -> bool:
        """Whether a plan is another one. One that says the same keeps its generation."""
        before, made = self._plans.get(shelf.account, {}), dict[str, BalancerPlan]()
        with_nodes = {one.arn: one for one in balancers(shelf) if nodes.there(one)}
        for arn in [arn for arn in self._verdicts.unplanned if arn.split(":")[4] == shelf.account]:
            if arn not in with_nodes:  # it was deleted, or failed: nobody is to be told of it
                del self._verdicts.unplanned[arn]
        for balancer in with_nodes.values():
            known = before.get(balancer.arn)
            plan = self._planned(shelf, balancer, generation) or known
            if plan is not None:
                same = known is not None and replace(plan, generation=known.generation) == known
                made[balancer.arn] = known if same and known is not None else plan
        self._plans[shelf.account] = made
        return made != before

    def _planned(self, shelf: Shelf, balancer: LoadBalancer, generation: int) -> BalancerPlan | None:
        """One that cannot be planned (a key that cannot be opened) stays as it was, and says so: the others go on, and
        so do the hosts."""
        try:
            plan = self._planner(shelf, balancer, generation)
            _check_size(plan)
            self._verdicts.unplanned.pop(balancer.arn, None)
            return plan
        except Exception as error:
            why = str(error) if isinstance(error, PlanTooLarge) else told(error)
            _log.error("a load balancer cannot be planned", balancer=balancer.arn, why=why)
            self._verdicts.unplanned[balancer.arn] = why
            return None

    def _index(self) -> None:
        before = self._places
        self._by_host, self._places, self._groups = {}, {}, {}
        for plan in (plan for plans in self._plans.values() for plan in plans.values()):
            for host_id in dict.fromkeys(node.host_id for node in plan.nodes):
                self._by_host.setdefault(host_id, []).append(plan)
            self._groups[plan.arn] = frozenset(group.arn for group in plan.groups)
            for node in plan.nodes:
                self._places[node.place] = (node.host_id, plan.arn)
        # What its last host said of a node that is elsewhere now is said of another.
        elsewhere = {place for place, at in before.items() if place in self._places and self._places[place] != at}
        if elsewhere:
            self._verdicts.forget_others(self._places.keys() - elsewhere)
        self.traffic.forget_others(self._places)


def _check_size(plan: BalancerPlan) -> None:
    targets, size = sum(len(group.targets) for group in plan.groups), len(_encode(plan))
    if targets > PLANNED_TARGETS_MAX or size > PLAN_MAX_BYTES:
        most = f"{PLANNED_TARGETS_MAX} and {PLAN_MAX_BYTES} are the most"
        raise PlanTooLarge(f"its plan has {targets} targets and {size} bytes, {most}")
