"""The deployment circuit breaker: what counts as a failure, how many are too many, and what is rolled back to.

Owns AWS's thresholds by kind and `failed_tasks`. Invariant: only a deployment that is IN_PROGRESS fails; one that the
breaker itself brought back does not roll back again.
"""

import msgspec

from ...model.knobs import Knobs
from .back_off import waits
from .health import was_healthy
from .messages import BREAKER_TRIPPED, is_health_stop, rolling_back_reason
from .state import Breaker, Deployment, RolloutState, Service, ServiceTask

_BOUNDED_MIN = 3
_BOUNDED_MAX = 200
_NOT_ITS_FAULT = frozenset({"UserInitiated", "SpotInterruption", "TerminationNotice", "InfrastructureHealth"})


def threshold(breaker: Breaker, desired_count: int) -> int:
    """Failures at which a deployment has failed. Percentages are of the latest desired count, rounded up."""
    kind, value = breaker.threshold.kind, breaker.threshold.value
    if kind == "COUNT":
        return max(1, value)
    share = -(-desired_count * value // 100)
    if kind == "UNBOUNDED_PERCENT":
        return max(1, share)
    return min(_BOUNDED_MAX, max(_BOUNDED_MIN, share))


def is_failure(task: ServiceTask, service: Service, knobs: Knobs) -> bool:
    """Of a task that stopped: the deployment's own fault. It could not start, ended before it was healthy, or failed
    its checks; not when users, the scheduler's own scaling or the machine ended it."""
    if task.stop_code == "ServiceSchedulerInitiated":
        return is_health_stop(task.stopped_reason)
    return task.stop_code not in _NOT_ITS_FAULT and not was_healthy(task, service, knobs)


def after_counting(deployment: Deployment, breaker: Breaker, failures: int, healthy: int) -> Deployment:
    """`failures`: new ones. `healthy`: its tasks that are healthy now; more than at the last failure end the row."""
    failed_tasks, healthy_then = deployment.failed_tasks, deployment.healthy_when_failed
    if deployment.rollout_state is not RolloutState.IN_PROGRESS or (failures == 0 and failed_tasks == 0):
        return deployment
    if breaker.reset_on_healthy_task and healthy > healthy_then:
        failed_tasks = 0
    if failures:
        healthy_then = healthy
    return msgspec.structs.replace(
        deployment, failed_tasks=failed_tasks + failures, healthy_when_failed=min(healthy_then, healthy)
    )


def trips(deployment: Deployment, service: Service) -> bool:
    return (
        service.breaker.enable
        and deployment.rollout_state is RolloutState.IN_PROGRESS
        and deployment.failed_tasks >= threshold(service.breaker, service.desired_count)
    )


def failed(deployment: Deployment, now: float, knobs: Knobs) -> Deployment:
    """It starts nothing any more, and can be seen for a while, though its tasks may all be gone."""
    return msgspec.structs.replace(
        deployment,
        rollout_state=RolloutState.FAILED,
        rollout_state_reason=BREAKER_TRIPPED,
        retry_at=now + knobs.service_failed_shown_s,
    )


def is_shown(deployment: Deployment, now: float) -> bool:
    """Of a deployment without tasks: it failed just now."""
    return deployment.rollout_state is RolloutState.FAILED and waits(deployment, now)


def rolls_back_to(service: Service) -> str | None:
    """The revision to return to; None: it is not asked for, or there is none. What is just being returned to, and
    is not whole yet, will not do (AWS's rule): so it does not roll back itself either."""
    if not service.breaker.rollback:
        return None
    there = [other for other in service.deployments if other.revision == service.rollback_to]
    is_whole = all(other.rollout_state is RolloutState.COMPLETED for other in there)
    return service.rollback_to if is_whole else None


def brought_back(deployment: Deployment) -> Deployment:
    """The deployment that was COMPLETED last becomes the PRIMARY again, under its own id, as on AWS."""
    return msgspec.structs.replace(
        deployment,
        is_primary=True,
        is_rollback=True,
        rollout_state=RolloutState.IN_PROGRESS,
        rollout_state_reason=rolling_back_reason(deployment.deployment_id),
        failed_tasks=0,
        healthy_when_failed=0,
        start_failures=0,
        retry_at=None,
        impaired_told=False,
    )
