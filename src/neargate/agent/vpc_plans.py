"""The VPC plans in force on this host: the newest the server pushed, applied in the background, kept over restarts.

Invariant: `ready` returns only when a plan at least as new as the one pushed last is applied, so that no interface is
attached to rules older than its order. A lower generation is ignored. What is withdrawn goes when no task is in it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence

from msgspec.structs import replace

from ..interfaces.hostnet import HostError, HostNetwork
from ..model.knobs import Knobs
from ..model.network import VpcPlan, kept_plans
from ..world import World
from .local_state import LocalState


class VpcPlans:
    """`listeners(vpc_id)` opens what the agent serves inside the VPC's router, once per VPC; `shut` closes it.

    `is_inhabited(vpc_id)`: whether a task of this host is in it, from its order until nothing of it is left. `host_id`:
    whose nodes of load balancers are made.
    """

    def __init__(
        self,
        world: World,
        knobs: Knobs,
        network: HostNetwork,
        state: LocalState,
        listeners: Callable[[VpcPlan], Awaitable[None]],
        note: Callable[[str], None],
        *,
        shut: Callable[[str], Awaitable[None]],
        is_inhabited: Callable[[str], bool],
        host_id: str = "",
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._network = network
        self._state = state
        self._listeners = listeners
        self._shut = shut
        self._is_inhabited = is_inhabited
        self._host_id = host_id
        self._note = note
        self._wanted: dict[str, VpcPlan] = {}
        self._withdrawn: dict[str, int] = {}  # VPC -> generation; no longer here when it was carried out
        self._applied: dict[str, int] = {}
        self._news = asyncio.Condition()
        self._working: set[str] = set()
        self._refused: dict[str, tuple[float, str]] = {}  # VPC -> since when, and the host's last word
        self.refusals = 0  # times that a plan was not taken, or not put in force

    async def restore(self, plans: Sequence[VpcPlan], inhabited: Container[str]) -> None:
        """The plans of before a restart: in force until the server pushes newer ones. Those that no task needs are
        forgotten: the VPC may be deleted, and the next task there comes with the plan."""
        kept = kept_plans(plans, inhabited, self._host_id)
        for plan in plans:
            if plan in kept:
                self._want(plan)
            else:
                await self._state.forget_plan(plan.vpc_id)

    async def push(self, plan: VpcPlan) -> None:
        known = self._wanted.get(plan.vpc_id)
        if known is not None and known.generation > plan.generation:
            return
        # Before anything is awaited: a removal that is under way sees it and leaves the record.
        is_back = self._withdrawn.pop(plan.vpc_id, None) is not None
        if known is not None and known.generation == plan.generation and not is_back:
            return
        await self._state.save_plan(plan)
        self._want(plan)

    def withdraw(self, vpc_id: str, generation: int) -> None:
        """Of a VPC that is gone, or where this host has no task any more. A plan of a later generation stays."""
        known = self._wanted.get(vpc_id)
        if known is None or known.generation > generation:
            return
        self._withdrawn[vpc_id] = known.generation
        self._begin(vpc_id)

    def held(self) -> Mapping[str, int]:
        """VPC -> generation, of all that were pushed and not withdrawn since."""
        return {vpc_id: plan.generation for vpc_id, plan in self._wanted.items()}

    async def ready(self, vpc_id: str) -> None:
        """Raises HostError when the host has refused the plan for `plan_patience_s`. It is tried on all the same."""
        async with self._news:
            await self._news.wait_for(lambda: self.is_applied(vpc_id) or self._is_refused(vpc_id))
        if not self.is_applied(vpc_id):
            raise HostError(f"the rules of {vpc_id} cannot be put in force: {self._refused[vpc_id][1]}")

    def plan(self, vpc_id: str) -> VpcPlan | None:
        """The newest that was pushed."""
        return self._wanted.get(vpc_id)

    def _for_network(self, plan: VpcPlan) -> VpcPlan:
        """Load balancers' nodes of other hosts are not made here."""
        return replace(plan, nodes=tuple(node for node in plan.nodes if node.host_id == self._host_id))

    def is_applied(self, vpc_id: str) -> bool:
        """Whether the newest is in force."""
        wanted = self._wanted.get(vpc_id)
        return wanted is not None and self._applied.get(vpc_id, -1) >= wanted.generation

    def _is_refused(self, vpc_id: str) -> bool:
        since, _ = self._refused.get(vpc_id, (float("inf"), ""))
        return self._world.monotonic() - since >= self._knobs.plan_patience_s

    def _want(self, plan: VpcPlan) -> None:
        self._wanted[plan.vpc_id] = plan
        self._begin(plan.vpc_id)

    def _begin(self, vpc_id: str) -> None:
        if vpc_id not in self._working:
            self._working.add(vpc_id)
            self._world.spawn(self._work(vpc_id), f"vpc-{vpc_id}")

    async def _work(self, vpc_id: str) -> None:
        """One at a time for a VPC, until what was said of it last is carried out."""
        while vpc_id in self._withdrawn or (vpc_id in self._wanted and not self.is_applied(vpc_id)):
            if vpc_id not in self._withdrawn:
                await self._apply(vpc_id)
            elif self._is_inhabited(vpc_id):
                await self._world.sleep(self._knobs.engine_retry_s)
            else:
                await self._remove(vpc_id)
        self._working.discard(vpc_id)

    async def _remove(self, vpc_id: str) -> None:
        """What a kill leaves of it is forgotten at the next start, as that of any VPC without a task."""
        # From here on `ready` waits for a plan that is applied anew.
        self._applied.pop(vpc_id, None)
        try:
            await self._shut(vpc_id)
            await self._network.remove_vpc(vpc_id, self._withdrawn.get(vpc_id, -1))
        except (HostError, OSError) as error:
            self._note(f"{vpc_id} is withdrawn and stays for now: {error}")
            await self._world.sleep(self._knobs.engine_retry_s)
            return
        if vpc_id in self._withdrawn:  # else it was pushed again, and its record is the new plan's
            await self._state.forget_plan(vpc_id)
        if self._withdrawn.pop(vpc_id, None) is not None:
            del self._wanted[vpc_id]
            self._refused.pop(vpc_id, None)

    async def _apply(self, vpc_id: str) -> None:
        """Until the newest is applied; a host that refuses is asked again, since the order behind it waits."""
        while not self.is_applied(vpc_id) and vpc_id not in self._withdrawn:
            plan = self._wanted[vpc_id]
            try:
                await self._network.apply_vpc(self._for_network(plan))
                await self._listeners(plan)
            except (HostError, OSError) as error:
                since, _ = self._refused.get(vpc_id, (self._world.monotonic(), ""))
                self._refused[vpc_id] = (since, str(error))
                self.refusals += 1
                self._note(f"plan {plan.generation} of {vpc_id} is tried again: {error}")
                if self._is_refused(vpc_id):
                    await self._tell()
                await self._world.sleep(self._knobs.engine_retry_s)
                continue
            self._applied[vpc_id] = plan.generation
            self._refused.pop(vpc_id, None)
            await self._tell()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()
