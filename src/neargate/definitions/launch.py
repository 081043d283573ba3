"""From a stored definition and a run's overrides to what an agent is told (`TaskLaunch`).

Owns the mapping of every accepted field; a field that is accepted and absent here would be silent, and a test counts
them. Invariant: both inputs were validated (`rules`, `overrides`), so nothing is refused here.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from ..model.arn import cluster_arn, container_arn
from ..model.capacity import Reservation
from ..model.launch import (
    ContainerLaunch,
    Dependency,
    HealthCheck,
    MountPoint,
    PortMapping,
    RestartPolicy,
    TaskLaunch,
    Tmpfs,
    Ulimit,
    VolumesFrom,
)
from .awslogs import NON_BLOCKING, awslogs_of
from .files import with_files
from .own_kernel import is_kept_apart, kernel_rights
from .secrets import injected_secrets
from .sizes import EPHEMERAL_DEFAULT_GIB, parse_cpu, parse_memory
from .splunk import splunk_of
from .system_controls import split_controls

STOP_TIMEOUT_DEFAULT_S = 30

Document = Mapping[str, Any]


class TaskResources(msgspec.Struct, frozen=True, kw_only=True):
    """What one task claims of its host."""

    cpu_units: int
    memory_mib: int
    disk_gib: int


RESTART_PERIOD_DEFAULT_S = 300
NO_PINS: Mapping[str, str] = MappingProxyType({})


def task_resources(definition: Document, overrides: Document) -> TaskResources:
    """The claim of a definition with the run's task-level overrides applied."""
    cpu = parse_cpu(str(overrides.get("cpu") or definition["cpu"]))
    memory = parse_memory(str(overrides.get("memory") or definition["memory"]))
    assert cpu is not None and memory is not None, "a definition that was not validated reached a launch"
    storage = overrides.get("ephemeralStorage") or definition.get("ephemeralStorage") or {}
    return TaskResources(
        cpu_units=cpu, memory_mib=memory, disk_gib=int(storage.get("sizeInGiB", EPHEMERAL_DEFAULT_GIB))
    )


def task_launch(
    *,
    definition: Document,
    overrides: Document,
    resources: TaskResources,
    task_id: str,
    task_arn: str,
    incarnation: str,
    reservation: Reservation,
    account: str,
    region: str,
    zone: str,
    zone_id: str,
    cluster: str,
    group: str,
    started_by: str | None,
    tags: Sequence[tuple[str, str]],
    created_at: float,
    container_uuids: Sequence[str],
    log_mode: str = NON_BLOCKING,
    executes_commands: bool = False,
    pins: Mapping[str, str] = NO_PINS,
    gives_files: bool = False,  # labels may say them: files.py
) -> TaskLaunch:
    """The order for one task. `cluster` is a name; `container_uuids` are in the order of `containerDefinitions`.

    `pins`: container -> digest that its image's tag had for the revision's first task, where it keeps that.
    The reservation must have an interface: a task whose subnet is exhausted is stopped, never launched.
    """
    assert reservation.eni is not None, "a task without an interface cannot be launched"
    by_name = {item["name"]: item for item in overrides.get("containerOverrides", ()) if "name" in item}
    containers = tuple(
        _container(
            container,
            by_name.get(container["name"], {}),
            arn=container_arn(region, account, cluster, task_id, uuid),
            task_id=task_id,
            log_mode=log_mode,
            image_pin=pins.get(container["name"], ""),
        )
        for container, uuid in zip(definition["containerDefinitions"], container_uuids, strict=True)
    )
    return TaskLaunch(
        task_id=task_id,
        task_arn=task_arn,
        incarnation=incarnation,
        capacity_id=reservation.capacity_id,
        account=account,
        region=region,
        zone=zone,
        zone_id=zone_id,
        cluster=cluster,
        cluster_arn=cluster_arn(region, account, cluster),
        family=definition["family"],
        revision=definition["revision"],
        group=group,
        started_by=started_by,
        created_at=created_at,
        cpu_units=resources.cpu_units,
        memory_mib=resources.memory_mib,
        ephemeral_gib=resources.disk_gib,
        share_pid_namespace=definition.get("pidMode") == "task",
        execution_role_arn=overrides.get("executionRoleArn") or definition.get("executionRoleArn"),
        task_role_arn=overrides.get("taskRoleArn") or definition.get("taskRoleArn"),
        eni=reservation.eni,
        volumes=tuple(volume["name"] for volume in definition.get("volumes", ())),
        containers=with_files(containers, definition) if gives_files else containers,
        tags=tuple(tags),
        executes_commands=executes_commands,
    )


def merged_environment(registered: Sequence[Document], overriding: Sequence[Document]) -> tuple[tuple[str, str], ...]:
    """The definition's variables with the run's on top: a known name keeps its place, a new one goes to the end."""
    values = {item["name"]: item.get("value", "") for item in registered}
    values.update({item["name"]: item.get("value", "") for item in overriding})
    return tuple(values.items())


def _container(
    container: Document, override: Document, *, arn: str, task_id: str, log_mode: str, image_pin: str
) -> ContainerLaunch:
    linux = container.get("linuxParameters") or {}
    capabilities = linux.get("capabilities") or {}
    ipc_controls, network_controls = split_controls(
        [control for control in container.get("systemControls") or () if is_kept_apart(control)]
    )
    return ContainerLaunch(
        name=container["name"],
        image=container["image"],
        arn=arn,
        essential=container.get("essential", True),
        command=_words(override.get("command") or container.get("command")),
        entry_point=_words(container.get("entryPoint")),
        environment=merged_environment(container.get("environment", ()), override.get("environment", ())),
        cpu_units=override.get("cpu", container.get("cpu", 0)),
        memory_mib=override.get("memory", container.get("memory")),
        memory_reservation_mib=override.get("memoryReservation", container.get("memoryReservation")),
        user=container.get("user"),
        working_directory=container.get("workingDirectory"),
        readonly_root=container.get("readonlyRootFilesystem", False),
        interactive=container.get("interactive", False),
        pseudo_terminal=container.get("pseudoTerminal", False),
        init_process=linux.get("initProcessEnabled", False),
        capabilities_add=tuple(capabilities.get("add", ())),
        capabilities_drop=tuple(capabilities.get("drop", ())),
        ulimits=tuple(
            Ulimit(name=item["name"], soft=item["softLimit"], hard=item["hardLimit"])
            for item in container.get("ulimits", ())
        ),
        tmpfs=tuple(
            Tmpfs(
                container_path=item["containerPath"],
                size_mib=item["size"],
                mount_options=tuple(item.get("mountOptions", ())),
            )
            for item in linux.get("tmpfs", ())
        ),
        port_mappings=tuple(_port(item) for item in container.get("portMappings", ())),
        mount_points=tuple(
            MountPoint(
                source_volume=item["sourceVolume"],
                container_path=item["containerPath"],
                read_only=item.get("readOnly", False),
            )
            for item in container.get("mountPoints", ())
        ),
        volumes_from=tuple(
            VolumesFrom(source_container=item["sourceContainer"], read_only=item.get("readOnly", False))
            for item in container.get("volumesFrom", ())
        ),
        restart_policy=_restart_policy(container.get("restartPolicy") or {}),
        ipc_controls=ipc_controls,
        network_controls=network_controls,
        docker_labels=tuple((container.get("dockerLabels") or {}).items()),
        depends_on=tuple(
            Dependency(container_name=item["containerName"], condition=item["condition"])
            for item in container.get("dependsOn", ())
        ),
        start_timeout_s=container.get("startTimeout"),
        stop_timeout_s=container.get("stopTimeout", STOP_TIMEOUT_DEFAULT_S),
        health_check=_health_check(container.get("healthCheck")),
        logs=awslogs_of(container, task_id, log_mode),
        splunk=splunk_of(container, log_mode),
        secrets=injected_secrets(container.get("secrets", ())),
        repository_credentials=(container.get("repositoryCredentials") or {}).get("credentialsParameter", ""),
        image_pin=image_pin,
        kernel=kernel_rights(container),
    )


def _words(value: Sequence[str] | None) -> tuple[str, ...] | None:
    """An empty list means the same as none: as the image says."""
    return tuple(value) if value else None


def _restart_policy(given: Document) -> RestartPolicy | None:
    if not given.get("enabled"):
        return None
    return RestartPolicy(
        attempt_period_s=given.get("restartAttemptPeriod", RESTART_PERIOD_DEFAULT_S),
        ignored_exit_codes=tuple(given.get("ignoredExitCodes") or ()),
    )


def _port(item: Document) -> PortMapping:
    return PortMapping(
        container_port=item["containerPort"],
        host_port=item.get("hostPort", item["containerPort"]),
        protocol=item.get("protocol", "tcp"),
        name=item.get("name"),
        app_protocol=item.get("appProtocol"),
    )


def _health_check(check: Document | None) -> HealthCheck | None:
    if check is None:
        return None
    return HealthCheck(
        command=tuple(check["command"]),
        interval_s=check.get("interval", 30),
        timeout_s=check.get("timeout", 5),
        retries=check.get("retries", 3),
        start_period_s=check.get("startPeriod", 0),
    )
