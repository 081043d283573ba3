"""What nodes' reports make of the records: load balancers that serve, nodes that names lead to, targets that drained.

Each look decides on memory first, and changes a record only where something is another. In memory nothing is decided:
who comes after a kill looks again. Must not know requests, nor hosts.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping

from ...interfaces.store import Overloaded
from ...log import get_logger
from ...model.balancing import DRAINING, HEALTHY
from ...model.errors import AwsError
from ...model.knobs import Knobs
from ...world import World
from ..network.nodes import balancer_nodes as nodes
from ..network.records.balancers import balancers
from ..network.registry import NetworkRegistry
from ..regional.shelves import Change, Shelf
from . import registration
from .book import BalancerBook
from .health import Verdicts
from .lookup import users
from .objects import LoadBalancer, TargetGroup

_log = get_logger(__name__)


def drained(
    shelf: Shelf,
    group: TargetGroup,
    leading: tuple[str, ...],
    verdicts: Verdicts,
    generations: Mapping[str, int | None],
    now: float,
) -> Iterator[str]:
    """Keys of targets that are to be forgotten: their delay is over, nothing leads to them any more, or each node that
    may have sent them requests runs a plan in which they drain and has no connection to them left.

    `leading`: ARNs of load balancers that lead to the group; `generations`: of their newest plans.
    """
    delay_s = registration.draining_s(group)
    for one in group.targets:
        if one.draining_since is None:
            continue
        is_over = not one.draining_since <= now < one.draining_since + delay_s  # the clock may have been set back
        if is_over or all(_is_through(shelf, arn, group, one.key, verdicts, generations.get(arn)) for arn in leading):
            yield one.key


def _is_through(
    shelf: Shelf, arn: str, group: TargetGroup, key: str, verdicts: Verdicts, generation: int | None
) -> bool:
    balancer = shelf.find(LoadBalancer, arn)
    if balancer is None or generation is None:
        return True  # it has no node
    said = dict(verdicts.of_target(group.arn, key))
    for node in nodes.there(balancer):
        report, verdict = verdicts.report(node.place), said.get(node.place)
        if report is None or report.generation < generation:
            return False
        if verdict is not None and (verdict.state != DRAINING or verdict.in_flight > 0):
            return False
    return True


class BalancerWatch:
    def __init__(
        self, world: World, network: NetworkRegistry, book: BalancerBook, verdicts: Verdicts, knobs: Knobs
    ) -> None:
        self._world = world
        self._network = network
        self.book = book
        self._verdicts = verdicts
        self._knobs = knobs
        self._heard_at: dict[str, float] = {}  # by place, on our own clock
        self._looked_at = world.monotonic()
        self._whys: dict[str, str] = {}  # place -> why it does not serve, as it was logged
        self._due = asyncio.Event()
        network.on_change(self._due.set)
        verdicts.listen(lambda _: self._due.set())

    async def run(self) -> None:
        """At each change and each report that says something new, and each period for what is over by the clock."""
        self._world.spawn(self._tick(), "balancer periods")
        while True:
            await self._due.wait()
            self._due.clear()
            await self.look()
            await self._world.sleep(self._knobs.balancer_look_rest_s)

    async def _tick(self) -> None:
        while True:
            await self._world.sleep(self._knobs.balancer_look_period_s)
            self._due.set()

    async def look(self) -> None:
        """Everything that is to be done now, once; what fails is left to the next look."""
        self._verdicts.forget_others(self.book.places().keys())
        self._lapse_silent()
        self._tell_the_operator()
        for account in self._network.accounts():
            shelf = self._network.shelf(account)
            if shelf.count(LoadBalancer) or shelf.count(TargetGroup):
                await self._look_at(account)

    def _lapse_silent(self) -> None:
        """Nodes say all of it each period. A server that stood still itself hears them before it judges."""
        now, fresh = self._world.monotonic(), self._verdicts.fresh()
        known = {place: now if place in fresh else self._heard_at.get(place, now) for place in self._verdicts.places()}
        if now - self._looked_at > self._knobs.balancer_silence_s / 2:
            known = dict.fromkeys(known, now)
        self._heard_at, self._looked_at = known, now
        for place, at in known.items():
            if now - at > self._knobs.balancer_silence_s:
                self._verdicts.lapse(place)

    def _tell_the_operator(self) -> None:
        """Whose load balancer it is hears which zones are not served; why is the hosts' owner's business."""
        places = self.book.places()
        reports = {place: self._verdicts.report(place) for place in places}
        now = {place: report.why for place, report in reports.items() if report is not None and report.why}
        for place, why in now.items():
            if self._whys.get(place) != why:
                host, arn = places[place]
                _log.warning("a load balancer's node does not serve", balancer=arn, node=place, host=host, why=why)
        self._whys = now

    async def _look_at(self, account: str) -> None:
        for balancer in list(balancers(self._network.shelf(account))):
            await self._decide(account, self._seen(balancer))
        shelf = self._network.shelf(account)
        leading = users(shelf)
        for group in list(shelf.all(TargetGroup)):
            arns = leading.get(group.arn, ())
            generations = {arn: self.book.generation(arn) for arn in arns}
            keys = list(drained(shelf, group, arns, self._verdicts, generations, self._world.now()))
            if keys:
                await self._decide(account, _forgetting(group.arn, keys))

    def _seen(self, balancer: LoadBalancer) -> Callable[[Shelf], Change[None]]:
        places = [node.place for node in nodes.there(balancer)]
        reports = {place: report for place in places if (report := self._verdicts.report(place)) is not None}
        silent = frozenset(place for place in places if place not in reports)
        serving = frozenset(place for place, report in reports.items() if report.is_serving)
        good = frozenset(
            place
            for place, report in reports.items()
            if any(one.state == HEALTHY for group in report.groups for one in group.targets)
        )
        return lambda shelf: nodes.seen(shelf, balancer.arn, serving, silent, good)

    async def _decide(self, account: str, decide: Callable[[Shelf], Change[None]]) -> None:
        wanted = decide(self._network.shelf(account))
        if not wanted.put and not wanted.drop:
            return
        try:
            await self._network.change(account, decide)
        except (AwsError, Overloaded) as error:
            # The next period tries again: a database that has no time gets none by being asked at once.
            _log.warning("what nodes say is not recorded yet", account=account, why=str(error))


def _forgetting(arn: str, keys: list[str]) -> Callable[[Shelf], Change[None]]:
    return lambda shelf: registration.forget(shelf, arn, keys)
