"""The task as DescribeTasks shows it, and what a host's report changes in it: pure, wire-shaped dictionaries.

Must not know: the store, the link. Invariant: `lastStatus` only moves along the lifecycle table and `version` grows by
one for each status passed (and for each visible change without one). What an agent says is not trusted: unknown
containers are ignored, texts are cut, times must be sane. Tags are not part of the document; they are spliced in.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from ..model.arn import cluster_arn, container_arn, task_arn
from ..model.launch import ContainerReport, TaskReport
from ..model.lifecycle import REASON_MAX_CHARS, LastStatus, StopCode, is_later, walk
from ..model.network import Eni

Document = dict[str, Any]

_CLOCK_AHEAD_S = 3600.0
_CONTAINER_STATUSES = frozenset({"PENDING", "RUNNING", "STOPPED"})
_STOP_CODES = frozenset(StopCode)
_HEALTH = frozenset({"UNKNOWN", "HEALTHY", "UNHEALTHY"})
_WALKS = MappingProxyType({(a, b): tuple(walk(a, b)) for a in LastStatus for b in LastStatus})
# Report field -> document member: times that are shown as soon as the host knows them.
_TIMES = (
    ("pull_started_at", "pullStartedAt"),
    ("pull_stopped_at", "pullStoppedAt"),
    ("connectivity_at", "connectivityAt"),
    ("started_at", "startedAt"),
    ("stopping_at", "stoppingAt"),
    ("execution_stopped_at", "executionStoppedAt"),
)
# Time -> those that cannot be later. Each comes from a clock of its own (the cell's, the host's), so they may disagree.
_NOT_LATER = MappingProxyType(
    {
        "pullStartedAt": ("createdAt",),
        "pullStoppedAt": ("createdAt", "pullStartedAt"),
        "connectivityAt": ("createdAt",),
        "startedAt": ("createdAt", "pullStartedAt", "pullStoppedAt"),
        "stoppingAt": ("createdAt", "startedAt"),
        "executionStoppedAt": ("createdAt", "startedAt"),
        "stoppedAt": ("createdAt", *(member for _, member in _TIMES)),
    }
)


class NewTask(msgspec.Struct, frozen=True, kw_only=True):
    """All that a fresh task's document is made of. `definition` and `overrides` are wire documents."""

    region: str
    account: str
    cluster: str
    task_id: str
    definition: Mapping[str, Any]
    overrides: Mapping[str, Any]
    cpu_units: int
    memory_mib: int
    disk_gib: int
    created_at: float
    zone: str
    subnet_id: str
    attachment_id: str
    container_uuids: Sequence[str]
    launch_type: str
    capacity_provider: str | None
    platform_version: str
    group: str
    started_by: str | None
    enable_execute_command: bool


class HiddenFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the cell keeps beside the document: shown later, or never."""

    eni_details: tuple[tuple[str, str], ...] = ()  # of the attachment once attached
    checked: tuple[str, ...] = ()  # essential containers with a health check
    has_targets: bool = False  # of load balancers: it is RUNNING when it is one, which no host says


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A document after something happened, and the statuses passed on the way (each is an event)."""

    document: Document
    passed: tuple[LastStatus, ...]
    visible: bool


class BadReport(Exception):
    """A report that no honest agent sends."""


def new_document(task: NewTask) -> Document:
    """PROVISIONING, version 1: what RunTask answers."""
    arn = task_arn(task.region, task.account, task.cluster, task.task_id)
    architecture = (task.definition.get("runtimePlatform") or {}).get("cpuArchitecture", "X86_64")
    document: Document = {
        "attachments": [
            {
                "id": task.attachment_id,
                "type": "ElasticNetworkInterface",
                "status": "PRECREATED",
                "details": [{"name": "subnetId", "value": task.subnet_id}],
            }
        ],
        "attributes": [{"name": "ecs.cpu-architecture", "value": architecture.lower()}],
        "availabilityZone": task.zone,
        "clusterArn": cluster_arn(task.region, task.account, task.cluster),
        "containers": _new_containers(task, arn),
        "cpu": str(task.cpu_units),
        "createdAt": task.created_at,
        "desiredStatus": "RUNNING",
        "enableExecuteCommand": task.enable_execute_command,
        "ephemeralStorage": {"sizeInGiB": task.disk_gib},
        "fargateEphemeralStorage": {"sizeInGiB": task.disk_gib},
        "group": task.group,
        "healthStatus": "UNKNOWN",
        "lastStatus": LastStatus.PROVISIONING.value,
        "launchType": task.launch_type,
        "memory": str(task.memory_mib),
        "overrides": _shown_overrides(task),
        "platformVersion": task.platform_version,
        "platformFamily": "Linux",
        "taskArn": arn,
        "taskDefinitionArn": task.definition["taskDefinitionArn"],
        "version": 1,
    }
    if task.capacity_provider is not None:
        document["capacityProviderName"] = task.capacity_provider
    if task.started_by is not None:
        document["startedBy"] = task.started_by
    return document


def hidden_facts(definition: Mapping[str, Any], eni: Eni | None) -> HiddenFacts:
    checked = tuple(
        container["name"]
        for container in definition["containerDefinitions"]
        if container.get("essential", True) and _has_check(container)
    )
    if eni is None:
        return HiddenFacts(checked=checked)
    details = [
        ("subnetId", eni.subnet_id),
        ("networkInterfaceId", eni.eni_id),
        ("macAddress", eni.mac),
        ("privateDnsName", eni.private_dns_name),
        ("privateIPv4Address", eni.private_ipv4),
    ]
    if eni.ipv6 is not None:
        details.append(("ipv6Address", eni.ipv6))
    return HiddenFacts(eni_details=tuple(details), checked=checked)


def apply_report(document: Document, facts: HiddenFacts, report: TaskReport, now: float) -> Change:
    """What the host knows, put into the document. Raises BadReport; a status that lies behind changes nothing."""
    if report.known_status not in LastStatus.__members__:
        raise BadReport(f"unknown status {report.known_status[:32]!r}")
    target = LastStatus(report.known_status)
    present = LastStatus(document["lastStatus"])
    if is_later(present, target):
        return Change(document=document, passed=(), visible=False)
    if facts.has_targets and target is LastStatus.RUNNING and is_later(target, present):
        target = LastStatus.ACTIVATING
    passed = _WALKS[present, target]
    changed = {**document, "containers": [dict(container) for container in document["containers"]]}
    _put_containers(changed, facts, report, target, now)
    for field, member in _TIMES:
        moment = getattr(report, field)
        if moment is not None and not (facts.has_targets and field == "started_at"):
            _put_time(changed, member, _sane(moment, now))
    if report.connectivity_at is not None:
        changed["connectivity"] = "CONNECTED"
    if report.stop_code is not None:
        _put_stop(changed, report.stop_code, report.stopped_reason)
    return _finish(document, changed, facts, passed, _sane(report.stopped_at, now) if report.stopped_at else now)


def stop_without_host(document: Document, facts: HiddenFacts, code: str, reason: str, now: float) -> Change:
    """A task that never reached a host, or whose host is gone for good, goes to STOPPED."""
    passed = _WALKS[LastStatus(document["lastStatus"]), LastStatus.STOPPED]
    changed = {**document, "containers": [dict(container) for container in document["containers"]]}
    _put_stop(changed, code, reason)
    return _finish(document, changed, facts, passed, now)


def advanced(document: Document, facts: HiddenFacts, target: LastStatus, now: float) -> Change:
    """A step that is the cell's own and no host's: what is a target of load balancers is RUNNING, what is to be one no
    more is DEACTIVATING."""
    changed = {**document, "containers": [dict(container) for container in document["containers"]]}
    if target is LastStatus.RUNNING:
        _put_time(changed, "startedAt", now)
    return _finish(document, changed, facts, _WALKS[LastStatus(document["lastStatus"]), target], now)


def ask_to_stop(document: Document, code: str, reason: str) -> Change:
    """StopTask: the intent changes, the fact follows."""
    changed = {**document, "desiredStatus": "STOPPED"}
    _put_stop(changed, code, reason)
    changed["version"] += 1
    return Change(document=changed, passed=(), visible=True)


def _finish(
    before: Document, changed: Document, facts: HiddenFacts, passed: tuple[LastStatus, ...], stopped_at: float
) -> Change:
    for status in passed:
        _pass_status(changed, facts, status, stopped_at)
    visible = bool(passed) or changed != before
    if visible:
        changed["version"] = before["version"] + max(len(passed), 1)
    return Change(document=changed, passed=passed, visible=visible)


def _pass_status(changed: Document, facts: HiddenFacts, status: LastStatus, at: float) -> None:
    changed["lastStatus"] = status.value
    if is_later(status, LastStatus.RUNNING):
        changed["desiredStatus"] = "STOPPED"
        _put_time(changed, "stoppingAt", at)
    if status is LastStatus.PENDING and facts.eni_details:
        _attach(changed, facts)
    elif status is LastStatus.DEPROVISIONING:
        _put_time(changed, "executionStoppedAt", at)
        _set_attachment(changed, "DETACHING")
    elif status is LastStatus.STOPPED:
        _put_time(changed, "stoppedAt", at)
        _set_attachment(changed, "DELETED")
        for container in changed["containers"]:
            container["lastStatus"] = "STOPPED"
            _move_agents(container, None)


def _attach(changed: Document, facts: HiddenFacts) -> None:
    attachment = changed["attachments"][0]
    details = [{"name": name, "value": value} for name, value in facts.eni_details]
    changed["attachments"] = [{**attachment, "status": "ATTACHED", "details": details}]
    values = dict(facts.eni_details)
    interface = {"attachmentId": attachment["id"], "privateIpv4Address": values["privateIPv4Address"]}
    if "ipv6Address" in values:
        interface["ipv6Address"] = values["ipv6Address"]
    for container in changed["containers"]:
        container["networkInterfaces"] = [interface]


def _set_attachment(changed: Document, status: str) -> None:
    changed["attachments"] = [{**attachment, "status": status} for attachment in changed["attachments"]]


def _put_stop(changed: Document, code: str, reason: str | None) -> None:
    """The first reason stays: a container that exits because it was asked to does not rewrite why."""
    if "stopCode" in changed or code not in _STOP_CODES:
        return
    changed["stopCode"] = code
    if reason:
        changed["stoppedReason"] = reason[:REASON_MAX_CHARS]


def _put_containers(changed: Document, facts: HiddenFacts, report: TaskReport, target: LastStatus, now: float) -> None:
    known = {container.name: container for container in report.containers}
    for container in changed["containers"]:
        said = known.get(container["name"])
        if said is not None:
            _put_container(container, said)
            _move_agents(container, None if said.started_at is None else _sane(said.started_at, now))
    health = {container["name"]: container["healthStatus"] for container in changed["containers"]}
    checked = {health.get(name, "UNKNOWN") for name in facts.checked}
    if "UNHEALTHY" in checked:
        changed["healthStatus"] = "UNHEALTHY"
    elif checked == {"HEALTHY"} and not is_later(target, LastStatus.RUNNING):
        changed["healthStatus"] = "HEALTHY"
    elif not is_later(target, LastStatus.RUNNING):
        changed["healthStatus"] = "UNKNOWN"


def _put_container(container: Document, said: ContainerReport) -> None:
    if said.known_status in _CONTAINER_STATUSES and container["lastStatus"] != "STOPPED":
        container["lastStatus"] = said.known_status
    if said.health_status in _HEALTH:
        container["healthStatus"] = said.health_status
    if said.runtime_id is not None:
        container["runtimeId"] = said.runtime_id[:128]
    if said.image_digest is not None:
        container["imageDigest"] = said.image_digest[:128]
    if said.exit_code is not None and "exitCode" not in container:
        container["exitCode"] = max(-(2**31), min(said.exit_code, 2**31 - 1))
    if said.reason:
        container["reason"] = said.reason[:REASON_MAX_CHARS]


def _move_agents(container: Document, started_at: float | None) -> None:
    """What executes commands is on the host, so it is there as long as the container runs."""
    status = container["lastStatus"]
    moved = []
    for agent in container.get("managedAgents", ()):
        agent = {**agent, "lastStatus": status}
        if status == "RUNNING" and started_at is not None:
            agent.setdefault("lastStartedAt", started_at)
        moved.append(agent)
    if moved:
        container["managedAgents"] = moved


def _new_containers(task: NewTask, arn: str) -> list[Document]:
    by_name = {item.get("name"): item for item in task.overrides.get("containerOverrides", ())}
    containers = []
    for definition, uuid in zip(task.definition["containerDefinitions"], task.container_uuids, strict=True):
        override = by_name.get(definition["name"], {})
        container: Document = {
            "containerArn": container_arn(task.region, task.account, task.cluster, task.task_id, uuid),
            "taskArn": arn,
            "name": definition["name"],
            "image": definition["image"],
            "lastStatus": "PENDING",
            "networkBindings": [],
            "networkInterfaces": [],
            "healthStatus": "UNKNOWN",
            "cpu": str(override.get("cpu", definition.get("cpu", 0))),
        }
        if task.enable_execute_command:
            container["managedAgents"] = [{"name": "ExecuteCommandAgent", "lastStatus": "PENDING"}]
        for member in ("memory", "memoryReservation"):
            amount = override.get(member, definition.get(member))
            if amount is not None:
                container[member] = str(amount)
        containers.append(container)
    return containers


def _shown_overrides(task: NewTask) -> Document:
    """As asked for, with an entry for every container, as ECS shows them."""
    given = {item.get("name"): item for item in task.overrides.get("containerOverrides", ())}
    names = [container["name"] for container in task.definition["containerDefinitions"]]
    return {
        **task.overrides,
        "containerOverrides": [given.get(name, {"name": name}) for name in names],
        "inferenceAcceleratorOverrides": [],
    }


def _has_check(container: Mapping[str, Any]) -> bool:
    check = container.get("healthCheck")
    return check is not None and check["command"][0] != "NONE"


def _put_time(changed: Document, member: str, moment: float) -> None:
    """What was shown stays; what is new fits between the times that are shown."""
    if member in changed:
        return
    for earlier in _NOT_LATER[member]:
        moment = max(moment, changed.get(earlier, moment))
    for later, bounds in _NOT_LATER.items():
        if member in bounds:
            moment = min(moment, changed.get(later, moment))
    changed[member] = moment


def _sane(moment: float, now: float) -> float:
    """A host's clock may be wrong, but a document holds a real time that is not in the future."""
    return moment if math.isfinite(moment) and 0 < moment <= now + _CLOCK_AHEAD_S else now
