"""Interfaces as flow logs know them, of tasks, NAT gateways and VPC endpoints: their addresses, and whose they are.

Pure. What a line says of a task is what its order and its metadata say. Invariant: every value is one word.
"""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network

from msgspec import Struct
from msgspec.structs import replace

from ...flowlogs.interfaces import Interface
from ...flowlogs.lines import word
from ...model.arn import task_definition_arn
from ...model.network import VpcPlan
from ...vpc.traffic_paths import gateway_marks
from ..task_record import TaskRecord


def interface_of(record: TaskRecord) -> Interface:
    """Raises ValueError for addresses that are none."""
    launch, eni = record.launch, record.launch.eni
    definition = task_definition_arn(launch.region, launch.account, launch.family, launch.revision)
    facts = {
        "region": launch.region,
        "az-id": launch.zone_id,
        "ecs-cluster-arn": launch.cluster_arn,
        "ecs-cluster-name": launch.cluster,
        "ecs-task-arn": launch.task_arn,
        "ecs-task-id": launch.task_id,
        "ecs-task-definition-arn": definition if launch.family else "",
        "ecs-service-name": launch.service_name or "",
    }
    for name, container in zip(("ecs-container-id", "ecs-second-container-id"), record.containers, strict=False):
        facts[name] = container.runtime_id
    private = (eni.private_ipv4,) if eni.ipv6 is None else (eni.private_ipv4, eni.ipv6)
    return Interface(
        eni_id=eni.eni_id,
        subnet_id=eni.subnet_id,
        vpc_id=eni.vpc_id,
        addresses=tuple(ip_address(text).packed for text in private),
        public=b"" if eni.public_ipv4 is None else ip_address(eni.public_ipv4).packed,
        router=ip_network(eni.subnet_cidr)[1].packed,
        since=record.accepted_at,
        facts={name: word(text) for name, text in facts.items()},
    )


def gateways_of(plan: VpcPlan, host_id: str, region: str) -> dict[int, Interface]:
    """The mark of flows through it -> a NAT gateway that is placed here. Its zone is not known."""
    return {
        mark: Interface(
            eni_id=nat.eni_id,
            subnet_id=nat.subnet_id,
            vpc_id=plan.vpc_id,
            addresses=(ip_address(nat.private_ipv4).packed,),
            public=b"" if nat.public_ipv4 is None else ip_address(nat.public_ipv4).packed,
            facts={"region": word(region)},
        )
        for mark, nat in gateway_marks(plan).items()
        if nat.eni_id and nat.host_id == host_id
    }


def endpoints_of(plan: VpcPlan, host_id: str, region: str) -> list[Interface]:
    """The interfaces of VPC endpoints and of load balancers that are placed here. Their zone is not known."""
    placed = {endpoint.eni_id for endpoint in plan.endpoints if endpoint.host_id == host_id}
    placed |= {node.eni_id for node in plan.nodes if node.host_id == host_id}
    return [
        Interface(
            eni_id=eni.eni_id,
            subnet_id=eni.subnet_id,
            vpc_id=plan.vpc_id,
            addresses=(ip_address(eni.private_ipv4).packed,),
            public=b"" if eni.public_ipv4 is None else ip_address(eni.public_ipv4).packed,
            router=ip_network(eni.subnet_cidr)[1].packed,
            facts={"region": word(region)},
        )
        for eni in (*plan.endpoint_enis, *plan.node_enis)
        if eni.eni_id in placed
    ]


class Met(Struct, frozen=True, kw_only=True):
    """`record`: what the interface was made of, None once it has left."""

    interface: Interface
    record: TaskRecord | None = None


def met(known: Mapping[str, Met], records: Iterable[TaskRecord], now: float, keep_s: float) -> dict[str, Met]:
    """Those of now, and those that left so lately that their traffic may still be told of. What is known is reused."""
    here: dict[str, Met] = {}
    for record in records:
        before = known.get(record.launch.eni.eni_id)
        if before is None or before.record is not record:
            before = Met(interface=interface_of(record), record=record)
        here[record.launch.eni.eni_id] = before
    for eni_id, one in known.items():
        until = now if one.interface.until is None else one.interface.until
        if eni_id not in here and until > now - keep_s:
            here[eni_id] = Met(interface=replace(one.interface, until=until)) if one.record is not None else one
    return here
