"""The service scheduler: what a service is, and what is to be done about it now.

Owns the order of the decisions; each of them has a file of its own. Pure: the same service and knobs give the same
plan, and deciding again on what a plan leaves gives nothing new. A plan is small steps, not a script: whoever carries
it out asks again after each, so nothing has to be remembered in between but what `Service` says.

    tasks ──sort──► buckets ──count──► deployments ──breaker──► rollout or balance ──► plan
"""

from collections import Counter

import msgspec

from ...model.knobs import Knobs
from . import balance, breaker, buckets, counting, health, limits, messages, rollout
from .buckets import Bucket, Buckets
from .messages import Teller
from .rollout import Moves, Stops
from .state import Deployment, RolloutState, Service, ServicePlan, ServiceStatus, ServiceTask, Stop, TargetHealth


def reconcile(service: Service, knobs: Knobs) -> ServicePlan:
    if service.status is ServiceStatus.INACTIVE or not service.deployments:
        return ServicePlan(status=service.status, told=service.told)
    if service.status is ServiceStatus.DRAINING:
        return _drain(service, knobs)
    return _pursue(service, knobs)


def changes(service: Service, plan: ServicePlan) -> bool:
    """Whether the plan has anything to make durable or to start. If not, only `wake_at` of it matters."""
    return bool(
        plan.starts
        or plan.stops
        or plan.counted
        or plan.rollback_to
        or plan.events
        or set(plan.deployments) != set(service.deployments)
        or plan.status is not service.status
        or plan.is_steady != service.is_steady
        or plan.rebalancing != service.rebalancing
        or plan.told != service.told
    )


def _pursue(service: Service, knobs: Knobs) -> ServicePlan:
    """Of an ACTIVE service: towards its desired count, all of the PRIMARY."""
    teller = Teller(service.name, service.told, service.now, knobs)
    sorted_tasks = buckets.sort(service, knobs)
    gone = counting.stopped(sorted_tasks, knobs)
    deployments = buckets.primary_first(service.deployments)
    deployments = counting.count(service, deployments, sorted_tasks, gone, teller, knobs)
    deployments, rollback_to = _break(service, deployments, teller, knobs)
    deployments = [counting.told_if_impaired(deployment, teller, knobs) for deployment in deployments]
    filled = buckets.fill(deployments, sorted_tasks)
    moves, is_balancing = _moves(service, filled, teller, knobs)
    _tell_unused(filled, teller)
    primary = _completed(service, filled, teller)
    is_steady = _is_steady(service, filled, moves)
    if is_steady:
        teller.forgive()
        if not service.is_steady:
            teller.say(messages.steady(service.name))
    return ServicePlan(
        starts=moves.starts,
        stops=tuple(_stop(service, task, is_failing=True) for task in moves.stops.failing)
        + tuple(_stop(service, task, is_failing=False) for task in moves.stops.surplus),
        counted=tuple(task.task_id for task in gone),
        deployments=_kept(service, filled, primary),
        rollback_to=rollback_to,
        events=tuple(teller.events),
        status=service.status,
        is_steady=is_steady,
        rebalancing=is_balancing,
        told=teller.told,
        wake_at=_wake_at(service, filled, moves, knobs),
    )


def _drain(service: Service, knobs: Knobs) -> ServicePlan:
    """A deleted service: everything stops, protected or not, and when nothing lives it is INACTIVE."""
    teller = Teller(service.name, service.told, service.now, knobs)
    sorted_tasks = buckets.sort(service, knobs)
    gone = counting.stopped(sorted_tasks, knobs)
    filled = buckets.fill(buckets.primary_first(service.deployments), sorted_tasks)
    stops = Stops(surplus=tuple(rollout.tasks_of((filled.primary, *filled.others)))[: knobs.service_stops_max])
    _tell_stops(stops, teller)
    is_over = all(bucket.is_empty for bucket in (filled.primary, *filled.others))
    return ServicePlan(
        stops=tuple(_stop(service, task, is_failing=False) for task in stops.surplus),
        counted=tuple(task.task_id for task in gone),
        deployments=() if is_over else service.deployments,
        events=tuple(teller.events),
        status=ServiceStatus.INACTIVE if is_over else ServiceStatus.DRAINING,
        told=service.told,
    )


def _break(
    service: Service, deployments: list[Deployment], teller: Teller, knobs: Knobs
) -> tuple[list[Deployment], str | None]:
    """The circuit breaker: the PRIMARY may have failed, and another one be the PRIMARY from now on. Also the revision
    to roll back to, when nothing of it is left."""
    primary, *others = deployments
    if not breaker.trips(primary, service):
        return deployments, None
    teller.say(messages.deployment_failed(service.name, primary.deployment_id))
    revision = breaker.rolls_back_to(service)
    failed = breaker.failed(primary, service.now, knobs)
    goal = next((other for other in others if other.revision == revision), None)
    if goal is None:
        return [failed, *others], revision
    teller.say(messages.rolling_back(service.name, goal.deployment_id))
    rest = [other for other in others if other is not goal]
    return [breaker.brought_back(goal), msgspec.structs.replace(failed, is_primary=False), *rest], None


def _moves(service: Service, filled: Buckets, teller: Teller, knobs: Knobs) -> tuple[Moves, bool]:
    """What stops and starts, and whether some of it is for the balance of zones."""
    balancing = balance.rebalance(service, filled, teller)
    if balancing is not None:
        return Moves(stops=Stops(surplus=balancing.stops), starts=balancing.starts), balancing.is_under_way
    moves = rollout.move(service, filled, knobs)
    _tell_stops(moves.stops, teller)
    if moves.is_stuck:
        teller.complain(messages.no_way(service.name))
    if not moves.stops.count:
        _tell_held(moves.stops.held, teller)
    return moves, False


def _tell_unused(filled: Buckets, teller: Teller) -> None:
    """Targets that no load balancer sends anything to are neither healthy nor not: the service waits, and says so."""
    for task in filled.primary.settling:
        if task.target_health in (TargetHealth.UNUSED, TargetHealth.DRAINING):
            checked = (task.target_port, task.target_group, task.target_reason)
            teller.complain(messages.unused_targets(teller.name, *checked))


def _tell_held(held: tuple[ServiceTask, ...], teller: Teller) -> None:
    """Protected tasks are all that is left to stop."""
    for deployment_id, count in Counter(task.deployment_id for task in held).items():
        teller.complain(messages.protected(teller.name, deployment_id, count))


def _tell_stops(stops: Stops, teller: Teller) -> None:
    for task in stops.failing:
        if task.container_health == "UNHEALTHY":
            teller.say(messages.failed_container_checks(teller.name, task.task_id))
        else:
            checked = (task.target_port, task.target_group, task.target_reason)
            teller.say(messages.failed_target_check(teller.name, task.task_id, *checked))
    running = [task.task_id for task in (*stops.failing, *stops.surplus) if task.last_status == "RUNNING"]
    if running:
        teller.say(messages.stopped(teller.name, running))
    if pending := stops.count - len(running):
        teller.say(messages.stopped_pending(teller.name, pending))


def _stop(service: Service, task: ServiceTask, *, is_failing: bool) -> Stop:
    if not is_failing and task.retires_by is not None and service.status is ServiceStatus.ACTIVE:
        why = messages.maintenance(service.name)
    elif not is_failing:
        why = messages.scaling_activity(task.deployment_id)
    elif task.container_health == "UNHEALTHY":
        why = messages.TASK_FAILED_CONTAINER_CHECKS
    else:
        why = messages.failed_target_checks(task.target_group)
    return Stop(task_id=task.task_id, why=why)


def _completed(service: Service, filled: Buckets, teller: Teller) -> Deployment:
    """The PRIMARY, COMPLETED when it has its desired count of healthy tasks and no other is left."""
    deployment = filled.primary.deployment
    assert deployment is not None
    is_whole = len(filled.primary.healthy) >= service.desired_count and not _left(service, filled)
    if deployment.rollout_state is not RolloutState.IN_PROGRESS or not is_whole:
        return deployment
    teller.say(messages.deployment_completed(service.name, deployment.deployment_id))
    return msgspec.structs.replace(
        deployment,
        rollout_state=RolloutState.COMPLETED,
        rollout_state_reason=messages.completed(deployment.deployment_id),
        failed_tasks=0,
        healthy_when_failed=0,
    )


def _left(service: Service, filled: Buckets) -> list[Bucket]:
    """Who is there beside the PRIMARY: who has tasks or failed just now, and the deployment before it until the PRIMARY
    can do without, since it holds the floor."""
    needs_source = len(filled.primary.healthy) < limits.floor(service)
    return [
        other
        for other in filled.others
        if not other.is_empty
        or (other.deployment is not None and breaker.is_shown(other.deployment, service.now))
        or (needs_source and other is filled.source)
    ]


def _is_steady(service: Service, filled: Buckets, moves: Moves) -> bool:
    primary = filled.primary
    is_whole = len(primary.healthy) == primary.wanted == service.desired_count and not primary.leaving
    return is_whole and not (_left(service, filled) or moves.starts or moves.stops.count)


def _kept(service: Service, filled: Buckets, primary: Deployment) -> tuple[Deployment, ...]:
    others = [other.deployment for other in _left(service, filled) if other.deployment is not None]
    return (primary, *sorted(others, key=lambda other: other.created_at, reverse=True))


def _wake_at(service: Service, filled: Buckets, moves: Moves, knobs: Knobs) -> float | None:
    """The first instant at which time alone changes what was decided here."""
    instants: list[float | None] = []
    for bucket in (filled.primary, *filled.others):
        instants += [health.settles_at(task, service, knobs) for task in bucket.settling]
        instants.append(bucket.deployment.retry_at if bucket.deployment else None)
    for task in moves.stops.held:
        instants += [task.protected_until, task.retires_by]
    future = [instant for instant in instants if instant is not None and instant > service.now]
    return min(future, default=None)
