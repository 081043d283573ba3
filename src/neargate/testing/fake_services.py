"""A cell's services without a cell: documents in memory, and nothing runs.

For tests of the front end. Owns what is kept and shown, as `interfaces/services.py` says; a service has the tasks that
a test says. Invariant: what was answered is what is described.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from ..interfaces.roles import Documents, Failure, TagChange, TagPairs
from ..interfaces.services import (
    DeploymentFilter,
    NewService,
    RevisionTemplate,
    ServiceChange,
    ServiceFilter,
)
from ..model.errors import InvalidParameter, ServiceDeploymentNotFound, ServiceNotActive, ServiceNotFound

Document = dict[str, Any]


class FakeServices:
    """`asked`: every NewService and ServiceChange, in order. `of_service`: ids of the tasks that can be protected."""

    def __init__(self, region: str, now: Callable[[], float]) -> None:
        self._region = region
        self._now = now
        self._documents: dict[str, Document] = {}  # by ARN, in the order of their making
        self._tags: dict[str, TagPairs] = {}
        self._tokens: dict[tuple[str, str], str] = {}
        self._deployments: dict[str, Document] = {}
        self._protected: dict[str, float] = {}
        self.asked: list[NewService | ServiceChange] = []
        self.of_service: set[str] = set()

    async def create_service(self, new: NewService) -> bytes:
        arn = self._arn(new.account, new.cluster, new.name)
        there = self._documents.get(arn)
        if there is not None and there["status"] == "ACTIVE":
            if new.client_token and self._tokens.get((arn, new.client_token)) == new.request_fingerprint:
                return msgspec.json.encode(there)
            raise InvalidParameter("Creation of service was not idempotent.")
        if new.client_token:
            self._tokens[arn, new.client_token] = new.request_fingerprint
        self.asked.append(new)
        self._documents.pop(arn, None)
        self._tags[arn] = new.tags
        self._documents[arn] = {
            "serviceArn": arn,
            "serviceName": new.name,
            "clusterArn": f"arn:aws:ecs:{self._region}:{new.account}:cluster/{new.cluster}",
            "status": "ACTIVE",
            "desiredCount": new.desired_count,
            "runningCount": 0,
            "pendingCount": 0,
            "deployments": [],
            "events": [],
            "createdAt": self._now(),
            "createdBy": new.created_by,
            **new.settings,
            **_shown(new.template),
        }
        self._deploy(arn)
        return msgspec.json.encode(self._documents[arn])

    async def update_service(self, account: str, cluster: str, name: str, change: ServiceChange) -> bytes:
        arn = self._arn(account, cluster, name)
        document = self._active(arn)
        self.asked.append(change)
        document.update(change.settings)
        if isinstance(change.desired_count, int):
            document["desiredCount"] = change.desired_count
        if isinstance(change.definition, dict):
            document["taskDefinition"] = change.definition["taskDefinitionArn"]
        if isinstance(change.network, dict):
            document["networkConfiguration"] = {"awsvpcConfiguration": change.network}
        if isinstance(change.shown, Mapping):
            document.update(change.shown)
        if isinstance(change.launch_type, str | None):
            document.pop("launchType", None)
            document |= {} if change.launch_type is None else {"launchType": change.launch_type}
        if isinstance(change.definition, dict) or change.force_new_deployment:
            self._deploy(arn)
        document["deployments"][0]["desiredCount"] = document["desiredCount"]
        return msgspec.json.encode(document)

    async def delete_service(self, account: str, cluster: str, name: str, *, force: bool) -> bytes:
        document = self._active(self._arn(account, cluster, name))
        if document["desiredCount"] and not force:
            raise InvalidParameter("The service cannot be stopped while it is scaled above 0.")
        document |= {"status": "DRAINING", "desiredCount": 0}
        shown = msgspec.json.encode(document)
        document |= {"status": "INACTIVE", "deployments": []}
        return shown

    async def describe_services(
        self, account: str, cluster: str, names: Sequence[str], *, include_tags: bool
    ) -> Documents:
        arns = [self._arn(account, cluster, name) for name in names]
        shown = [self._described(arn, include_tags) for arn in arns if arn in self._documents]
        return Documents(documents=tuple(shown), failures=_missing([arn for arn in arns if arn not in self._documents]))

    async def list_services(
        self, account: str, cluster: str, wanted: ServiceFilter, limit: int, after: str | None
    ) -> tuple[list[str], str | None]:
        own = self._arn(account, cluster, "")
        arns = [
            arn
            for arn, one in self._documents.items()
            if arn.startswith(own)
            and one["status"] == "ACTIVE"
            and wanted.launch_type in (None, one.get("launchType"))
            and wanted.scheduling_strategy in (None, one["schedulingStrategy"])
        ]
        start = 0 if after is None else int(after)
        more = str(start + limit) if start + limit < len(arns) else None
        return arns[start : start + limit], more

    async def service_tags(self, account: str, cluster: str, name: str) -> TagPairs:
        arn = self._arn(account, cluster, name)
        self._active(arn)
        return self._tags[arn]

    async def change_service_tags(self, account: str, cluster: str, name: str, change: TagChange) -> None:
        arn = self._arn(account, cluster, name)
        self._active(arn)
        self._tags[arn] = change(self._tags[arn])

    async def list_service_deployments(
        self, account: str, cluster: str, name: str, wanted: DeploymentFilter, limit: int, after: str | None
    ) -> tuple[list[Document], str | None]:
        arn = self._arn(account, cluster, name)
        if arn not in self._documents:
            raise ServiceNotFound
        found = [
            one
            for one in reversed(self._deployments.values())
            if one["serviceArn"] == arn and one["status"] in (wanted.statuses or (one["status"],))
        ]
        start = 0 if after is None else int(after)
        return found[start : start + limit], str(start + limit) if start + limit < len(found) else None

    async def describe_service_deployments(self, account: str, arns: Sequence[str]) -> Documents:
        del account
        there = [msgspec.json.encode(self._deployments[arn]) for arn in arns if arn in self._deployments]
        return Documents(
            documents=tuple(there), failures=_missing([arn for arn in arns if arn not in self._deployments])
        )

    async def describe_service_revisions(self, account: str, arns: Sequence[str]) -> Documents:
        del account
        known = {one["targetServiceRevisionArn"] for one in self._deployments.values()}
        there = [msgspec.json.encode({"serviceRevisionArn": arn}) for arn in arns if arn in known]
        return Documents(documents=tuple(there), failures=_missing([arn for arn in arns if arn not in known]))

    async def stop_service_deployment(self, account: str, arn: str, stop_type: str) -> str:
        del account, stop_type
        if arn not in self._deployments:
            raise ServiceDeploymentNotFound
        self._deployments[arn]["status"] = "ROLLBACK_REQUESTED"
        return arn

    async def task_protection(self, account: str, cluster: str, task_ids: Sequence[str]) -> Documents:
        return self._protection(account, cluster, task_ids or sorted(self.of_service))

    async def protect_tasks(
        self, account: str, cluster: str, task_ids: Sequence[str], *, enabled: bool, expires_in_minutes: int
    ) -> Documents:
        for task_id in self.of_service.intersection(task_ids):
            self._protected.pop(task_id, None)
            if enabled:
                self._protected[task_id] = self._now() + 60 * expires_in_minutes
        return self._protection(account, cluster, task_ids)

    async def explain_service(self, name: str) -> Document:
        return {"service": name}

    def _protection(self, account: str, cluster: str, task_ids: Sequence[str]) -> Documents:
        there: list[bytes] = []
        invalid: list[Failure] = []
        for task_id in task_ids:
            arn = f"arn:aws:ecs:{self._region}:{account}:task/{cluster}/{task_id}"
            if task_id not in self.of_service:
                invalid.append(Failure(arn=arn, reason="TASK_NOT_VALID"))
                continue
            shown: Document = {"taskArn": arn, "protectionEnabled": task_id in self._protected}
            if task_id in self._protected:
                shown["expirationDate"] = self._protected[task_id]
            there.append(msgspec.json.encode(shown))
        return Documents(documents=tuple(there), failures=tuple(invalid))

    def _arn(self, account: str, cluster: str, name: str) -> str:
        return f"arn:aws:ecs:{self._region}:{account}:service/{cluster}/{name}"

    def _active(self, arn: str) -> Document:
        document = self._documents.get(arn)
        if document is None:
            raise ServiceNotFound
        if document["status"] != "ACTIVE":
            raise ServiceNotActive
        return document

    def _described(self, arn: str, include_tags: bool) -> bytes:
        tags = [{"key": key, "value": value} for key, value in self._tags[arn]]
        return msgspec.json.encode(self._documents[arn] | ({"tags": tags} if include_tags else {}))

    def _deploy(self, arn: str) -> None:
        """Each is steady at once."""
        document = self._documents[arn]
        number = len(self._deployments) + 1
        place = arn.partition(":service/")
        deployment = f"{place[0]}:service-deployment/{place[2]}/d{number}"
        document["currentServiceDeployment"] = deployment
        self._deployments[deployment] = {
            "serviceDeploymentArn": deployment,
            "serviceArn": arn,
            "clusterArn": document["clusterArn"],
            "createdAt": self._now(),
            "targetServiceRevisionArn": f"{place[0]}:service-revision/{place[2]}/{number}",
            "status": "SUCCESSFUL",
        }
        document["deployments"] = [
            {
                "id": f"ecs-svc/{number}",
                "status": "PRIMARY",
                "taskDefinition": document["taskDefinition"],
                "desiredCount": document["desiredCount"],
            }
        ]


def _shown(template: RevisionTemplate) -> Document:
    strategy = [{"capacityProvider": one.provider, "weight": one.weight, "base": one.base} for one in template.strategy]
    return {
        "taskDefinition": template.definition["taskDefinitionArn"],
        **({"launchType": template.launch_type} if template.launch_type else {"capacityProviderStrategy": strategy}),
        **({"networkConfiguration": {"awsvpcConfiguration": template.network}} if template.network else {}),
        **template.shown,
    }


def _missing(arns: Sequence[str]) -> tuple[Failure, ...]:
    return tuple(Failure(arn=arn, reason="MISSING") for arn in arns)
