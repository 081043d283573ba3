"""The VPC plans in force on this host: the newest the server pushed, applied in the background, kept over restarts.

Invariant: `ready` returns only when a plan at least as new as the one pushed last is applied, so that no interface is
attached to rules older than its order. A lower generation is ignored.
"""

import asyncio
from collections.abc import Awaitable, Callable, Container, Sequence

from ..interfaces.hostnet import HostError, HostNetwork
from ..model.knobs import Knobs
from ..model.network import VpcPlan
from ..world import World
from .local_state import LocalState


class VpcPlans:
    """`listeners(plan)` opens what the agent serves inside the VPC's router, after each plan that was applied."""

    def __init__(
        self,
        world: World,
        knobs: Knobs,
        network: HostNetwork,
        state: LocalState,
        listeners: Callable[[VpcPlan], Awaitable[None]],
        note: Callable[[str], None],
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._network = network
        self._state = state
        self._listeners = listeners
        self._note = note
        self._wanted: dict[str, VpcPlan] = {}
        self._applied: dict[str, int] = {}
        self._news = asyncio.Condition()
        self._working: set[str] = set()
        self._refused: dict[str, tuple[float, str]] = {}  # VPC -> since when, and the host's last word

    async def restore(self, plans: Sequence[VpcPlan], inhabited: Container[str]) -> None:
        """The plans of before a restart: in force until the server pushes newer ones. Those of VPCs without a task are
        forgotten: they may be deleted, and the next task there comes with the plan."""
        for plan in plans:
            if plan.vpc_id in inhabited:
                self._want(plan)
            else:
                await self._state.forget_plan(plan.vpc_id)

    async def push(self, plan: VpcPlan) -> None:
        known = self._wanted.get(plan.vpc_id)
        if known is not None and known.generation >= plan.generation:
            return
        await self._state.save_plan(plan)
        self._want(plan)

    async def ready(self, vpc_id: str) -> None:
        """Raises HostError when the host has refused the plan for `plan_patience_s`. It is tried on all the same."""
        async with self._news:
            await self._news.wait_for(lambda: self._is_applied(vpc_id) or self._is_refused(vpc_id))
        if not self._is_applied(vpc_id):
            raise HostError(f"the rules of {vpc_id} cannot be put in force: {self._refused[vpc_id][1]}")

    def plan(self, vpc_id: str) -> VpcPlan | None:
        """The newest that was pushed."""
        return self._wanted.get(vpc_id)

    def _is_applied(self, vpc_id: str) -> bool:
        wanted = self._wanted.get(vpc_id)
        return wanted is not None and self._applied.get(vpc_id, -1) >= wanted.generation

    def _is_refused(self, vpc_id: str) -> bool:
        since, _ = self._refused.get(vpc_id, (float("inf"), ""))
        return self._world.monotonic() - since >= self._knobs.plan_patience_s

    def _want(self, plan: VpcPlan) -> None:
        self._wanted[plan.vpc_id] = plan
        if plan.vpc_id not in self._working:
            self._working.add(plan.vpc_id)
            self._world.spawn(self._apply(plan.vpc_id), f"vpc-{plan.vpc_id}")

    async def _apply(self, vpc_id: str) -> None:
        """Until the newest is applied; a host that refuses is asked again, since the order behind it waits."""
        while not self._is_applied(vpc_id):
            plan = self._wanted[vpc_id]
            try:
                await self._network.apply_vpc(plan)
                await self._listeners(plan)
            except (HostError, OSError) as error:
                since, _ = self._refused.get(vpc_id, (self._world.monotonic(), ""))
                self._refused[vpc_id] = (since, str(error))
                self._note(f"plan {plan.generation} of {vpc_id} is tried again: {error}")
                if self._is_refused(vpc_id):
                    await self._tell()
                await self._world.sleep(self._knobs.engine_retry_s)
                continue
            self._applied[vpc_id] = plan.generation
            self._refused.pop(vpc_id, None)
            await self._tell()
        self._working.discard(vpc_id)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()
