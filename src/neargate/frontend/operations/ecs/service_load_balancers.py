"""The loadBalancers of a service: which container ports of its tasks become targets of which groups.

Owns the checks and AWS's words for what is wrong; groups are read from memory. Must not know how targets come to be.
Invariant: what comes out names ports that the definition has, in groups of the tasks' own VPC that a listener uses.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ....model.errors import InvalidParameter, UnsupportedFeature
from ...call import Call, Params
from ...services import Services

GROUPS_MAX = 5
AWSVPC = "awsvpc"

Document = Mapping[str, Any]


def checked_load_balancers(
    call: Call, services: Services, params: Params, definition: Document, network: Document
) -> list[dict[str, Any]]:
    """As a service shows them. `network`: its awsvpcConfiguration, empty where the definition has another mode."""
    given = params.get("loadBalancers") or []
    if len(given) > GROUPS_MAX:
        raise InvalidParameter(f"loadBalancers can have at most {GROUPS_MAX} items.")
    checked = [_plain(one) for one in given]
    check_containers(checked, definition)
    for one in checked:
        _check_group(call, services, one["targetGroupArn"], definition, network)
    if len({(one["targetGroupArn"], one["containerPort"]) for one in checked}) < len(checked):
        raise InvalidParameter("loadBalancers must not name the same port in the same target group twice.")
    return checked


def check_containers(load_balancers: Sequence[Document], definition: Document) -> None:
    """Also of a definition that a service changes to."""
    containers = {container["name"]: container for container in definition["containerDefinitions"]}
    for one in load_balancers:
        name, port = one["containerName"], one["containerPort"]
        if name not in containers:
            raise InvalidParameter(f"The container {name} does not exist in the task definition.")
        if not any(_is_port(mapping, port) for mapping in containers[name].get("portMappings") or ()):
            raise InvalidParameter(f"The container {name} did not have a container port {port} defined.")


def check_vpc(call: Call, services: Services, groups: Sequence[str], network: Document) -> None:
    """Also of a network that a service changes to. A group that is gone keeps nobody from it."""
    vpc_id = _vpc_of(call, services, network)
    for arn in groups:
        group = services.targets.group(call.account, arn) if services.targets is not None else None
        if group is not None and vpc_id not in (None, group.vpc_id):
            raise InvalidParameter(
                f"The provided target group {arn} belongs to {group.vpc_id}, which is not the VPC of the subnets "
                f"provided ({vpc_id})."
            )


def _plain(given: Document) -> dict[str, Any]:
    if given.get("loadBalancerName"):
        raise InvalidParameter(
            "Classic Load Balancers are not supported with the network mode awsvpc. Specify a targetGroupArn."
        )
    if given.get("advancedConfiguration"):
        raise UnsupportedFeature(
            "advancedConfiguration is not supported yet: it is for the deployment strategies BLUE_GREEN, LINEAR and "
            "CANARY."
        )
    for member, words in (
        ("targetGroupArn", "Target Group ARN"),
        ("containerName", "Container Name"),
        ("containerPort", "Container Port"),
    ):
        if not given.get(member):
            raise InvalidParameter(f"{words} can not be blank.")
    return {member: given[member] for member in ("targetGroupArn", "containerName", "containerPort")}


def _is_port(mapping: Document, port: int) -> bool:
    return mapping.get("containerPort") == port and (mapping.get("protocol") or "tcp") == "tcp"


def _check_group(call: Call, services: Services, arn: str, definition: Document, network: Document) -> None:
    group = services.targets.group(call.account, arn) if services.targets is not None else None
    if group is None:
        raise InvalidParameter(
            "Unable to assume role and validate the specified targetGroupArn. Please verify that the ECS service role "
            "being passed has the proper permissions."
        )
    if definition.get("networkMode") == AWSVPC and group.target_type != "ip":
        raise InvalidParameter(
            f"The provided target group {arn} has target type {group.target_type}, which is incompatible with the "
            "awsvpc network mode specified in the task definition."
        )
    if not group.load_balancers:
        raise InvalidParameter(f"The target group with targetGroupArn {arn} does not have an associated load balancer.")
    check_vpc(call, services, [arn], network)


def _vpc_of(call: Call, services: Services, network: Document) -> str | None:
    found = (services.network.subnet(call.account, subnet_id) for subnet_id in network.get("subnets") or ())
    return next((subnet.vpc_id for subnet in found if subnet is not None), None)
