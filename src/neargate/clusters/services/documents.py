"""Services, deployments and revisions as the API shows them: pure, from stored rows and counts taken when asked.

Invariant: nothing here is stored; what changes with every task (counts) is put in at read.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from ...interfaces.services import RevisionTemplate
from ...model.arn import cluster_arn, service_arn
from ...scheduling.services.messages import completed, in_progress
from .records import Record
from .tables import DeploymentRow, ServiceRow

_PENDING = frozenset({"PROVISIONING", "PENDING", "ACTIVATING"})
_FAMILY = "Linux"
_SAID = {"IN_PROGRESS": in_progress, "COMPLETED": completed}


class Counts(Struct, frozen=True, kw_only=True):
    """Of tasks of a deployment. `wanted`: those that live and were not asked to stop."""

    running: int = 0
    pending: int = 0
    wanted: int = 0

    def with_tasks(self, last_status: str, desired_status: str, count: int) -> "Counts":
        return Counts(
            running=self.running + count * (last_status == "RUNNING"),
            pending=self.pending + count * (last_status in _PENDING),
            wanted=self.wanted + count * (desired_status == "RUNNING"),
        )


class Shown(Struct, frozen=True, kw_only=True):
    """A deployment with what it is made of and what it has."""

    row: DeploymentRow
    template: RevisionTemplate
    counts: Counts
    desired: int


def service_document(
    region: str, row: ServiceRow, deployments: Sequence[Shown], events: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Without its tags. `deployments`: the PRIMARY first; a service that is over shows none."""
    newest = deployments[0]
    settings = row.settings()
    live = deployments if row.status != "INACTIVE" else ()
    shown = newest.template.shown
    document: dict[str, Any] = {
        "serviceArn": service_arn(region, row.account, row.cluster, row.name),
        "serviceName": row.name,
        "clusterArn": cluster_arn(region, row.account, row.cluster),
        "loadBalancers": [],
        "serviceRegistries": [],
        **shown,
        "status": row.status,
        "desiredCount": row.desired,
        "runningCount": sum(one.counts.running for one in deployments),
        "pendingCount": sum(one.counts.pending for one in deployments),
        **_capacity(newest.template),
        "taskDefinition": newest.template.definition["taskDefinitionArn"],
        "deployments": [_deployment(one) for one in live],
        "roleArn": f"arn:aws:iam::{row.account}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS",
        "events": list(events),
        "createdAt": row.created_at,
        "currentServiceDeployment": newest.row.record,
        "currentServiceRevisions": _current_revisions(live),
        "placementConstraints": [],
        "placementStrategy": [],
        **_network(newest.template),
        **settings,
    }
    if row.status == "INACTIVE":
        del document["currentServiceDeployment"]
    return document


def revision_document(
    region: str, row: ServiceRow, arn: str, template: RevisionTemplate, created_at: float, digests: Mapping[str, str]
) -> dict[str, Any]:
    """`digests`: container -> digest of its image, as far as known."""
    shown = template.shown
    images = [
        {
            "containerName": container["name"],
            "image": container["image"],
            **({"imageDigest": digests[container["name"]]} if container["name"] in digests else {}),
        }
        for container in template.definition["containerDefinitions"]
    ]
    return {
        "serviceRevisionArn": arn,
        "serviceArn": service_arn(region, row.account, row.cluster, row.name),
        "clusterArn": cluster_arn(region, row.account, row.cluster),
        "taskDefinition": template.definition["taskDefinitionArn"],
        **_capacity(template),
        "loadBalancers": [],
        "serviceRegistries": [],
        **shown,
        **_network(template),
        **_resolved(shown),
        "containerImages": images,
        "guardDutyEnabled": False,
        "createdAt": created_at,
    }


def _resolved(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Which groups its tasks are in: those that it names."""
    groups = [{"targetGroupArn": one["targetGroupArn"]} for one in shown.get("loadBalancers") or ()]
    return {"resolvedConfiguration": {"loadBalancers": groups}} if groups else {}


def record_document(record: Record, deployments: Sequence[Shown]) -> dict[str, Any]:
    """`deployments`: those of its service that are not over. What has no tasks any more counts none."""
    target = record["targetServiceRevision"]["arn"]
    by_revision: dict[str, Shown] = {}
    for shown in reversed(deployments):
        by_revision[shown.row.revision] = shown
    return {
        **record,
        "sourceServiceRevisions": [
            _summary(source["arn"], by_revision.get(source["arn"])) for source in record["sourceServiceRevisions"]
        ],
        "targetServiceRevision": _summary(target, by_revision.get(target)),
    }


_BRIEF = (
    *("serviceDeploymentArn", "serviceArn", "clusterArn", "startedAt", "createdAt", "finishedAt", "status"),
    "statusReason",
)


def record_brief(record: Record) -> dict[str, Any]:
    brief = {member: record[member] for member in _BRIEF if member in record}
    return {**brief, "targetServiceRevisionArn": record["targetServiceRevision"]["arn"]}


def _summary(arn: str, shown: Shown | None) -> dict[str, Any]:
    counts = shown.counts if shown is not None else Counts()
    return {
        "arn": arn,
        "requestedTaskCount": shown.desired if shown is not None else 0,
        "runningTaskCount": counts.running,
        "pendingTaskCount": counts.pending,
    }


def _current_revisions(live: Sequence[Shown]) -> list[dict[str, Any]]:
    merged: dict[str, list[Shown]] = {}
    for shown in live:
        merged.setdefault(shown.row.revision, []).append(shown)
    return [
        {
            "arn": arn,
            "requestedTaskCount": sum(one.desired for one in same),
            "runningTaskCount": sum(one.counts.running for one in same),
            "pendingTaskCount": sum(one.counts.pending for one in same),
        }
        for arn, same in merged.items()
    ]


def _deployment(shown: Shown) -> dict[str, Any]:
    decided = shown.row.decided
    state = decided.rollout_state.value
    said = decided.rollout_state_reason
    if not said and state in _SAID:
        said = _SAID[state](decided.deployment_id)
    return {
        "id": decided.deployment_id,
        "status": "PRIMARY" if decided.is_primary else "ACTIVE",
        "taskDefinition": shown.template.definition["taskDefinitionArn"],
        "desiredCount": shown.desired,
        "pendingCount": shown.counts.pending,
        "runningCount": shown.counts.running,
        "failedTasks": decided.failed_tasks,
        "createdAt": decided.created_at,
        "updatedAt": shown.row.updated_at,
        **_capacity(shown.template),
        **_network(shown.template),
        "rolloutState": state,
        "rolloutStateReason": said,
    }


def _capacity(template: RevisionTemplate) -> dict[str, Any]:
    document: dict[str, Any] = {}
    if template.launch_type is not None:
        document["launchType"] = template.launch_type
    if template.strategy:
        document["capacityProviderStrategy"] = [
            {"capacityProvider": item.provider, "weight": item.weight, "base": item.base} for item in template.strategy
        ]
    if template.platform_version:
        document["platformVersion"] = template.platform_version
        document["platformFamily"] = _FAMILY
    return document


def _network(template: RevisionTemplate) -> dict[str, Any]:
    return {"networkConfiguration": {"awsvpcConfiguration": dict(template.network)}} if template.network else {}
