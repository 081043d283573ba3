"""Virtual private gateways, customer gateways and refused VPN connections as botocore's own client sees them."""

from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.frontend.network.records.objects import VpnGateway
from neargate.frontend.network.routing.vpn_gateways import SHOWN_MAX, SHOWN_S, create_gateway, delete_gateway, visible
from neargate.frontend.regional.shelves import Shelf

from .ec2_region import ABSENT, ACCOUNT, Region, by, ec2_region, refused
from .test_ec2_routes import keep, main_table, new_table, other_vpc, table, tags, vpc_id

__all__ = ["ec2_region"]

ABSENT_VGW, ABSENT_CGW = f"vgw-{ABSENT}", f"cgw-{ABSENT}"


def new_gateway(region: Region, **more: Any) -> str:
    return str(region.ec2.create_vpn_gateway(Type="ipsec.1", **more)["VpnGateway"]["VpnGatewayId"])


def seen(region: Region, gateway_id: str) -> dict[str, Any]:
    [found] = region.ec2.describe_vpn_gateways(VpnGatewayIds=[gateway_id])["VpnGateways"]
    return dict(found)


def aged(region: Region, gateway_id: str) -> None:
    """As if it had been deleted long ago."""
    gateway = region.network.shelf(ACCOUNT).find(VpnGateway, gateway_id)
    assert gateway is not None and gateway.deleted_at is not None
    keep(region, replace(gateway, deleted_at=gateway.deleted_at - SHOWN_S))


# -- virtual private gateways


def test_a_gateway_is_made_attached_detached_and_deleted(region: Region) -> None:
    vpc = vpc_id(region)
    made = region.ec2.create_vpn_gateway(Type="ipsec.1", TagSpecifications=tags("vpn-gateway", Name="a"))["VpnGateway"]
    assert made == {
        "AmazonSideAsn": 64512,
        "Tags": [{"Key": "Name", "Value": "a"}],
        "VpnGatewayId": made["VpnGatewayId"],
        "State": "available",
        "Type": "ipsec.1",
        "VpcAttachments": [],
    }
    vgw = {"VpnGatewayId": made["VpnGatewayId"]}
    answer = region.ec2.attach_vpn_gateway(VpcId=vpc, **vgw)
    assert answer["VpcAttachment"] == {"State": "attaching", "VpcId": vpc}
    region.ec2.attach_vpn_gateway(VpcId=vpc, **vgw)  # repeatable
    assert seen(region, vgw["VpnGatewayId"])["VpcAttachments"] == [{"State": "attached", "VpcId": vpc}]
    assert refused(lambda: region.ec2.delete_vpn_gateway(**vgw))[0] == "IncorrectState"
    region.ec2.detach_vpn_gateway(VpcId=vpc, **vgw)
    assert seen(region, vgw["VpnGatewayId"])["VpcAttachments"] == []
    region.ec2.delete_vpn_gateway(**vgw)
    assert seen(region, vgw["VpnGatewayId"])["State"] == "deleted"
    assert refused(lambda: region.ec2.delete_vpn_gateway(**vgw))[0] == "InvalidVpnGatewayState"
    assert refused(lambda: region.ec2.attach_vpn_gateway(VpcId=vpc, **vgw))[0] == "InvalidVpnGatewayState"
    aged(region, vgw["VpnGatewayId"])
    assert region.ec2.describe_vpn_gateways()["VpnGateways"] == []
    assert refused(lambda: seen(region, vgw["VpnGatewayId"]))[0] == "InvalidVpnGatewayID.NotFound"
    new_gateway(region)  # with the next one, nobody keeps it any more
    assert region.network.shelf(ACCOUNT).find(VpnGateway, vgw["VpnGatewayId"]) is None


def test_a_gateway_has_one_vpc_and_a_vpc_one_gateway(region: Region) -> None:
    vpc, other = vpc_id(region), other_vpc(region)
    first, second = new_gateway(region), new_gateway(region)
    region.ec2.attach_vpn_gateway(VpcId=vpc, VpnGatewayId=first)
    attach, detach = region.ec2.attach_vpn_gateway, region.ec2.detach_vpn_gateway
    assert refused(lambda: attach(VpcId=other, VpnGatewayId=first))[0] == "VpnGatewayAttachmentLimitExceeded"
    assert refused(lambda: attach(VpcId=vpc, VpnGatewayId=second)) == (
        "InvalidParameterValue",
        f"Network {vpc} already has a virtual private gateway attached",
        400,
    )
    assert refused(lambda: attach(VpcId=f"vpc-{ABSENT}", VpnGatewayId=second))[0] == "InvalidVpcID.NotFound"
    assert refused(lambda: detach(VpcId=vpc, VpnGatewayId=second))[0] == "InvalidVpnGatewayAttachment.NotFound"
    assert seen(region, first)["VpcAttachments"] == [{"State": "attached", "VpcId": vpc}]
    assert seen(region, second)["VpcAttachments"] == []


def test_gateways_are_filtered(region: Region) -> None:
    vpc, zone = vpc_id(region), "us-east-1b"
    plain = new_gateway(region)
    other = new_gateway(
        region, AvailabilityZone=zone, AmazonSideAsn=4_200_000_001, TagSpecifications=tags("vpn-gateway", team="b")
    )
    region.ec2.attach_vpn_gateway(VpcId=vpc, VpnGatewayId=other)

    def found(name: str, *values: str) -> set[str]:
        gateways = region.ec2.describe_vpn_gateways(Filters=by(name, *values))["VpnGateways"]
        return {one["VpnGatewayId"] for one in gateways}

    assert found("type", "ipsec.1") == found("state", "available") == {plain, other}
    for name, value in (
        ("amazon-side-asn", "4200000001"),
        ("attachment.state", "attached"),
        ("attachment.vpc-id", vpc),
        ("availability-zone", zone),
        ("tag:team", "b"),
        ("vpn-gateway-id", other),
    ):
        assert found(name, value) == {other}, name
    assert refused(lambda: found("vpc-id", vpc))[0] == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, "MissingParameter"),
        ({"Type": "ipsec.2"}, "InvalidParameterValue"),
        ({"Type": "ipsec.1", "AmazonSideAsn": 64511}, "InvalidParameterValue"),
        ({"Type": "ipsec.1", "AmazonSideAsn": 4_294_967_295}, "InvalidParameterValue"),
        ({"Type": "ipsec.1", "AvailabilityZone": "us-west-2a"}, "InvalidParameterValue"),
        ({"Type": "ipsec.1", "TagSpecifications": tags("vpc", Name="a")}, "InvalidParameter"),
        ({"Type": "ipsec.1", "DryRun": True}, "DryRunOperation"),
    ],
)
def test_gateways_that_are_not_made(region: Region, params: dict[str, Any], code: str) -> None:
    assert refused(lambda: region.ec2.create_vpn_gateway(**params))[0] == code
    assert region.ec2.describe_vpn_gateways()["VpnGateways"] == []


def test_who_makes_and_deletes_without_end_leaves_a_bounded_number(region: Region) -> None:
    shelf, last = Shelf(ACCOUNT), ""
    for number in range(SHOWN_MAX + 20):
        made = create_gateway(shelf, 64512, None, (), float(number), region.network.bits)
        shelf.apply(made.put, made.drop)
        last = made.result.name
        gone = delete_gateway(shelf, last, float(number))
        shelf.apply(gone.put, gone.drop)
    left = {one.name: one for one in visible(shelf, VpnGateway, float(number))}
    assert last in left and len(left) <= SHOWN_MAX + 1
    assert min(one.deleted_at or 0 for one in left.values()) >= 19, "the oldest went"


def test_gateways_have_a_quota_of_those_that_are_not_deleted(region: Region) -> None:
    made = [new_gateway(region) for _ in range(5)]
    assert refused(lambda: new_gateway(region))[0] == "VpnGatewayLimitExceeded"
    region.ec2.delete_vpn_gateway(VpnGatewayId=made[0])
    new_gateway(region)


@pytest.mark.parametrize("given", [ABSENT_VGW, "?"])
def test_an_id_of_a_gateway_that_is_not_there_is_not_found_whatever_it_is(region: Region, given: str) -> None:
    ec2, vpc = region.ec2, vpc_id(region)
    table_id = main_table(region)["RouteTableId"]
    expected = ("InvalidVpnGatewayID.NotFound", f"The vpnGateway ID '{given}' does not exist", 400)
    assert refused(lambda: ec2.describe_vpn_gateways(VpnGatewayIds=[given])) == expected
    assert refused(lambda: ec2.delete_vpn_gateway(VpnGatewayId=given)) == expected
    assert refused(lambda: ec2.attach_vpn_gateway(VpnGatewayId=given, VpcId=vpc)) == expected
    assert refused(lambda: ec2.detach_vpn_gateway(VpnGatewayId=given, VpcId=vpc)) == expected
    for propagation in (ec2.enable_vgw_route_propagation, ec2.disable_vgw_route_propagation):
        assert refused(partial(propagation, GatewayId=given, RouteTableId=table_id)) == expected


# -- routes


def test_a_route_leads_to_the_gateway_of_its_vpc(region: Region) -> None:
    vpc, made = vpc_id(region), new_table(region)
    vgw = new_gateway(region)
    wanted = {"RouteTableId": made, "DestinationCidrBlock": "192.168.0.0/16", "GatewayId": vgw}
    assert refused(lambda: region.ec2.create_route(**wanted)) == (
        "InvalidParameterValue",
        f"route table {made} and network gateway {vgw} belong to different networks",
        400,
    )
    region.ec2.attach_vpn_gateway(VpcId=vpc, VpnGatewayId=vgw)
    region.ec2.create_route(**wanted)
    route = {"DestinationCidrBlock": "192.168.0.0/16", "GatewayId": vgw, "Origin": "CreateRoute"}
    assert table(region, made)["Routes"][1] == route | {"State": "active"}
    region.ec2.detach_vpn_gateway(VpcId=vpc, VpnGatewayId=vgw)
    assert table(region, made)["Routes"][1] == route | {"State": "blackhole"}
    region.ec2.delete_vpn_gateway(VpnGatewayId=vgw)
    other = wanted | {"DestinationCidrBlock": "192.0.2.0/24"}
    assert refused(lambda: region.ec2.create_route(**other))[0] == "InvalidGatewayID.NotFound"


def test_a_table_takes_over_the_routes_of_its_vpcs_gateway(region: Region) -> None:
    vpc, made, foreign = vpc_id(region), new_table(region), new_table(region, other_vpc(region))
    vgw = new_gateway(region)
    wanted = {"RouteTableId": made, "GatewayId": vgw}
    enable, disable = region.ec2.enable_vgw_route_propagation, region.ec2.disable_vgw_route_propagation
    assert refused(lambda: enable(**wanted))[0] == "Gateway.NotAttached"
    region.ec2.attach_vpn_gateway(VpcId=vpc, VpnGatewayId=vgw)
    assert refused(lambda: enable(**wanted | {"RouteTableId": foreign}))[0] == "Gateway.NotAttached"
    missing = wanted | {"RouteTableId": f"rtb-{ABSENT}"}
    assert refused(lambda: enable(**missing))[0] == "InvalidRouteTableID.NotFound"
    for _ in range(2):  # both are repeatable
        enable(**wanted)
    assert table(region, made)["PropagatingVgws"] == [{"GatewayId": vgw}]
    assert len(table(region, made)["Routes"]) == 1  # it has none to give
    for _ in range(2):
        disable(**wanted)
    assert table(region, made)["PropagatingVgws"] == []
    enable(**wanted)
    region.ec2.detach_vpn_gateway(VpcId=vpc, VpnGatewayId=vgw)
    assert table(region, made)["PropagatingVgws"] == []


def test_a_vpc_stays_while_a_gateway_is_attached(region: Region) -> None:
    vpc = region.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    vgw = new_gateway(region)
    region.ec2.attach_vpn_gateway(VpcId=vpc, VpnGatewayId=vgw)
    assert refused(lambda: region.ec2.delete_vpc(VpcId=vpc))[0] == "DependencyViolation"
    region.ec2.detach_vpn_gateway(VpcId=vpc, VpnGatewayId=vgw)
    region.ec2.delete_vpc(VpcId=vpc)


def test_gateways_of_both_kinds_have_tags(region: Region) -> None:
    vgw = new_gateway(region)
    cgw = region.ec2.create_customer_gateway(Type="ipsec.1", IpAddress="192.0.2.1")["CustomerGateway"]
    ids = [vgw, cgw["CustomerGatewayId"]]
    region.ec2.create_tags(Resources=ids, Tags=[{"Key": "team", "Value": "a"}])
    rows = region.ec2.describe_tags(Filters=by("key", "team"))["Tags"]
    assert {(row["ResourceId"], row["ResourceType"]) for row in rows} == {
        (vgw, "vpn-gateway"),
        (cgw["CustomerGatewayId"], "customer-gateway"),
    }
    assert seen(region, vgw)["Tags"] == [{"Key": "team", "Value": "a"}]
    region.ec2.delete_tags(Resources=ids)
    assert "Tags" not in seen(region, vgw)


# -- customer gateways


def test_a_customer_gateway_is_made_once_and_deleted(region: Region) -> None:
    wanted = {"Type": "ipsec.1", "PublicIp": "192.0.2.7", "BgpAsn": 65001, "DeviceName": "office"}
    made = region.ec2.create_customer_gateway(**wanted)["CustomerGateway"]
    assert made == {
        "DeviceName": "office",
        "CustomerGatewayId": made["CustomerGatewayId"],
        "State": "available",
        "Type": "ipsec.1",
        "IpAddress": "192.0.2.7",
        "BgpAsn": "65001",
    }
    cgw = {"CustomerGatewayId": made["CustomerGatewayId"]}
    assert region.ec2.create_customer_gateway(**wanted)["CustomerGateway"] == made
    other = region.ec2.create_customer_gateway(Type="ipsec.1", IpAddress="192.0.2.7", BgpAsnExtended=2**32 - 1)
    assert other["CustomerGateway"]["BgpAsnExtended"] == "4294967295" and "BgpAsn" not in other["CustomerGateway"]
    for name, value in (
        ("bgp-asn", "65001"),
        ("ip-address", "192.0.2.7"),
        ("customer-gateway-id", made["CustomerGatewayId"]),
    ):
        found = region.ec2.describe_customer_gateways(Filters=by(name, value))["CustomerGateways"]
        assert made in found and len(found) == (2 if name == "ip-address" else 1)
    region.ec2.delete_customer_gateway(**cgw)
    [gone] = region.ec2.describe_customer_gateways(CustomerGatewayIds=[made["CustomerGatewayId"]])["CustomerGateways"]
    assert gone == made | {"State": "deleted"}
    assert refused(lambda: region.ec2.delete_customer_gateway(**cgw))[0] == "InvalidCustomerGatewayState"
    again = region.ec2.create_customer_gateway(**wanted)["CustomerGateway"]
    assert again["CustomerGatewayId"] != made["CustomerGatewayId"]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"IpAddress": "192.0.2.1"}, "MissingParameter"),
        ({"Type": "ipsec.1"}, "MissingParameter"),
        ({"Type": "ipsec.2", "IpAddress": "192.0.2.1"}, "InvalidParameterValue"),
        ({"Type": "ipsec.1", "IpAddress": "192.0.2.256"}, "InvalidParameterValue"),
        ({"Type": "ipsec.1", "IpAddress": "192.0.2.1", "PublicIp": "192.0.2.2"}, "InvalidParameterCombination"),
        ({"Type": "ipsec.1", "IpAddress": "192.0.2.1", "BgpAsn": 0}, "InvalidParameterValue"),
        ({"Type": "ipsec.1", "IpAddress": "192.0.2.1", "BgpAsnExtended": 65000}, "InvalidParameterValue"),
        (
            {"Type": "ipsec.1", "IpAddress": "192.0.2.1", "BgpAsn": 1, "BgpAsnExtended": 2**31},
            "InvalidParameterCombination",
        ),
        ({"Type": "ipsec.1", "IpAddress": "192.0.2.1", "DeviceName": "n" * 256}, "InvalidParameterValue"),
        ({"Type": "ipsec.1", "CertificateArn": "arn:aws:acm:us-east-1:1:certificate/x"}, "UnsupportedOperation"),
        ({"Type": "ipsec.1", "IpAddress": "192.0.2.1", "DryRun": True}, "DryRunOperation"),
    ],
)
def test_customer_gateways_that_are_not_made(region: Region, params: dict[str, Any], code: str) -> None:
    assert refused(lambda: region.ec2.create_customer_gateway(**params))[0] == code
    assert region.ec2.describe_customer_gateways()["CustomerGateways"] == []


# -- VPN connections


def test_no_connection_is_made_and_each_refusal_says_why(region: Region) -> None:
    vgw = new_gateway(region)
    cgw = region.ec2.create_customer_gateway(Type="ipsec.1", IpAddress="192.0.2.1")["CustomerGateway"]
    wanted = {"Type": "ipsec.1", "CustomerGatewayId": cgw["CustomerGatewayId"]}
    create = region.ec2.create_vpn_connection

    def code(**more: Any) -> str:
        return refused(lambda: create(**wanted | more))[0]

    assert refused(lambda: create(**wanted, VpnGatewayId=vgw)) == (
        "UnsupportedOperation",
        "Neargate has no VPN connections: a virtual private gateway here leads nowhere.",
        400,
    )
    assert code() == "UnsupportedOperation"
    assert code(VpnGatewayId=ABSENT_VGW) == "InvalidVpnGatewayID.NotFound"
    assert code(TransitGatewayId=f"tgw-{ABSENT}") == "InvalidTransitGatewayID.NotFound"
    assert code(VpnGatewayId=vgw, TransitGatewayId=f"tgw-{ABSENT}") == "InvalidParameterValue"
    assert code(CustomerGatewayId=ABSENT_CGW) == "InvalidCustomerGatewayID.NotFound"
    assert code(CustomerGatewayId="?") == "InvalidCustomerGatewayId.Malformed"
    assert region.ec2.describe_vpn_connections(Filters=by("vpn-gateway-id", vgw))["VpnConnections"] == []


def test_connections_that_are_not_there_are_not_found(region: Region) -> None:
    expected = ("InvalidVpnConnectionID.NotFound", f"The vpnConnection ID 'vpn-{ABSENT}' does not exist", 400)
    assert refused(lambda: region.ec2.delete_vpn_connection(VpnConnectionId=f"vpn-{ABSENT}")) == expected
    assert refused(lambda: region.ec2.describe_vpn_connections(VpnConnectionIds=[f"vpn-{ABSENT}"])) == expected
    assert refused(lambda: region.ec2.describe_vpn_connections(Filters=by("x", "y")))[0] == "InvalidParameterValue"
