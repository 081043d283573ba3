"""Interface endpoints in the model of AWS's rules: interfaces with groups of their own, behind which a service is."""

from typing import Any

import pytest

from neargate.testing.vpc_regions.setups import (
    EVERYWHERE,
    Json,
    default_acl,
    group,
    interface,
    peering,
    permission,
    route,
    subnet,
    table,
    vpc,
)
from neargate.tracing.description import described
from neargate.tracing.flows import Answer, Flow, Kind
from neargate.tracing.model import ask

PORT = 4566
SERVICE = "com.amazonaws.us-east-1.ecs"


def region(**changes: Any) -> Json:
    """Two peered VPCs; the endpoint is in the first one, and lets in its clients and the other VPC."""
    made: Json = {
        "Vpcs": [vpc("vpc-1", "10.1.0.0/16"), vpc("vpc-2", "10.2.0.0/16")],
        "Subnets": [subnet("subnet-1", "10.1.0.0/24"), subnet("subnet-2", "10.2.0.0/24", "vpc-2")],
        "SecurityGroups": [
            group("sg-clients"),
            group("sg-others"),
            group(
                "sg-guard",
                permission("tcp", PORT, group="sg-clients"),
                permission("tcp", PORT, cidr="10.2.0.0/16"),
                outbound=[],
            ),
            group("sg-far", vpc="vpc-2"),
        ],
        "NetworkAcls": [default_acl("vpc-1", "acl-1"), default_acl("vpc-2", "acl-2")],
        "RouteTables": [
            table("rtb-1", "vpc-1", route("10.2.0.0/16", "pcx-12"), main=True),
            table("rtb-2", "vpc-2", route("10.1.0.0/16", "pcx-12"), route(EVERYWHERE, "vpce-1"), main=True),
        ],
        "VpcPeeringConnections": [peering("pcx-12", "vpc-1", "vpc-2")],
        "NetworkInterfaces": [
            interface("eni-client", "subnet-1", "10.1.0.5", "sg-clients"),
            interface("eni-other", "subnet-1", "10.1.0.6", "sg-others"),
            interface("eni-far", "subnet-2", "10.2.0.5", "sg-far", vpc="vpc-2"),
            interface("eni-endpoint", "subnet-1", "10.1.0.9", "sg-guard") | {"InterfaceType": "vpc_endpoint"},
        ],
        "VpcEndpoints": [
            {
                "VpcEndpointId": "vpce-1",
                "VpcId": "vpc-1",
                "VpcEndpointType": "Interface",
                "ServiceName": SERVICE,
                "NetworkInterfaceIds": ["eni-endpoint"],
            }
            | changes
        ],
    }
    return made


def asked(sender: str, port: int = PORT, **changes: Any) -> Answer:
    return ask(described(region(**changes)), Flow(sender=sender, to="10.1.0.9", port=port))


@pytest.mark.parametrize("sender", ["eni-client", "eni-far"])
def test_who_its_groups_let_in_reaches_the_service(sender: str) -> None:
    found = asked(sender)
    assert found.delivered and found.reply
    kinds = [(step.kind, step.object_ids, step.rule) for step in found.path[-3:]]
    assert [kind for kind, _, _ in kinds] == [Kind.SECURITY_GROUP, Kind.ENDPOINT, Kind.INTERFACE]
    assert kinds[1][1:] == (("vpce-1",), SERVICE)


@pytest.mark.parametrize(("sender", "port"), [("eni-other", PORT), ("eni-client", 443)])
def test_its_groups_stop_others(sender: str, port: int) -> None:
    found = asked(sender, port)
    assert found.stop is not None and found.stop.kind == Kind.SECURITY_GROUP and found.stop.object_ids == ("sg-guard",)


@pytest.mark.parametrize(("state", "delivered"), [("available", True), ("pending", True), ("deleting", False)])
def test_it_serves_while_it_is_there(state: str, delivered: bool) -> None:
    found = asked("eni-client", State=state)
    assert found.delivered is delivered
    assert delivered or (found.stop is not None and found.stop.kind == Kind.ENDPOINT)


def test_it_is_no_routes_target() -> None:
    found = ask(described(region()), Flow(sender="eni-far", to="192.0.2.1", port=PORT))
    assert not found.delivered
