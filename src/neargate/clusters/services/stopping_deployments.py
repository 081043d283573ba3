"""StopServiceDeployment: a deployment that is under way is given up, or undone.

Invariant: it changes the service in one write that its `rev` guards, as the scheduler's own plans do.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from ...interfaces.store import Refused, Statement, Store
from ...model.errors import InvalidParameter, ServiceDeploymentNotFound, ServiceNotActive, ServiceUnavailable
from ...scheduling.services import messages
from ...scheduling.services.breaker import brought_back
from ...scheduling.services.state import Deployment, RolloutState, ServiceStatus
from ...world import World
from ..task_table import encode_json
from ..writing import write
from .applying import rollback_deployment
from .reading import ServiceReading
from .records import OPEN, Record, ended, rolling_back
from .tables import (
    DeploymentRow,
    Key,
    ServiceRow,
    deployment_id,
    deployments_of,
    digits,
    guard_rev,
    insert_deployment,
    insert_events,
    update_record,
)

_ATTEMPTS_MAX = 8
_OVER = "The service deployment is not in progress and cannot be stopped."
_NOTHING_BEFORE = "The service deployment cannot be rolled back: no earlier service revision was deployed."
_BY_USER = "Service deployment was rolled back by user."
_STOPPED_BY_USER = "Service deployment was stopped by user."


class StoppingDeployments:
    def __init__(self, world: World, store: Store, *, reading: ServiceReading, changed: Callable[[Key], None]) -> None:
        self._world = world
        self._store = store
        self._reading = reading
        self._changed = changed

    async def stop(self, account: str, arn: str, stop_type: str) -> str:
        """Its ARN. Raises ServiceDeploymentNotFound, ServiceNotActive, InvalidParameter (over, nothing before)."""
        for _ in range(_ATTEMPTS_MAX):
            found = await self._reading.record(account, arn)
            if found is None:
                raise ServiceDeploymentNotFound
            row, record = found
            if row.status != ServiceStatus.ACTIVE:
                raise ServiceNotActive
            deployments = await deployments_of(self._store, row.n)
            if record["status"] not in OPEN or deployments[0].record != arn:
                raise InvalidParameter(_OVER)
            try:
                await write(self._store, self._statements(row, deployments, record, stop_type))
            except Refused:
                continue
            self._changed(row.key)
            return arn
        raise ServiceUnavailable

    def _statements(
        self, row: ServiceRow, deployments: Sequence[DeploymentRow], record: Record, stop_type: str
    ) -> list[Statement]:
        now = self._world.now()
        state = replace(row.remembered(), is_steady=False)
        primary = deployments[0]
        given_up = replace(primary.decided, rollout_state=RolloutState.FAILED, rollout_state_reason=_STOPPED_BY_USER)
        guard = guard_rev(row, row.rev, state=state)
        if stop_type == "ABORT":
            return [guard, _changed(given_up, now), update_record(ended(record, "STOPPED", _STOPPED_BY_USER, now))]
        if state.completed is None or state.completed == primary.revision or primary.decided.is_rollback:
            raise InvalidParameter(_NOTHING_BEFORE)
        bits = self._world.random.getrandbits
        goal = next((one for one in deployments[1:] if one.revision == state.completed), None)
        if goal is not None:
            undoing = goal.id
            made = [
                _changed(brought_back(goal.decided), now),
                Statement("UPDATE deployments SET record = ? WHERE id = ?", (primary.record, goal.id), 1, "deployment"),
            ]
        else:
            undoing = deployment_id(digits(bits))
            made = [insert_deployment(row.n, rollback_deployment(undoing, state.completed, now), primary.record)]
        return [
            guard,
            _changed(replace(given_up, is_primary=False), now),
            *made,
            update_record(rolling_back(record, state.completed, _BY_USER, _BY_USER, now)),
            *insert_events(row.n, [messages.rolling_back(row.name, undoing)], now, bits),
        ]


def _changed(deployment: Deployment, now: float) -> Statement:
    sql = "UPDATE deployments SET state = ?, updated_at = ? WHERE id = ?"
    return Statement(sql, (encode_json(deployment), now, deployment.deployment_id), 1, "deployment")
