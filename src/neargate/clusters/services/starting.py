"""Carries out a plan's starts: tasks of a deployment, launched a few at a time as RunTask launches them.

Owns the pace (a service's launches a minute, the account's launch rate), and what is said and remembered when there is
no place. Invariant: the rows of new tasks, their belonging to the service, the event that tells of them and the raised
`rev` are one write: nobody starts on a state that others have changed, and no task is ever without its service.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ...interfaces.roles import RunTaskRequest
from ...interfaces.services import ServiceNetworks
from ...interfaces.store import Refused, Statement, Store
from ...model.errors import AwsError, ServiceUnavailable, Throttling
from ...model.knobs import Knobs
from ...scheduling.services import messages
from ...scheduling.services.state import Deployment, RolloutState, ServicePlan, Start
from ...store.rows import many
from ...world import World
from ..launching import Launching, Superseded
from ..recording import ON_SPOT, OWNER_GUARD, Owner, Placed, Recorded
from ..task_table import encode_json
from .addresses import OwnAddresses, holding
from .asking import NO_INSTANCES, Asking, NoPlace
from .snapshot import Snapshot
from .tables import ServiceState, guard_rev, insert_events, was_said_since
from .target_rows import UNKNOWN, insert_targets

LaunchRate = Callable[[str, bool, int], None]  # (account, is_spot, count); raises Throttling

_MINUTE_S = 60.0
_INSERT = "INSERT INTO service_tasks (task, service, deployment, target) VALUES {rows}"
_NOT_MET = (
    "no container instance met all of its requirements. Reason: {} "
    "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
)


class Started(Struct, frozen=True, kw_only=True):
    """`count`: of tasks. `wake_in_s`: when the rest may be tried; None: nothing is left."""

    count: int = 0
    wake_in_s: float | None = None


class Starting:
    """`launched` is told of what was recorded. `rate`: the account's; None: there is none."""

    def __init__(
        self,
        world: World,
        store: Store,
        knobs: Knobs,
        *,
        launching: Launching,
        networks: ServiceNetworks,
        launched: Callable[[Recorded], None],
        rate: LaunchRate | None,
    ) -> None:
        self._world = world
        self._store = store
        self._knobs = knobs
        self._launching = launching
        self._networks = networks
        self._addresses = OwnAddresses(world, store, knobs, launching=launching, networks=networks)
        self._launched = launched
        self._rate = rate
        self._levels: dict[int, tuple[float, float]] = {}  # service -> launches that it may make, as of when

    async def carry_out(self, snapshot: Snapshot, rev: int, state: ServiceState, plan: ServicePlan) -> Started:
        """The plan's starts. `rev` and `state`: of the service since the plan was written. Raises Superseded,
        ServiceUnavailable, Overloaded: what was launched until then stays."""
        starts = plan.starts
        if starts and (left_s := self._waits_s(state, starts)) > 0:
            return Started(wake_in_s=left_s)
        turn = _Turn(snapshot, rev, state, plan.deployments)
        try:
            for start in starts:
                turn.deployment_id, turn.zone = start.deployment_id, start.zone
                wait_s = await self._start(turn, start)
                if wait_s is not None:
                    return Started(count=turn.count, wake_in_s=wait_s)
        except NoPlace as failed:
            return Started(count=turn.count, wake_in_s=await self._no_place(turn, failed.reason))
        return Started(count=turn.count)

    def _waits_s(self, state: ServiceState, starts: Sequence[Start]) -> float:
        """A wait that is longer than any comes of a clock that was set back."""
        is_for_balance = all(start.zone is not None for start in starts)
        if state.place_retry_at is None or (state.place_zone is not None and not is_for_balance):
            return 0.0
        left_s = state.place_retry_at - self._world.now()
        return left_s if left_s <= self._knobs.service_place_retry_max_s else 0.0

    def forget(self, service: int) -> None:
        """It is over."""
        self._levels.pop(service, None)
        self._addresses.forget(service)

    async def _start(self, turn: "_Turn", start: Start) -> float | None:
        """In how many seconds the rest may be tried, when the pace forbids it now. Raises NoPlace."""
        asking = Asking(turn.snapshot, start, self._networks)
        left = start.count
        while left:
            count = min(left, self._knobs.service_launch_batch_max, self._allowed(turn.snapshot.row.n))
            if not count:
                return _MINUTE_S / self._knobs.service_launches_per_minute
            own: tuple[str, ...] = ()
            if asking.wants_public:
                own, count = await self._addresses.free(turn.snapshot.row, count)
            if not count:
                return self._knobs.service_retry_s
            request = asking.request(count, self._world.random.random())
            try:
                self._take(turn.snapshot.row.n, request)
            except Throttling:
                await self._throttled(turn)
                return self._knobs.service_retry_s
            await self._launch(turn, asking, request, own)
            left -= count
        return None

    async def _launch(self, turn: "_Turn", asking: Asking, request: RunTaskRequest, own: tuple[str, ...]) -> None:
        """`own`: addresses of the service, for the first of them. Raises NoPlace when not all of them were."""
        row = turn.snapshot.row
        owner = Owner(
            service=row.name,
            spread=asking.spread,
            spread_key=asking.spread_key,
            besides=lambda placed: self._besides(turn, asking, placed),
            has_targets=bool(asking.load_balancers),
            public_addresses=own,
            check=(lambda placed: self._addresses.check(row, placed)) if own else None,
        )
        try:
            answer, recorded = await self._launching.run_owned(request, owner)
        except (ServiceUnavailable, Throttling):
            raise
        except AwsError as refusal:
            raise NoPlace(refusal.message) from None
        if recorded is not None:
            turn.launched(len(recorded.documents))
            self._launched(recorded)
        if answer.failures:
            raise NoPlace(answer.failures[0].reason)
        asking.launched(request)

    def _besides(self, turn: "_Turn", asking: Asking, placed: Sequence[Placed]) -> tuple[Statement, ...]:
        row, task_ids = turn.snapshot.row, [place.task_id for place in placed]
        replaced = min(len(task_ids), asking.replaces)
        message = messages.started(row.name, task_ids, replaced, asking.start.zone)
        target = encode_json(UNKNOWN) if asking.load_balancers else None
        tasks = [(task_id, row.n, asking.start.deployment_id, target) for task_id in task_ids]
        return (
            guard_rev(row, turn.rev, state=turn.state_when_placed, name=OWNER_GUARD),
            *many(_INSERT, tasks, "service task"),
            *insert_targets(row.n, placed, asking.load_balancers),
            *holding(placed),
            *insert_events(row.n, [message], self._world.now(), self._world.random.getrandbits),
        )

    async def _throttled(self, turn: "_Turn") -> None:
        """Says it, unless it was said lately."""
        row, now = turn.snapshot.row, self._world.now()
        message = messages.throttled(row.name)
        if not await was_said_since(self._store, row.n, message, now - self._knobs.service_event_repeat_s):
            await self._store.write(insert_events(row.n, [message], now, self._world.random.getrandbits))

    async def _no_place(self, turn: "_Turn", reason: str) -> float:
        """Says it, unless it was said lately; returns in how many seconds it is tried again."""
        now, knobs, state = self._world.now(), self._knobs, turn.state
        message = _not_placed(turn.snapshot.row.name, reason)
        wait_s = min(knobs.service_place_retry_min_s * 2.0**state.place_failures, knobs.service_place_retry_max_s)
        lately = {said: at for said, at in state.place_told.items() if at > now - knobs.service_event_repeat_s}
        while len(lately) >= knobs.service_told_max:
            del lately[min(lately, key=lambda said: lately[said])]
        after = replace(
            state,
            place_failures=min(state.place_failures + 1, 30),
            place_retry_at=now + wait_s,
            place_zone=turn.zone,
            place_told={message: now} | lately,
        )
        row = turn.snapshot.row
        events = [] if message in lately else [message]
        statements = [
            guard_rev(row, turn.rev, state=after),
            *turn.one_more_failed(),
            *insert_events(row.n, events, now, self._world.random.getrandbits),
        ]
        try:
            await self._store.write(statements)
        except Refused:
            raise Superseded from None
        return wait_s

    # -- the pace

    def _allowed(self, service: int) -> int:
        """Launches that the service may make now."""
        level, _ = self._level(service)
        return int(level)

    def _level(self, service: int) -> tuple[float, float]:
        most, now = float(self._knobs.service_launches_per_minute), self._world.monotonic()
        level, at = self._levels.get(service, (most, now))
        return min(most, level + (now - at) * most / _MINUTE_S), now

    def _take(self, service: int, request: RunTaskRequest) -> None:
        """Raises Throttling for the account's rate; then nothing is launched."""
        spot = request.providers.count(ON_SPOT)
        for is_spot, count in ((False, request.count - spot), (True, spot)):
            if count and self._rate is not None:
                self._rate(request.account, is_spot, count)
        level, now = self._level(service)
        self._levels[service] = (level - request.count, now)


class _Turn:
    """What the starts of one plan come to. `rev` grows with each write of new tasks."""

    def __init__(self, snapshot: Snapshot, rev: int, state: ServiceState, deployments: Sequence[Deployment]) -> None:
        self.deployment_id = ""  # of what is being started
        self.zone: str | None = None  # of the same: for whose balance
        self._deployments = deployments
        self.snapshot = snapshot
        self.rev = rev
        self.state = state
        self.count = 0

    @property
    def state_when_placed(self) -> ServiceState | None:
        """None: as it is."""
        if self.state.place_failures == 0:
            return None
        return replace(self.state, place_failures=0, place_retry_at=None)

    def one_more_failed(self) -> list[Statement]:
        """A task that cannot be launched counts as failed, as on AWS: the breaker may give the deployment up."""
        for deployment in self._deployments:
            if deployment.deployment_id == self.deployment_id and deployment.rollout_state is RolloutState.IN_PROGRESS:
                failed = replace(deployment, failed_tasks=deployment.failed_tasks + 1)
                params = (encode_json(failed), deployment.deployment_id)
                return [Statement("UPDATE deployments SET state = ? WHERE id = ?", params, 1, "deployment")]
        return []

    def launched(self, count: int) -> None:
        self.state = self.state_when_placed or self.state
        self.rev += 1
        self.count += count


def _not_placed(name: str, reason: str) -> str:
    if reason == NO_INSTANCES:
        return f"(service {name}) was unable to place a task because {_NOT_MET.format(reason)}"
    return messages.not_placed(name, reason)
