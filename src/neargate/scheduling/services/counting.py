"""Tasks that stopped are counted, each once: what they mean for the back-off and for the breaker of their deployment.

Owns the step from (deployments, stopped tasks) to (deployments with new counts). Must not decide what starts or stops.
Invariant: the write that makes these counts durable says of the same tasks that they are counted.
"""

from collections.abc import Mapping, Sequence

import msgspec

from ...model.knobs import Knobs
from . import back_off, breaker, messages
from .buckets import Sorted
from .health import Standing
from .messages import Teller
from .state import Deployment, RolloutState, Service, ServiceTask

_NONE: Mapping[Standing, list[ServiceTask]] = {}


def stopped(by_deployment: Sorted, knobs: Knobs) -> list[ServiceTask]:
    """The stopped tasks that this plan counts: the rest in a later one."""
    gone = [task for tasks in by_deployment.values() for task in tasks.get(Standing.GONE, ())]
    return gone[: knobs.service_counted_max]


def count(
    service: Service,
    deployments: Sequence[Deployment],
    by_deployment: Sorted,
    gone: Sequence[ServiceTask],
    teller: Teller,
    knobs: Knobs,
) -> list[Deployment]:
    """The deployments as they become by it, in their order."""
    failed: dict[str, list[ServiceTask]] = {}
    for task in gone:
        if breaker.is_failure(task, service, knobs):
            failed.setdefault(task.deployment_id, []).append(task)
            if task.running_since is None and task.stopped_reason:
                teller.complain(messages.not_started(service.name, task.stopped_reason))
    return [
        _counted(
            deployment,
            service,
            by_deployment.get(deployment.deployment_id, _NONE),
            failed.get(deployment.deployment_id, ()),
            knobs,
        )
        for deployment in deployments
    ]


def _counted(
    deployment: Deployment,
    service: Service,
    tasks: Mapping[Standing, list[ServiceTask]],
    failed: Sequence[ServiceTask],
    knobs: Knobs,
) -> Deployment:
    if deployment.rollout_state is RolloutState.FAILED:
        return deployment
    if deployment.start_failures:
        ran = [task for some in tasks.values() for task in some]
        deployment = back_off.after_running(deployment, ran, knobs)
    if failed:
        ended_by_themselves = [task for task in failed if not messages.is_health_stop(task.stopped_reason)]
        deployment = back_off.after_failures(deployment, ended_by_themselves, service.now, knobs)
    healthy = len(tasks.get(Standing.HEALTHY, ()))
    return breaker.after_counting(deployment, service.breaker, len(failed), healthy)


def told_if_impaired(deployment: Deployment, teller: Teller, knobs: Knobs) -> Deployment:
    """Once in each row of failures."""
    if deployment.impaired_told or deployment.start_failures < knobs.service_impaired_after:
        return deployment
    if deployment.rollout_state is RolloutState.FAILED:
        return deployment
    teller.complain(messages.impaired(teller.name))
    return msgspec.structs.replace(deployment, impaired_told=True)
