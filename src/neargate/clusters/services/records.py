"""The records of service deployments (ListServiceDeployments, DescribeServiceDeployments): how one begins and ends.

Pure, wire-shaped dictionaries; counts of tasks are put in when it is read. A deployment that the breaker rolls back and
the deployment that undoes it are one record. Invariant: a record that is over never changes again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ...scheduling.services.breaker import threshold
from ...scheduling.services.state import Breaker, Deployment, RolloutState, Threshold

Record = dict[str, Any]

OPEN = frozenset({"PENDING", "IN_PROGRESS", "STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"})
BREAKER_ROLLED_BACK = "Service deployment rolled back because the circuit breaker threshold was exceeded."
BREAKER_STOPPED = "Service deployment stopped because the circuit breaker threshold was exceeded."
REPLACED = "Service deployment stopped because a newer service deployment was started."
DELETED = "Service deployment stopped because the service was deleted."


def breaker_of(settings: Mapping[str, Any]) -> Breaker:
    """As the service's deploymentConfiguration has it."""
    given = (settings.get("deploymentConfiguration") or {}).get("deploymentCircuitBreaker") or {}
    bound = given.get("thresholdConfiguration") or {}
    default = Threshold()
    return Breaker(
        enable=bool(given.get("enable")),
        rollback=bool(given.get("rollback")),
        threshold=Threshold(kind=bound.get("type", default.kind), value=bound.get("value", default.value)),
        reset_on_healthy_task=given.get("resetOnHealthyTask", True),
    )


def new_record(
    *,
    arn: str,
    service_arn: str,
    cluster_arn: str,
    settings: Mapping[str, Any],
    desired: int,
    target: str,
    sources: Sequence[str],
    now: float,
) -> Record:
    """`target` and `sources`: ARNs of revisions. It begins at once."""
    breaker = breaker_of(settings)
    return {
        "serviceDeploymentArn": arn,
        "serviceArn": service_arn,
        "clusterArn": cluster_arn,
        "createdAt": now,
        "startedAt": now,
        "updatedAt": now,
        "sourceServiceRevisions": [{"arn": source} for source in sources],
        "targetServiceRevision": {"arn": target},
        "status": "IN_PROGRESS",
        "deploymentConfiguration": settings.get("deploymentConfiguration") or {},
        "deploymentCircuitBreaker": {
            "status": "MONITORING" if breaker.enable else "DISABLED",
            "failureCount": 0,
            "threshold": threshold(breaker, desired),
        },
        "alarms": {"status": "DISABLED", "alarmNames": [], "triggeredAlarmNames": []},
    }


def followed(record: Record, deployment: Deployment, *, rolls_back_to: str | None, now: float) -> Record:
    """The record after its deployment became this one. `rolls_back_to`: the revision that undoes it, if one does."""
    if record["status"] not in OPEN:
        return record
    counted = _counted(record, deployment)
    if rolls_back_to is not None:
        reason = deployment.rollout_state_reason or BREAKER_ROLLED_BACK
        return rolling_back(_breaker_says(counted, "TRIGGERED"), rolls_back_to, BREAKER_ROLLED_BACK, reason, now)
    match deployment.rollout_state:
        case RolloutState.COMPLETED:
            status = "ROLLBACK_SUCCESSFUL" if deployment.is_rollback else "SUCCESSFUL"
            return ended(_breaker_says(counted, "MONITORING_COMPLETE"), status, record.get("statusReason"), now)
        case RolloutState.FAILED if deployment.is_rollback:
            return ended(_breaker_says(counted, "TRIGGERED"), "ROLLBACK_FAILED", record.get("statusReason"), now)
        case RolloutState.FAILED:
            return ended(_breaker_says(counted, "TRIGGERED"), "STOPPED", BREAKER_STOPPED, now)
        case _:
            return counted


def rolling_back(record: Record, revision: str, status_reason: str, why: str, now: float) -> Record:
    rollback = {"reason": why, "startedAt": now, "serviceRevisionArn": revision}
    return {
        **record,
        "status": "ROLLBACK_IN_PROGRESS",
        "statusReason": status_reason,
        "rollback": rollback,
        "updatedAt": now,
    }


def ended(record: Record, status: str, reason: str | None, now: float) -> Record:
    """Unless it is over already."""
    if record["status"] not in OPEN:
        return record
    end = {"stoppedAt": now} if status == "STOPPED" else {}
    why = {"statusReason": reason} if reason else {}
    return {**record, "status": status, "finishedAt": now, "updatedAt": now, **end, **why}


def _counted(record: Record, deployment: Deployment) -> Record:
    told = record["deploymentCircuitBreaker"]
    if told["failureCount"] == deployment.failed_tasks or deployment.is_rollback:
        return record
    return {**record, "deploymentCircuitBreaker": {**told, "failureCount": deployment.failed_tasks}}


def _breaker_says(record: Record, status: str) -> Record:
    told = record["deploymentCircuitBreaker"]
    if told["status"] in ("DISABLED", "TRIGGERED"):
        return record
    return {**record, "deploymentCircuitBreaker": {**told, "status": status}}
