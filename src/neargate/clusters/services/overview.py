"""Services as `neargate status` lists them, and how their tasks ended, as `neargate why` quotes it. Only reads.

Invariant: what is read grows with what is shown, not with how many tasks there are.
"""

from typing import Any

import msgspec
from msgspec import Struct

from ...interfaces.store import Store
from ...scheduling.services.state import ServiceStatus
from .tables import Key, decode_deployment, decode_state

LOOKED_AT = 10_000  # of the newest services, for those that are not steady
_LIVING = "SELECT n, state FROM services WHERE status <> ? ORDER BY n DESC LIMIT ?"
_COUNT = "SELECT count(*) FROM services WHERE status <> ?"
_ONE = "SELECT account, cluster, name, status, desired FROM services WHERE n = ?"
_RUNNING = (
    "SELECT count(*) FROM service_tasks s JOIN tasks t ON t.id = s.task WHERE s.service = ? "
    "AND t.last_status = 'RUNNING' AND t.desired_status = 'RUNNING'"
)
_DEPLOYMENTS = "SELECT state FROM deployments WHERE service = ? AND live = 1"
# One that scaling asked to stop tells nothing of the service; it is quoted where there is no other.
_LAST_STOPPED = (
    "SELECT id, doc FROM tasks WHERE account = ? AND cluster = ? AND desired_status = 'STOPPED' AND service = ? "
    "AND last_status = 'STOPPED' ORDER BY coalesce(stop_reason, '') LIKE 'Scaling activity%', stopped_at DESC LIMIT 1"
)
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class ServiceLine(Struct, frozen=True, kw_only=True):
    """`rollout`: of the PRIMARY deployment; `deployments`: how many are not over."""

    account: str
    cluster: str
    name: str
    status: str
    desired: int
    running: int
    rollout: str
    deployments: int
    is_steady: bool


async def lines(store: Store, limit: int) -> tuple[list[ServiceLine], int, int]:
    """The newest services that are not over, those first that are not steady; how many are steady; all of them."""
    rows = await store.read(_LIVING, (ServiceStatus.INACTIVE, LOOKED_AT))
    steady = [(bool(decode_state(state).is_steady), int(n)) for n, state in rows]
    first = sorted(steady, key=lambda one: one[0])[:limit]
    found = [await _line(store, n, is_steady=is_steady) for is_steady, n in first]
    count = (await store.read(_COUNT, (ServiceStatus.INACTIVE,)))[0][0]
    return [one for one in found if one is not None], sum(is_steady for is_steady, _ in steady), int(count)


async def _line(store: Store, n: int, *, is_steady: bool) -> ServiceLine | None:
    """None: it was forgotten meanwhile."""
    rows = await store.read(_ONE, (n,))
    if not rows:
        return None
    account, cluster, name, status, desired = rows[0]
    deployments = [decode_deployment(state) for (state,) in await store.read(_DEPLOYMENTS, (n,))]
    primary = next((one for one in deployments if one.is_primary), None)
    return ServiceLine(
        account=account,
        cluster=cluster,
        name=name,
        status=status,
        desired=desired,
        running=int((await store.read(_RUNNING, (n,)))[0][0]),
        rollout="" if primary is None else primary.rollout_state,
        deployments=len(deployments),
        is_steady=is_steady,
    )


async def last_stopped(store: Store, key: Key) -> dict[str, Any] | None:
    """How a service's task ended last: `task`, `at`, `code`, `reason`, and what its `containers` say of their ends."""
    rows = await store.read(_LAST_STOPPED, key)
    if not rows:
        return None
    task = _decode(rows[0][1])
    told = ("name", "exitCode", "reason")
    return {
        "task": rows[0][0],
        "at": task.get("stoppedAt"),
        "code": task.get("stopCode", ""),
        "reason": task.get("stoppedReason", ""),
        "containers": [{name: one[name] for name in told if name in one} for one in task.get("containers", [])],
    }
