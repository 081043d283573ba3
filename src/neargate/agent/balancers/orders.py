"""Which load balancers this host is to run nodes of, and what their runner is told: all of them, each as said last.

A plan is handed on when the plan of its VPC is in force here: then the node's interface is there. Those of before a
restart are handed on at once, since what runs by them must not end meanwhile; after a reboot of the machine their
interfaces come a moment later. Invariants: a plan of a lower generation changes nothing; absence is never an order:
until the server says otherwise, what was ordered before a restart runs on; no private key reaches the agent's database.
Must not know proxies.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence

from ...interfaces.hostnet import HostError
from ...interfaces.proxies import BalancerRunner
from ...model.balancing import BalancerPlan, NodeReport
from ...model.knobs import Knobs
from ...world import World
from ..local_state import LocalState
from ..vpc_plans import VpcPlans
from .keys import KeyFiles, has_keys, with_keys, without_keys

LANE = "balancer-keys"
Say = Callable[[Sequence[NodeReport]], None]


class BalancerOrders:
    """`say`: to the server; what it does not hear is said again when it is there. `keys`: None where there is no
    memory for them: then they end with this process, and are asked for again.
    """

    def __init__(
        self,
        world: World,
        knobs: Knobs,
        runner: BalancerRunner,
        state: LocalState,
        vpcs: VpcPlans,
        say: Say,
        note: Callable[[str], None],
        keys: KeyFiles | None = None,
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._keys = keys
        self._runner = runner
        self._state = state
        self._vpcs = vpcs
        self._say = say
        self._note = note
        self._wanted: dict[str, BalancerPlan] = {}
        self._restored: dict[str, BalancerPlan] = {}
        self._given: dict[str, BalancerPlan] = {}  # to the runner, as it has them
        self._waiting: set[str] = set()  # VPCs whose plan is waited for
        self._due = asyncio.Event()
        self._news: dict[str, NodeReport] = {}  # by place, not said yet
        self._some_news = asyncio.Event()
        self._whys: dict[str, str] = {}  # place -> why it does not serve, as it was noted
        runner.on_report(self._heard)

    async def restore(self, plans: Sequence[BalancerPlan]) -> None:
        """Those of before a restart, with the keys that the machine's memory has; what has lost one is asked for."""
        for plan in filter(has_keys, plans):  # of a release that kept keys in its database
            await self._keep_keys(plan)
            await self._state.save_balancer(without_keys(plan))
        fault = await self._state.wipe_once()
        if fault:
            self._note(f"keys of an earlier release may still be in the agent's file, its next start tries it: {fault}")
        known = {} if self._keys is None else await self._world.offload(LANE, self._keys.load)
        self._wanted = {plan.arn: with_keys(plan, known) for plan in plans}
        for plan in plans:
            if self._wanted[plan.arn].generation != plan.generation:
                self._note(f"{plan.arn}: keys of its certificates are not in memory any more, the server is asked")
        self._restored = dict(self._wanted)
        self._due.set()

    async def push(self, plan: BalancerPlan) -> None:
        known = self._wanted.get(plan.arn)
        if known is not None and known.generation >= plan.generation:
            return
        await self._keep_keys(plan)  # first: a plan that is found again finds its keys
        await self._state.save_balancer(without_keys(plan))
        self._wanted[plan.arn] = plan
        await self._drop_keys()
        self._due.set()

    async def withdraw(self, arn: str, generation: int) -> None:
        """A plan of a later generation stays."""
        known = self._wanted.get(arn)
        if known is None or known.generation > generation:
            return
        await self._state.forget_balancer(arn)
        self._wanted.pop(arn, None)
        await self._drop_keys()
        self._due.set()

    async def _keep_keys(self, plan: BalancerPlan) -> None:
        if self._keys is None:
            return
        try:
            await self._world.offload(LANE, self._keys.save, plan)
        except OSError as error:  # they serve, and a restart asks for them
            self._note(f"keys of {plan.arn} are not kept over a restart: {error}")

    async def _drop_keys(self) -> None:
        if self._keys is None:
            return
        try:
            await self._world.offload(LANE, self._keys.keep, tuple(self._wanted.values()))
        except OSError as error:  # the next plan tries it again
            self._note(f"keys of certificates that went are still in memory: {error}")

    def held(self) -> Mapping[str, int]:
        """ARN -> generation."""
        return {arn: plan.generation for arn, plan in self._wanted.items()}

    def connected(self) -> None:
        """A session stands: the server hears all that nodes say now."""
        for report in self._runner.reports():
            self._heard(report)

    async def run(self) -> None:
        """Never returns."""
        self._world.spawn(self._tell(), "balancer-news")
        self._world.spawn(self._tell_again(), "balancer-reports")
        while True:
            await self._due.wait()
            self._due.clear()
            await self._hand_on()

    async def _hand_on(self) -> None:
        """What waits for its VPC stays as it was handed on last."""
        ready = {arn: plan for arn, plan in self._wanted.items() if self._is_ready(plan)}
        before = self._restored | self._given
        given = {arn: ready.get(arn) or before.get(arn) for arn in self._wanted}
        plans = {arn: plan for arn, plan in given.items() if plan is not None}
        if plans == self._given:
            return
        try:
            await self._runner.apply(tuple(plans.values()))
        except (HostError, OSError) as error:
            self._note(f"load balancers are tried again: {error}")
            self._world.spawn(self._later(), "balancers-again")
            return
        self._given = plans
        places = {node.place for plan in plans.values() for node in plan.nodes}
        self._whys = {place: why for place, why in self._whys.items() if place in places}

    def _is_ready(self, plan: BalancerPlan) -> bool:
        if self._vpcs.is_applied(plan.vpc_id):
            return True
        if plan.vpc_id not in self._waiting:
            self._waiting.add(plan.vpc_id)
            self._world.spawn(self._await_vpc(plan.vpc_id), f"balancers-{plan.vpc_id}")
        return False

    async def _await_vpc(self, vpc_id: str) -> None:
        try:
            await self._vpcs.ready(vpc_id)
        except HostError:
            await self._world.sleep(self._knobs.engine_retry_s)  # it is tried on, and looked at again
        self._waiting.discard(vpc_id)
        self._due.set()

    async def _later(self) -> None:
        await self._world.sleep(self._knobs.engine_retry_s)
        self._due.set()

    # -- reports

    def _heard(self, report: NodeReport) -> None:
        if report.why != self._whys.get(report.place, ""):
            self._whys[report.place] = report.why
            self._note(f"{report.arn} in {report.place}: {report.why or 'it serves'}")
        self._news[report.place] = report
        self._some_news.set()

    async def _tell(self) -> None:
        """What comes together is said together."""
        while True:
            await self._some_news.wait()
            await self._world.sleep(self._knobs.balancer_news_rest_s)
            self._some_news.clear()
            news, self._news = list(self._news.values()), {}
            for message in messages(news, self._knobs.balancer_reports_max, self._knobs.balancer_verdicts_max):
                self._say(message)

    async def _tell_again(self) -> None:
        while True:
            await self._world.sleep(self._knobs.balancer_report_period_s)
            self.connected()


def messages(news: Sequence[NodeReport], reports_max: int, verdicts_max: int) -> Iterator[list[NodeReport]]:
    """Bounded in both. A report alone is whole, however much it says: its plan was one message."""
    found: list[NodeReport] = []
    count = 0
    for one in news:
        verdicts = sum(len(group.targets) for group in one.groups)
        if found and (len(found) >= reports_max or count + verdicts > verdicts_max):
            yield found
            found, count = [], 0
        found.append(one)
        count += verdicts
    if found:
        yield found
