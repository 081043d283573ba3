"""How long a deployment waits after tasks that could not start: longer each round, up to a quarter of an hour.

Owns `start_failures` and `retry_at` of a deployment. Invariant: a deployment is never given up; a task that was RUNNING
ends the row of failures. What crashes after it was RUNNING does not make the wait grow (AWS's rule), but it waits the
first step, so that a program that ends at once is not started as fast as the machine can.
"""

from collections.abc import Sequence

import msgspec

from ...model.knobs import Knobs
from .state import Deployment, ServiceTask


def pause_s(start_failures: int, knobs: Knobs) -> float:
    doublings = min(max(0, start_failures - 1), 64)
    return min(knobs.service_back_off_max_s, knobs.service_back_off_first_s * 2.0**doublings)


def waits(deployment: Deployment, now: float) -> bool:
    return deployment.retry_at is not None and now < deployment.retry_at


def waits_for(leaving: Sequence[ServiceTask]) -> bool:
    """One of them could not start, and it is not gone yet: when it is, it is counted, and only then it is known for how
    long nothing starts. (It could not be registered as a target; what a host cannot start is gone at once.)"""
    return any(task.stop_code == "TaskFailedToStart" and task.running_since is None for task in leaving)


def after_running(deployment: Deployment, tasks: Sequence[ServiceTask], knobs: Knobs) -> Deployment:
    """A task of it was RUNNING since the last failure: the row is over."""
    if deployment.start_failures == 0 or deployment.retry_at is None:
        return deployment
    failed_at = deployment.retry_at - pause_s(deployment.start_failures, knobs)
    if not any(task.running_since is not None and task.running_since > failed_at for task in tasks):
        return deployment
    return msgspec.structs.replace(deployment, start_failures=0, retry_at=None, impaired_told=False)


def after_failures(deployment: Deployment, failed: Sequence[ServiceTask], now: float, knobs: Knobs) -> Deployment:
    """`failed`: tasks of it that stopped before they were healthy. Those of one round count as one."""
    if not failed or waits(deployment, now):
        return deployment
    never_ran = any(task.running_since is None for task in failed)
    rounds = deployment.start_failures + 1 if never_ran else 0
    return msgspec.structs.replace(
        deployment,
        start_failures=rounds,
        retry_at=now + pause_s(rounds, knobs),
        impaired_told=rounds > 0 and deployment.impaired_told,
    )
