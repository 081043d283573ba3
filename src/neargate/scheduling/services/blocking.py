"""What keeps an ACTIVE service from being steady, beyond what its counts show: for who asks `neargate why`.

Pure, by the same buckets and moves as the decision itself; decides nothing and tells nobody.
"""

from msgspec import Struct

from ...model.knobs import Knobs
from . import back_off, buckets, rollout
from .buckets import Bucket
from .state import Service, ServiceStatus, TargetHealth

_WELL = (TargetHealth.NONE, TargetHealth.HEALTHY)


class Blocking(Struct, frozen=True, kw_only=True):
    """`protected`: tasks that would stop, were they not protected, the first of them until `protected_until` (epoch
    seconds). `is_stuck`: the two limits leave no way. `settling`: tasks that run and do not count as healthy yet,
    for no reason of their targets. `unhealthy`: tasks that failed a check, and are there still. `leaving`: tasks that
    were asked to stop. `pauses_until` (epoch seconds): a task of the PRIMARY ran and ended before it was healthy, and
    none is started before then."""

    protected: int = 0
    protected_until: float | None = None
    is_stuck: bool = False
    settling: int = 0
    unhealthy: int = 0
    leaving: int = 0
    pauses_until: float | None = None


def blocking(service: Service, knobs: Knobs) -> Blocking:
    if service.status is not ServiceStatus.ACTIVE or not service.deployments:
        return Blocking()
    filled = buckets.fill(buckets.primary_first(service.deployments), buckets.sort(service, knobs))
    moves = rollout.move(service, filled, knobs)
    every: tuple[Bucket, ...] = (filled.primary, *filled.others)
    ends = [task.protected_until for task in moves.stops.held if task.protected_until is not None]
    return Blocking(
        protected=len(ends),
        protected_until=min(ends, default=None),
        is_stuck=moves.is_stuck,
        settling=sum(task.target_health in _WELL for bucket in every for task in bucket.settling),
        unhealthy=sum(len(bucket.unhealthy) for bucket in every),
        leaving=sum(len(bucket.leaving) for bucket in every),
        pauses_until=_pauses_until(filled.primary, service.now),
    )


def _pauses_until(primary: Bucket, now: float) -> float | None:
    deployment = primary.deployment
    if deployment is None or deployment.start_failures or not back_off.waits(deployment, now):
        return None
    return deployment.retry_at
