"""Which tasks of a service are instances of its service registry, with which attributes, and what has to change. Pure.

Invariant: what should be there follows from the service's tasks alone, and is compared with what is there, whatever
came between. A task is an instance while it runs and nobody asked it to stop.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from ...interfaces.discovery import Owner, Registered, Registration
from ..task_table import TaskRow

RUNNING, STOPPED = "RUNNING", "STOPPED"
_HEALTH = {"HEALTHY": True, "UNHEALTHY": False}  # of any other word nothing follows


class SeenTask(NamedTuple):
    """A task that has not stopped. `revision`: what it was made of."""

    task_id: str
    revision: str
    last_status: str
    desired_status: str
    health: str | None
    host: str

    @property
    def is_leaving(self) -> bool:
        return self.desired_status == STOPPED


class Difference(Struct, frozen=True, kw_only=True):
    """`to_register`: (task, its entry of serviceRegistries). `told`: (instance, whether it is healthy)."""

    to_register: tuple[tuple[SeenTask, Mapping[str, Any]], ...] = ()
    to_deregister: tuple[Registered, ...] = ()
    told: tuple[tuple[Registered, bool], ...] = ()


def difference(
    tasks: Iterable[SeenTask], entries: Mapping[str, Mapping[str, Any]], there: Sequence[Registered]
) -> Difference:
    """`entries`: of each revision that has one, its entry of serviceRegistries."""
    wanted = {
        (entries[task.revision]["registryArn"], task.task_id): task
        for task in tasks
        if task.revision in entries and is_instance(task.last_status, task.desired_status)
    }
    known = {(one.registry, one.task_id): one for one in there}
    health = {key: _HEALTH.get(task.health or "") for key, task in wanted.items()}
    return Difference(
        to_register=tuple((task, entries[task.revision]) for key, task in wanted.items() if key not in known),
        to_deregister=tuple(one for key, one in known.items() if key not in wanted),
        told=tuple(
            (one, is_healthy)
            for key, one in known.items()
            if (is_healthy := health.get(key)) is not None and is_healthy != one.is_healthy
        ),
    )


def is_instance(last_status: str, desired_status: str) -> bool:
    return last_status == desired_status == RUNNING


def registration(owner: Owner, region: str, row: TaskRow, entry: Mapping[str, Any]) -> Registration | None:
    """None for a task without an address: no host was ever told of it. One whose check has not passed yet is not
    healthy yet."""
    document = row.document()
    details = {one["name"]: one["value"] for one in document["attachments"][0]["details"]}
    if "privateIPv4Address" not in details:
        return None
    attributes = {
        "AWS_INSTANCE_IPV4": details["privateIPv4Address"],
        "ECS_CLUSTER_NAME": owner.cluster,
        "ECS_SERVICE_NAME": owner.service,
        "ECS_TASK_DEFINITION_FAMILY": row.family,
        "AVAILABILITY_ZONE": row.zone,
        "REGION": region,
    }
    port = entry.get("containerPort") or entry.get("port")
    if "ipv6Address" in details:
        attributes["AWS_INSTANCE_IPV6"] = details["ipv6Address"]
    if port:
        attributes["AWS_INSTANCE_PORT"] = str(port)
    return Registration(
        registry=entry["registryArn"],
        task_id=row.id,
        attributes=tuple(attributes.items()),
        is_healthy=_HEALTH.get(row.health or "", not row.hidden_facts().checked),
    )
