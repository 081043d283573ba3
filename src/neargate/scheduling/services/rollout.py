"""Which tasks stop and how many start, so that the PRIMARY alone has the desired count: between the two limits.

Owns the rolling update, scale-in, scale-out and the replacement of unhealthy tasks, which are one and the same thing:
buckets and limits in, `Moves` out. Invariants: what stops here leaves `floor` healthy tasks, if there were so many;
what starts here stays within `ceiling`; a protected task stops only when it is unhealthy, or its time to retire is
over; one that retires leaves the desired count healthy, or all but one where no task may be started beside it.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from ...model.knobs import Knobs
from . import zones
from .back_off import waits, waits_for
from .buckets import Bucket, Buckets
from .limits import before_retiring, ceiling, floor
from .state import RolloutState, Service, ServiceTask, Start

Tasks = tuple[ServiceTask, ...]


class Stops(Struct, frozen=True, kw_only=True):
    """`failing`: tasks that are unhealthy, `surplus`: others. `held`: would stop, were they not protected."""

    failing: Tasks = ()
    surplus: Tasks = ()
    held: Tasks = ()

    @property
    def count(self) -> int:
        return len(self.failing) + len(self.surplus)


class Moves(Struct, frozen=True, kw_only=True):
    """`is_stuck`: tasks are missing, and the two limits leave no way."""

    stops: Stops = Stops()
    starts: tuple[Start, ...] = ()
    is_stuck: bool = False


def move(service: Service, buckets: Buckets, knobs: Knobs) -> Moves:
    primary = buckets.primary
    assert primary.deployment is not None
    if primary.deployment.rollout_state is RolloutState.FAILED:
        stops = _bounded(_stand_still(service, buckets), knobs)
        return Moves(stops=stops, starts=_hold_floor(service, buckets, stops, reserve=0))
    stops = _bounded(_give_up(service, buckets), knobs)
    missing = _missing(service, primary, stops)
    is_waiting = waits(primary.deployment, service.now) or waits_for(primary.leaving)
    if missing and not is_waiting and primary.is_settled and _room(service, buckets, stops) <= 0:
        stops = _with_one_unhealthy(stops, buckets)
    reserve = 1 if missing and not primary.wanted and not is_waiting else 0
    starts = _hold_floor(service, buckets, stops, reserve)
    count = min(missing, _room(service, buckets, stops) - _total(starts))
    if count > 0 and not is_waiting:
        missing -= count
        starts += (_replacing(primary, stops, count),)
    moves_nothing = not (starts or stops.count or stops.held or is_waiting)
    waits_for_none = all(bucket.is_settled for bucket in (primary, *buckets.others))
    return Moves(stops=stops, starts=starts, is_stuck=missing > 0 and moves_nothing and waits_for_none)


def _give_up(service: Service, buckets: Buckets) -> Stops:
    """What the PRIMARY has too many of, and what others need not have any longer."""
    primary = buckets.primary
    spare = buckets.healthy - floor(service)
    stops = Stops(failing=_oldest(primary.unhealthy, primary.settled - service.desired_count))
    stops = _shed(service, stops, primary, primary.promising - service.desired_count, spare)
    if not buckets.others:
        return stops
    spare -= max(0, len(stops.surplus) - len(primary.coming) - len(primary.settling))
    return _make_way(service, buckets, stops, spare)


def _make_way(service: Service, buckets: Buckets, stops: Stops, spare: int) -> Stops:
    """`spare`: healthy tasks beyond the floor. What is not healthy stops at once when there are enough that are; what a
    deployment brings up that never was whole, stops anyhow."""
    failing, surplus, held = list(stops.failing), list(stops.surplus), list(stops.held)
    everywhere = tasks_of((buckets.primary, *buckets.others))
    for other in buckets.others:
        groups: list[Sequence[ServiceTask]] = []
        own = spare + floor(service) - before_retiring(service) if other.is_retiring else spare
        if own >= 0 or not (other.was_completed or other.is_retiring):
            groups.append(other.coming)
        if own >= 0:
            failing += other.unhealthy
            groups.append(other.settling)
        healthy_count = max(0, min(own, len(other.healthy)))
        picked, kept = _pick(service, groups, sum(map(len, groups)), everywhere)
        picked_healthy, kept_healthy = _pick(service, (other.healthy,), healthy_count, everywhere)
        spare -= len(picked_healthy)
        surplus += picked + picked_healthy
        held += kept + kept_healthy
    return Stops(failing=tuple(failing), surplus=tuple(surplus), held=tuple(held))


def _stand_still(service: Service, buckets: Buckets) -> Stops:
    """The PRIMARY failed and nothing is rolled back: everything stays as it is, and only scale-in goes on. What is left
    of the deployment before keeps the desired count; the failed one keeps what fits beside it."""
    old = sum(other.wanted for other in buckets.others)
    stops = Stops()
    for bucket in (*buckets.others, buckets.primary):
        if bucket is buckets.primary and old:
            count = bucket.wanted - ceiling(service) + old - stops.count
        else:
            count = (old or bucket.wanted) - service.desired_count - stops.count
        failing = _oldest(bucket.unhealthy, count)
        stops = Stops(failing=stops.failing + failing, surplus=stops.surplus, held=stops.held)
        healthy = {task.task_id for other in (buckets.primary, *buckets.others) for task in other.healthy}
        spare = len(healthy.difference(task.task_id for task in stops.surplus)) - floor(service)
        stops = _shed(service, stops, bucket, count - len(failing), spare)
    return stops


def _shed(service: Service, stops: Stops, bucket: Bucket, count: int, spare: int) -> Stops:
    """`count` promising tasks fewer; of the healthy ones no more than `spare`."""
    if count <= 0:
        return stops
    tasks = list(tasks_of((bucket,)))
    surplus, held = _pick(service, (bucket.coming, bucket.settling), count, tasks)
    picked, kept = _pick(service, (bucket.healthy,), min(spare, count - len(surplus)), tasks)
    return Stops(failing=stops.failing, surplus=stops.surplus + surplus + picked, held=stops.held + held + kept)


def _with_one_unhealthy(stops: Stops, buckets: Buckets) -> Stops:
    """No room for a replacement: one unhealthy task goes first. That makes no healthy one fewer."""
    for bucket in (*buckets.others, buckets.primary):
        left = [task for task in bucket.unhealthy if task not in stops.failing]
        if left:
            return Stops(failing=stops.failing + _oldest(left, 1), surplus=stops.surplus, held=stops.held)
    return stops


def _hold_floor(service: Service, buckets: Buckets, stops: Stops, reserve: int) -> tuple[Start, ...]:
    """While the PRIMARY is not there yet, tasks of the deployment before it that were lost are made up for by the same
    revision: what is new may never work. `reserve`: room that is the PRIMARY's, lest it never gets a first try."""
    source = buckets.source
    if source is None or source.deployment is None or waits(source.deployment, service.now):
        return ()
    gone = {task.task_id for task in stops.surplus}
    staying = [task for bucket in (buckets.primary, *buckets.others) for task in bucket.healthy]
    for other in buckets.others:
        staying += (*other.coming, *other.settling)
    lacking = floor(service) - sum(task.task_id not in gone for task in staying)
    count = min(lacking, _room(service, buckets, stops) - reserve)
    return (Start(deployment_id=source.deployment.deployment_id, count=count),) if count > 0 else ()


def _replacing(primary: Bucket, stops: Stops, count: int) -> Start:
    assert primary.deployment is not None
    under_way = len(primary.coming) + len(primary.settling)
    unhealthy = sum(task not in stops.failing for task in primary.unhealthy)
    replaces = max(0, min(count, unhealthy - under_way))
    return Start(deployment_id=primary.deployment.deployment_id, count=count, replaces=replaces)


def _pick(
    service: Service, groups: Sequence[Sequence[ServiceTask]], count: int, among: Iterable[ServiceTask]
) -> tuple[Tasks, Tasks]:
    """Up to `count` of these tasks that may stop, and those that would be next but are protected."""
    if count <= 0:
        return (), ()
    free = [[task for task in group if not is_protected(task, service.now)] for group in groups]
    picked = zones.first_to_go(free, zones.occupied(among), count)
    if len(picked) == count:
        return tuple(picked), ()
    return tuple(picked), tuple(task for group in groups for task in group if is_protected(task, service.now))


def is_protected(task: ServiceTask, now: float) -> bool:
    return has_protection(task, now) and (task.retires_by is None or now < task.retires_by)


def has_protection(task: ServiceTask, now: float) -> bool:
    """Whether it holds or not."""
    return task.protected_until is not None and now < task.protected_until


def _missing(service: Service, primary: Bucket, stops: Stops) -> int:
    assert primary.deployment is not None
    here = primary.deployment.deployment_id
    going = sum(task.deployment_id == here and task.retires_by is None for task in stops.surplus)
    return max(0, service.desired_count - (primary.promising - going))


def _room(service: Service, buckets: Buckets, stops: Stops) -> int:
    return ceiling(service) - (buckets.wanted - stops.count)


def _bounded(stops: Stops, knobs: Knobs) -> Stops:
    """The rest is found again when these are on their way."""
    if stops.count <= knobs.service_stops_max:
        return stops
    failing = stops.failing[: knobs.service_stops_max]
    surplus = stops.surplus[: knobs.service_stops_max - len(failing)]
    return Stops(failing=failing, surplus=surplus, held=stops.held)


def _oldest(tasks: Sequence[ServiceTask], count: int) -> Tasks:
    if count <= 0:
        return ()
    return tuple(sorted(tasks, key=lambda task: (task.created_at, task.task_id))[:count])


def tasks_of(buckets: Iterable[Bucket]) -> Iterable[ServiceTask]:
    for bucket in buckets:
        yield from (*bucket.unhealthy, *bucket.coming, *bucket.settling, *bucket.healthy)


def _total(starts: Sequence[Start]) -> int:
    return sum(start.count for start in starts)
