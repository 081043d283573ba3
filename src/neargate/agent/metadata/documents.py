"""The task metadata endpoint's documents, versions 3 and 4, as Fargate shapes them. Pure.

Everything shown is a fact of the task's record or was measured by the caller; a fact that is not known yet is absent.
"""

import ipaddress
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from ...definitions.splunk import TOKEN
from ...interfaces.hostnet import DiskUsage
from ...model.launch import ContainerLaunch, PortMapping, TaskLaunch
from ...model.network import VpcPlan
from ..container_config import search_list, shown_labels
from ..task_record import ContainerRecord, Phase, TaskRecord

MIB = 1024 * 1024


class ClockDrift(Struct, frozen=True, kw_only=True):
    """As the kernel's clock discipline reports it: error bound in milliseconds."""

    error_bound_ms: float
    reference_at: float
    synchronised: bool


class Measured(Struct, frozen=True, kw_only=True):
    """What was looked up for one request. None: it could not be measured just now."""

    plan: VpcPlan | None = None  # of its VPC
    disk: DiskUsage | None = None
    clock: ClockDrift | None = None


def task_document(
    record: TaskRecord, measured: Measured, *, version: int, tags: tuple[tuple[str, str], ...] = ()
) -> dict[str, Any]:
    launch = record.launch
    document: dict[str, Any] = {
        "Cluster": launch.cluster_arn,
        "TaskARN": launch.task_arn,
        "Family": launch.family,
        "Revision": str(launch.revision),
        "DesiredStatus": desired_status(record),
        "KnownStatus": record.known_status,
        "Limits": {"CPU": launch.cpu_units / 1024, "Memory": launch.memory_mib},
        "Containers": [
            container_document(record, container.name, measured, version=version) for container in launch.containers
        ],
        "AvailabilityZone": launch.zone,
    }
    _add_times(
        document,
        PullStartedAt=record.pull_started_at,
        PullStoppedAt=record.pull_stopped_at,
        ExecutionStoppedAt=record.execution_stopped_at,
    )
    if version >= 4:
        document |= _task_additions(launch, measured)
    if tags:
        document["TaskTags"] = dict(tags)
    return document


def _task_additions(launch: TaskLaunch, measured: Measured) -> dict[str, Any]:
    """What version 4 knows beyond version 3."""
    added: dict[str, Any] = {
        "LaunchType": launch.launch_type,
        "VPCID": launch.eni.vpc_id,
        "Group": launch.group,
        "AvailabilityZoneID": launch.zone_id,
        "FaultInjectionEnabled": False,
    }
    if launch.service_name is not None:
        added["ServiceName"] = launch.service_name
    if measured.disk is not None:
        added["EphemeralStorageMetrics"] = {
            "Utilized": measured.disk.used_bytes // MIB,
            "Reserved": measured.disk.size_bytes // MIB,
        }
    if measured.clock is not None:
        added["ClockDrift"] = {
            "ClockErrorBound": measured.clock.error_bound_ms,
            "ReferenceTimestamp": timestamp(measured.clock.reference_at),
            "ClockSynchronizationStatus": "SYNCHRONIZED" if measured.clock.synchronised else "NOT_SYNCHRONIZED",
        }
    return added


def container_document(record: TaskRecord, name: str, measured: Measured, *, version: int) -> dict[str, Any]:
    launch = next(container for container in record.launch.containers if container.name == name)
    known = record.container(name)
    document: dict[str, Any] = {
        "DockerId": known.runtime_id,
        "Name": name,
        "DockerName": name,
        "Image": launch.image,
        "ImageID": known.image_digest or "",
        "Labels": shown_labels(record.launch, launch),
        "DesiredStatus": desired_status(record),
        "KnownStatus": known.known_status,
        "Limits": _limits(launch),
        "Type": "NORMAL",
        "Networks": [_network(record.launch, measured, version)],
    }
    _add_times(
        document,
        CreatedAt=known.created_at,
        StartedAt=known.restarted_at or known.started_at,
        FinishedAt=known.finished_at,
    )
    if known.exit_code is not None:
        document["ExitCode"] = known.exit_code
    if launch.port_mappings:
        document["Ports"] = [_shown_port(port) for port in launch.port_mappings]
    if launch.health_check is not None:
        document["Health"] = _health(known)
    if launch.mount_points:
        document["Volumes"] = [
            {"DockerName": mount.source_volume, "Destination": mount.container_path} for mount in launch.mount_points
        ]
    if version >= 4:
        document |= _container_additions(launch, known.restart_count)
    return document


def _shown_port(port: PortMapping) -> dict[str, Any]:
    """Name and protocol of the application are ours: nothing else tells a container of them before Service Connect."""
    shown: dict[str, Any] = {
        "ContainerPort": port.container_port,
        "Protocol": port.protocol,
        "HostPort": port.host_port,
    }
    if port.name is not None:
        shown["Name"] = port.name
    if port.app_protocol is not None:
        shown["AppProtocol"] = port.app_protocol
    return shown


def _container_additions(launch: ContainerLaunch, restart_count: int) -> dict[str, Any]:
    added: dict[str, Any] = {"ContainerARN": launch.arn, "Snapshotter": "overlayfs", "RestartCount": restart_count}
    if launch.logs is not None:
        added["LogDriver"] = "awslogs"
        added["LogOptions"] = {
            "awslogs-group": launch.logs.group,
            "awslogs-region": launch.logs.region,
            "awslogs-stream": launch.logs.stream,
            **({"awslogs-create-group": "true"} if launch.logs.create_group else {}),
        }
    if launch.splunk is not None:
        added["LogDriver"] = "splunk"
        added["LogOptions"] = {name: value for name, value in launch.splunk.options if name != TOKEN}
    return added


def _limits(launch: ContainerLaunch) -> dict[str, int]:
    limits = {"CPU": launch.cpu_units or 2}
    memory = launch.memory_mib if launch.memory_mib is not None else launch.memory_reservation_mib
    if memory is not None:
        limits["Memory"] = memory
    return limits


def _health(known: ContainerRecord) -> dict[str, Any]:
    if known.started_at is None or known.health_status == "UNKNOWN":
        return {"status": "UNKNOWN"}
    return {"status": known.health_status, "statusSince": timestamp(known.started_at)}


def _network(launch: TaskLaunch, measured: Measured, version: int) -> dict[str, Any]:
    eni = launch.eni
    network: dict[str, Any] = {"NetworkMode": "awsvpc", "IPv4Addresses": [eni.private_ipv4]}
    if eni.ipv6 is not None:
        network["IPv6Addresses"] = [eni.ipv6]
    if version < 4:
        return network
    network |= {"AttachmentIndex": 0, "MACAddress": eni.mac}
    if eni.subnet_cidr:
        subnet = ipaddress.ip_network(eni.subnet_cidr, strict=False)
        network["IPv4SubnetCIDRBlock"] = str(subnet)
        network["SubnetGatewayIpv4Address"] = f"{subnet.network_address + 1}/{subnet.prefixlen}"
    if measured.plan is not None and measured.plan.name_servers:
        network["DomainNameServers"] = list(measured.plan.name_servers)
    search = search_list(measured.plan, eni.private_dns_name.partition(".")[2])
    if search:
        network["DomainNameSearchList"] = list(search)
    if eni.private_dns_name:
        network["PrivateDNSName"] = eni.private_dns_name
    return network


def desired_status(record: TaskRecord) -> str:
    return "RUNNING" if record.phase in (Phase.STARTING, Phase.RUNNING) else "STOPPED"


def timestamp(at: float) -> str:
    """RFC 3339 in UTC, fractions without trailing zeros, as Go prints them."""
    text = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return f"{text}Z"


def _add_times(document: dict[str, Any], **times: float | None) -> None:
    for name, at in times.items():
        if at is not None:
            document[name] = timestamp(at)
