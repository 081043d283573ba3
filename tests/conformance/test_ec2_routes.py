"""Route tables, routes and gateways as botocore's own client sees them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from neargate.frontend.network.records.objects import NatGateway, PrefixList, Subnet, TableAssociation, Vpc
from neargate.frontend.network.records.objects import RouteTable as StoredTable
from neargate.frontend.regional.shelves import Change, Kept

from .ec2_region import ABSENT, ACCOUNT, Region, by, ec2_region, refused

__all__ = ["ec2_region"]

OTHER_VPC = "vpc-0aaaaaaaaaaaaaaa1"


def keep(region: Region, *records: Kept) -> None:
    """Records as other operations make them."""
    runner: asyncio.Runner = region._runner
    runner.run(region.network.change(ACCOUNT, lambda _: Change(result=None, put=records)))


def vpc_id(region: Region) -> str:
    [vpc] = region.ec2.describe_vpcs(Filters=by("isDefault", "true"))["Vpcs"]
    return str(vpc["VpcId"])


def other_vpc(region: Region, cidr: str = "10.0.0.0/16", vpc: str = OTHER_VPC) -> str:
    main = TableAssociation(association_id=vpc.replace("vpc", "rtbassoc"))
    keep(
        region,
        Vpc(account=ACCOUNT, name=vpc, cidr=cidr),
        StoredTable(account=ACCOUNT, name=vpc.replace("vpc", "rtb"), vpc_id=vpc, associations=(main,)),
    )
    return vpc


def nat_in(region: Region, vpc: str, state: str = "available", number: int = 1) -> str:
    nat = NatGateway(
        account=ACCOUNT,
        name=f"nat-0aaaaaaaaaaaaaaa{number}",
        vpc_id=vpc,
        subnet_id="subnet-0aaaaaaaaaaaaaaa1",
        zone="us-east-1a",
        state=state,
        created_at=1.0,
    )
    keep(region, nat)
    return nat.name


def new_table(region: Region, vpc: str | None = None, **more: Any) -> str:
    made = region.ec2.create_route_table(VpcId=vpc or vpc_id(region), **more)
    return str(made["RouteTable"]["RouteTableId"])


def table(region: Region, table_id: str) -> dict[str, Any]:
    [found] = region.ec2.describe_route_tables(RouteTableIds=[table_id])["RouteTables"]
    return dict(found)


def main_table(region: Region) -> dict[str, Any]:
    filters = [*by("association.main", "true"), *by("vpc-id", vpc_id(region))]
    [found] = region.ec2.describe_route_tables(Filters=filters)["RouteTables"]
    return dict(found)


def subnets(region: Region) -> list[str]:
    return [str(one["SubnetId"]) for one in region.ec2.describe_subnets()["Subnets"]]


def tags(kind: str, **given: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in given.items()]}]


# -- tables


def test_the_default_vpc_has_a_main_table_to_its_gateway(region: Region) -> None:
    [gateway] = region.ec2.describe_internet_gateways()["InternetGateways"]
    assert gateway["Attachments"] == [{"State": "available", "VpcId": vpc_id(region)}]
    found = main_table(region)
    assert found["OwnerId"] == ACCOUNT and found["PropagatingVgws"] == [] and found["Tags"] == []
    [association] = found["Associations"]
    assert association == {
        "Main": True,
        "RouteTableAssociationId": association["RouteTableAssociationId"],
        "RouteTableId": found["RouteTableId"],
        "AssociationState": {"State": "associated"},
    }
    assert found["Routes"] == [
        {
            "DestinationCidrBlock": "172.31.0.0/16",
            "GatewayId": "local",
            "Origin": "CreateRouteTable",
            "State": "active",
        },
        {
            "DestinationCidrBlock": "0.0.0.0/0",
            "GatewayId": gateway["InternetGatewayId"],
            "Origin": "CreateRoute",
            "State": "active",
        },
    ]


def test_a_table_is_made_associated_and_deleted(region: Region) -> None:
    made = region.ec2.create_route_table(
        VpcId=vpc_id(region), TagSpecifications=tags("route-table", Name="private"), ClientToken="once"
    )
    assert made["ClientToken"] == "once"
    table_id = made["RouteTable"]["RouteTableId"]
    assert made["RouteTable"]["Tags"] == [{"Key": "Name", "Value": "private"}]
    again = region.ec2.create_route_table(VpcId=vpc_id(region), ClientToken="once")
    assert again["RouteTable"]["RouteTableId"] == table_id
    assert refused(lambda: new_table(region, other_vpc(region), ClientToken="once"))[0] == "IdempotentParameterMismatch"
    for wrong in ("x" * 65, "a b", "ü"):
        assert refused(lambda w=wrong: new_table(region, ClientToken=w))[0] == "InvalidParameterValue"  # type: ignore[misc]
    one = subnets(region)[0]
    association = region.ec2.associate_route_table(RouteTableId=table_id, SubnetId=one)["AssociationId"]
    assert region.ec2.associate_route_table(RouteTableId=table_id, SubnetId=one)["AssociationId"] == association
    [found] = region.ec2.describe_route_tables(Filters=by("association.subnet-id", one))["RouteTables"]
    assert found["Associations"] == [
        {
            "Main": False,
            "RouteTableAssociationId": association,
            "RouteTableId": table_id,
            "SubnetId": one,
            "AssociationState": {"State": "associated"},
        }
    ]
    assert refused(lambda: region.ec2.delete_route_table(RouteTableId=table_id)) == (
        "DependencyViolation",
        f"The routeTable '{table_id}' has dependencies and cannot be deleted.",
        400,
    )
    second = new_table(region)
    assert refused(lambda: region.ec2.associate_route_table(RouteTableId=second, SubnetId=one)) == (
        "Resource.AlreadyAssociated",
        f"the specified association for route table {second} conflicts with an existing association",
        400,
    )
    moved = region.ec2.replace_route_table_association(AssociationId=association, RouteTableId=second)
    assert moved["NewAssociationId"] != association and moved["AssociationState"] == {"State": "associated"}
    assert table(region, table_id)["Associations"] == []
    region.ec2.delete_route_table(RouteTableId=table_id)
    region.ec2.disassociate_route_table(AssociationId=moved["NewAssociationId"])
    assert refused(lambda: region.ec2.disassociate_route_table(AssociationId=moved["NewAssociationId"])) == (
        "InvalidAssociationID.NotFound",
        f"The association ID '{moved['NewAssociationId']}' does not exist",
        400,
    )
    region.ec2.delete_route_table(RouteTableId=second)
    assert refused(lambda: table(region, table_id)) == (
        "InvalidRouteTableID.NotFound",
        f"The routeTable ID '{table_id}' does not exist",
        400,
    )


def test_the_main_table_is_another_when_its_association_moves(region: Region) -> None:
    before = main_table(region)
    association = before["Associations"][0]["RouteTableAssociationId"]
    assert refused(lambda: region.ec2.disassociate_route_table(AssociationId=association)) == (
        "InvalidParameterValue",
        f"cannot disassociate the main route table association {association}",
        400,
    )
    assert refused(lambda: region.ec2.delete_route_table(RouteTableId=before["RouteTableId"]))[0] == (
        "DependencyViolation"
    )
    second = new_table(region)
    moved = region.ec2.replace_route_table_association(AssociationId=association, RouteTableId=second)
    after = main_table(region)
    assert after["RouteTableId"] == second
    assert after["Associations"][0]["RouteTableAssociationId"] == moved["NewAssociationId"]
    region.ec2.delete_route_table(RouteTableId=before["RouteTableId"])


def test_tables_of_another_vpc_are_no_tables_of_this_ones_subnets(region: Region) -> None:
    foreign = new_table(region, other_vpc(region))
    one = subnets(region)[0]
    assert refused(lambda: region.ec2.associate_route_table(RouteTableId=foreign, SubnetId=one)) == (
        "InvalidParameterValue",
        f"route table {foreign} and subnet {one} belong to different networks",
        400,
    )
    association = main_table(region)["Associations"][0]["RouteTableAssociationId"]
    move = region.ec2.replace_route_table_association
    assert refused(lambda: move(AssociationId=association, RouteTableId=foreign))[0] == "InvalidParameterValue"


def test_tables_pass_filters(region: Region) -> None:
    main = main_table(region)
    made = new_table(region, TagSpecifications=tags("route-table", Name="private"))
    igw = main["Routes"][1]["GatewayId"]
    for name, value, expected in (
        ("association.main", "true", [main["RouteTableId"]]),
        ("association.route-table-id", main["RouteTableId"], [main["RouteTableId"]]),
        (
            "association.route-table-association-id",
            main["Associations"][0]["RouteTableAssociationId"],
            [main["RouteTableId"]],
        ),
        ("association.gateway-id", "*", []),
        ("route-table-id", made, [made]),
        ("route.destination-cidr-block", "0.0.0.0/0", [main["RouteTableId"]]),
        ("route.gateway-id", igw, [main["RouteTableId"]]),
        ("route.origin", "CreateRoute", [main["RouteTableId"]]),
        ("route.state", "blackhole", []),
        ("route.nat-gateway-id", "*", []),
        ("tag:Name", "priv*", [made]),
        ("tag-key", "Name", [made]),
        ("owner-id", ACCOUNT, sorted([made, main["RouteTableId"]])),
    ):
        found = region.ec2.describe_route_tables(Filters=by(name, value))["RouteTables"]
        assert sorted(one["RouteTableId"] for one in found) == expected, name
    everything = [new_table(region) for _ in range(5)]
    first = region.ec2.describe_route_tables(MaxResults=5)
    rest = region.ec2.describe_route_tables(MaxResults=5, NextToken=first["NextToken"])
    assert len(first["RouteTables"]) == 5 and len(rest["RouteTables"]) == 2 and len(everything) == 5


# -- routes


def test_routes_are_made_replaced_and_deleted(region: Region) -> None:
    vpc = vpc_id(region)
    nat, made = nat_in(region, vpc), new_table(region)
    eigw = region.ec2.create_egress_only_internet_gateway(VpcId=vpc)["EgressOnlyInternetGateway"]
    eigw_id = eigw["EgressOnlyInternetGatewayId"]
    [gateway] = region.ec2.describe_internet_gateways()["InternetGateways"]
    igw = gateway["InternetGatewayId"]
    create = region.ec2.create_route
    assert create(RouteTableId=made, DestinationCidrBlock="100.68.0.18/18", GatewayId=igw)["Return"] is True
    create(RouteTableId=made, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat)
    create(RouteTableId=made, DestinationIpv6CidrBlock="::/0", EgressOnlyInternetGatewayId=eigw_id)
    assert table(region, made)["Routes"][1:] == [
        {"DestinationCidrBlock": "100.68.0.0/18", "GatewayId": igw, "Origin": "CreateRoute", "State": "active"},
        {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": nat, "Origin": "CreateRoute", "State": "active"},
        {
            "DestinationIpv6CidrBlock": "::/0",
            "EgressOnlyInternetGatewayId": eigw_id,
            "Origin": "CreateRoute",
            "State": "active",
        },
    ]
    assert refused(lambda: create(RouteTableId=made, DestinationCidrBlock="0.0.0.0/0", GatewayId=igw)) == (
        "RouteAlreadyExists",
        "The route identified by 0.0.0.0/0 already exists.",
        400,
    )
    region.ec2.replace_route(RouteTableId=made, DestinationCidrBlock="0.0.0.0/0", GatewayId=igw)
    assert table(region, made)["Routes"][2]["GatewayId"] == igw
    missing = {"RouteTableId": made, "DestinationCidrBlock": "10.9.0.0/16"}
    assert refused(lambda: region.ec2.replace_route(**missing, GatewayId=igw)) == (
        "InvalidParameterValue",
        "There is no route defined for '10.9.0.0/16' in the route table. Use CreateRoute instead.",
        400,
    )
    region.ec2.delete_route(RouteTableId=made, DestinationCidrBlock="100.68.1.0/18")
    assert refused(lambda: region.ec2.delete_route(**missing)) == (
        "InvalidRoute.NotFound",
        f"no route with destination-cidr-block 10.9.0.0/16 in route table {made}",
        400,
    )
    region.ec2.delete_egress_only_internet_gateway(EgressOnlyInternetGatewayId=eigw_id)
    assert table(region, made)["Routes"][-1]["State"] == "blackhole"
    region.ec2.delete_route(RouteTableId=made, DestinationIpv6CidrBlock="::/0")
    assert len(table(region, made)["Routes"]) == 2


def test_a_nat_gateway_may_be_named_as_a_gateway(region: Region) -> None:
    nat, made = nat_in(region, vpc_id(region), "pending"), new_table(region)
    region.ec2.create_route(RouteTableId=made, DestinationCidrBlock="0.0.0.0/0", GatewayId=nat)
    route = table(region, made)["Routes"][1]
    assert route["NatGatewayId"] == nat and "GatewayId" not in route and route["State"] == "blackhole"
    nat_in(region, vpc_id(region), "available")
    assert table(region, made)["Routes"][1]["State"] == "active"


def test_local_routes_stay(region: Region) -> None:
    made = new_table(region)
    local = {"RouteTableId": made, "DestinationCidrBlock": "172.31.0.0/16"}
    assert refused(lambda: region.ec2.delete_route(**local)) == (
        "InvalidParameterValue",
        f"cannot remove local route 172.31.0.0/16 in route table {made}",
        400,
    )
    igw = main_table(region)["Routes"][1]["GatewayId"]
    assert refused(lambda: region.ec2.create_route(**local, GatewayId=igw)) == (
        "RouteAlreadyExists",
        "The route identified by 172.31.0.0/16 already exists.",
        400,
    )
    region.ec2.replace_route(**local, LocalTarget=True)
    assert refused(lambda: region.ec2.replace_route(**local, GatewayId=igw)) == (
        "InvalidParameterValue",
        "Route target is not supported. This route only supports interface and instance targets.",
        400,
    )
    nat = nat_in(region, vpc_id(region))
    assert refused(lambda: region.ec2.replace_route(**local, NatGatewayId=nat))[0] == "UnsupportedOperation"


def test_inside_the_vpc_only_a_whole_subnet_is_led_to_a_nat_gateway(region: Region) -> None:
    made, nat = new_table(region), nat_in(region, vpc_id(region))
    igw = main_table(region)["Routes"][1]["GatewayId"]
    create = region.ec2.create_route
    for cidr, target in (("172.31.0.0/20", {"GatewayId": igw}), ("172.31.0.0/21", {"NatGatewayId": nat})):
        code, text, _ = refused(lambda c=cidr, t=target: create(RouteTableId=made, DestinationCidrBlock=c, **t))  # type: ignore[misc]
        assert code == "InvalidParameterValue"
        assert text == (
            f"The destination CIDR block {cidr} is equal to or more specific than one of this VPC's CIDR blocks. "
            "This route can target only an interface or an instance."
        )
    create(RouteTableId=made, DestinationCidrBlock="172.31.0.0/20", NatGatewayId=nat)
    assert table(region, made)["Routes"][1]["NatGatewayId"] == nat
    code, text, _ = refused(
        lambda: create(RouteTableId=made, DestinationCidrBlock="169.254.170.0/24", NatGatewayId=nat)
    )
    assert code == "InvalidParameterValue" and "169.254.168.0/22" in text
    create(RouteTableId=made, DestinationCidrBlock="172.16.0.0/12", NatGatewayId=nat)


@pytest.mark.parametrize(
    ("params", "code", "text"),
    [
        (
            {"DestinationCidrBlock": "::/0", "GatewayId": "IGW"},
            "InvalidParameterValue",
            "Value (::/0) for parameter destinationCidrBlock is invalid. This is not a valid CIDR block.",
        ),
        ({"DestinationCidrBlock": "10.0.0.0", "GatewayId": "IGW"}, "InvalidParameterValue", None),
        ({"DestinationCidrBlock": "10.0.0.0/255.0.0.0", "GatewayId": "IGW"}, "InvalidParameterValue", None),
        ({"DestinationIpv6CidrBlock": "fe80::1%eth0/64", "GatewayId": "IGW"}, "InvalidParameterValue", None),
        ({"GatewayId": "IGW"}, "MissingParameter", None),
        ({"DestinationCidrBlock": "0.0.0.0/0"}, "MissingParameter", None),
        (
            {"DestinationCidrBlock": "0.0.0.0/0", "DestinationIpv6CidrBlock": "::/0", "GatewayId": "IGW"},
            "InvalidParameterCombination",
            None,
        ),
        (
            {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "IGW", "NatGatewayId": f"nat-{ABSENT}"},
            "InvalidParameterCombination",
            None,
        ),
        (
            {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": f"igw-{ABSENT}"},
            "InvalidGatewayID.NotFound",
            f"The gateway ID 'igw-{ABSENT}' does not exist",
        ),
        (
            {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": f"nat-{ABSENT}"},
            "InvalidNatGatewayID.NotFound",
            f"The natGateway ID 'nat-{ABSENT}' does not exist",
        ),
        (
            {"DestinationCidrBlock": "0.0.0.0/0", "VpcPeeringConnectionId": f"pcx-{ABSENT}"},
            "InvalidVpcPeeringConnectionID.NotFound",
            f"The vpcPeeringConnection ID 'pcx-{ABSENT}' does not exist",
        ),
        (
            {"DestinationPrefixListId": f"pl-{ABSENT}", "GatewayId": "IGW"},
            "InvalidPrefixListID.NotFound",
            f"The prefix list ID 'pl-{ABSENT}' does not exist",
        ),
        (
            {"DestinationCidrBlock": "0.0.0.0/0", "TransitGatewayId": "tgw-1"},
            "UnsupportedOperation",
            "Neargate has no routes to transit gateways.",
        ),
        (
            {"DestinationCidrBlock": "0.0.0.0/0", "NetworkInterfaceId": "eni-1"},
            "InvalidNetworkInterfaceId.Malformed",
            None,
        ),
        (
            {"DestinationCidrBlock": "0.0.0.0/0", "NetworkInterfaceId": f"eni-{ABSENT}"},
            "InvalidNetworkInterfaceID.NotFound",
            None,
        ),
        ({"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "vgw-1"}, "InvalidGatewayID.NotFound", None),
        # An id of another kind than the parameter's names nothing.
        ({"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "IGW"}, "InvalidNatGatewayID.NotFound", None),
        (
            {"DestinationCidrBlock": "0.0.0.0/0", "VpcPeeringConnectionId": "IGW"},
            "InvalidVpcPeeringConnectionID.NotFound",
            None,
        ),
        ({"DestinationIpv6CidrBlock": "::/0", "EgressOnlyInternetGatewayId": "IGW"}, "InvalidGatewayID.NotFound", None),
        ({"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "local"}, "InvalidGatewayID.NotFound", None),
        (
            {"DestinationCidrBlock": "0.0.0.0/0", "VpcEndpointId": f"vpce-{ABSENT}"},
            "InvalidVpcEndpointId.NotFound",
            None,
        ),
    ],
)
def test_routes_that_are_refused(region: Region, params: dict[str, str], code: str, text: str | None) -> None:
    igw = main_table(region)["Routes"][1]["GatewayId"]
    given = {name: igw if value == "IGW" else value for name, value in params.items()}
    made = new_table(region)
    found = refused(lambda: region.ec2.create_route(RouteTableId=made, **given))
    assert found[0] == code and text in (None, found[1])
    assert len(table(region, made)["Routes"]) == 1


def test_targets_fit_their_family_and_their_vpc(region: Region) -> None:
    vpc, other = vpc_id(region), other_vpc(region)
    made, foreign = new_table(region), new_table(region, other)
    nat = nat_in(region, vpc)
    igw = main_table(region)["Routes"][1]["GatewayId"]
    eigw = region.ec2.create_egress_only_internet_gateway(VpcId=vpc)["EgressOnlyInternetGateway"]
    create = region.ec2.create_route
    only_ipv6 = {"EgressOnlyInternetGatewayId": eigw["EgressOnlyInternetGatewayId"]}
    for params in (
        {"DestinationCidrBlock": "0.0.0.0/0", **only_ipv6},
        {"DestinationIpv6CidrBlock": "::/0", "NatGatewayId": nat},
    ):
        assert refused(lambda p=params: create(RouteTableId=made, **p))[0] == "InvalidParameterValue"  # type: ignore[misc]
    assert refused(lambda: create(RouteTableId=foreign, DestinationCidrBlock="0.0.0.0/0", GatewayId=igw)) == (
        "InvalidParameterValue",
        f"route table {foreign} and network gateway {igw} belong to different networks",
        400,
    )
    gone = nat_in(region, vpc, "deleted", 2)
    assert refused(lambda: create(RouteTableId=made, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=gone))[0] == (
        "InvalidNatGatewayID.NotFound"
    )


def test_a_prefix_list_is_a_destination_and_counts_with_all_its_entries(region: Region) -> None:
    keep(
        region,
        PrefixList(account=ACCOUNT, name="pl-0aaaaaaaaaaaaaaa1", list_name="a", family="IPv4", entries_max=49),
    )
    made, igw = new_table(region), main_table(region)["Routes"][1]["GatewayId"]
    create = region.ec2.create_route
    create(RouteTableId=made, DestinationPrefixListId="pl-0aaaaaaaaaaaaaaa1", GatewayId=igw)
    assert table(region, made)["Routes"][1] == {
        "DestinationPrefixListId": "pl-0aaaaaaaaaaaaaaa1",
        "GatewayId": igw,
        "Origin": "CreateRoute",
        "State": "active",
    }
    create(RouteTableId=made, DestinationCidrBlock="10.0.0.0/16", GatewayId=igw)
    assert refused(lambda: create(RouteTableId=made, DestinationCidrBlock="10.1.0.0/16", GatewayId=igw)) == (
        "RouteLimitExceeded",
        "The maximum number of routes has been reached.",
        400,
    )
    create(RouteTableId=made, DestinationIpv6CidrBlock="::/0", GatewayId=igw)  # counted apart
    region.ec2.delete_route(RouteTableId=made, DestinationPrefixListId="pl-0aaaaaaaaaaaaaaa1")


# -- gateways


def test_an_internet_gateway_lives(region: Region) -> None:
    vpc = other_vpc(region)
    made = region.ec2.create_internet_gateway(TagSpecifications=tags("internet-gateway", Name="out"))["InternetGateway"]
    assert made["Attachments"] == [] and made["OwnerId"] == ACCOUNT and made["Tags"][0]["Value"] == "out"
    igw = made["InternetGatewayId"]
    detach = region.ec2.detach_internet_gateway
    assert refused(lambda: detach(InternetGatewayId=igw, VpcId=vpc)) == (
        "Gateway.NotAttached",
        f"resource {igw} is not attached to network {vpc}",
        400,
    )
    region.ec2.attach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
    [found] = region.ec2.describe_internet_gateways(Filters=by("attachment.vpc-id", vpc))["InternetGateways"]
    assert found["Attachments"] == [{"State": "available", "VpcId": vpc}]
    assert refused(lambda: region.ec2.attach_internet_gateway(InternetGatewayId=igw, VpcId=vpc_id(region))) == (
        "Resource.AlreadyAssociated",
        f"resource {igw} is already attached to network {vpc}",
        400,
    )
    second = region.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    assert refused(lambda: region.ec2.attach_internet_gateway(InternetGatewayId=second, VpcId=vpc)) == (
        "InvalidParameterValue",
        f"Network {vpc} already has an internet gateway attached",
        400,
    )
    assert refused(lambda: region.ec2.delete_internet_gateway(InternetGatewayId=igw)) == (
        "DependencyViolation",
        f"The internetGateway '{igw}' has dependencies and cannot be deleted.",
        400,
    )
    made_table = new_table(region, vpc)
    region.ec2.create_route(RouteTableId=made_table, DestinationCidrBlock="0.0.0.0/0", GatewayId=igw)
    detach(InternetGatewayId=igw, VpcId=vpc)
    assert table(region, made_table)["Routes"][1]["State"] == "blackhole"
    assert region.ec2.describe_route_tables(Filters=by("route.state", "blackhole"))["RouteTables"]
    region.ec2.delete_internet_gateway(InternetGatewayId=igw)
    assert refused(lambda: region.ec2.describe_internet_gateways(InternetGatewayIds=[igw])) == (
        "InvalidInternetGatewayID.NotFound",
        f"The internetGateway ID '{igw}' does not exist",
        400,
    )
    for _ in range(3):
        region.ec2.create_internet_gateway()
    assert refused(region.ec2.create_internet_gateway)[0] == "InternetGatewayLimitExceeded"


def test_a_gateway_stays_while_public_addresses_are_mapped(region: Region) -> None:
    [gateway] = region.ec2.describe_internet_gateways()["InternetGateways"]
    vpc = vpc_id(region)
    detach: Callable[[], Any] = lambda: region.ec2.detach_internet_gateway(  # noqa: E731
        InternetGatewayId=gateway["InternetGatewayId"], VpcId=vpc
    )
    region.reserve("private", public=False)
    region.reserve("public")
    mapped = (
        "DependencyViolation",
        f"Network {vpc} has some mapped public address(es). "
        "Please unmap those public address(es) before detaching the gateway.",
        400,
    )
    assert refused(detach) == mapped
    region.release("public")
    nat_in(region, vpc)
    assert refused(detach) == mapped
    nat_in(region, vpc, "deleted")
    detach()
    assert region.ec2.describe_internet_gateways(Filters=by("attachment.state", "available"))["InternetGateways"] == []


def test_an_egress_only_gateway_lives(region: Region) -> None:
    vpc = vpc_id(region)
    create = region.ec2.create_egress_only_internet_gateway
    kind = "egress-only-internet-gateway"
    made = create(VpcId=vpc, ClientToken="one", TagSpecifications=tags(kind, a="b"))["EgressOnlyInternetGateway"]
    gateway_id = made["EgressOnlyInternetGatewayId"]
    assert made["Attachments"] == [{"State": "attached", "VpcId": vpc}] and made["Tags"] == [{"Key": "a", "Value": "b"}]
    assert create(VpcId=vpc, ClientToken="one")["EgressOnlyInternetGateway"] == made
    assert refused(lambda: create(VpcId=vpc))[0] == "InvalidParameterValue"
    describe = region.ec2.describe_egress_only_internet_gateways
    assert describe(Filters=by("tag:a", "b"))["EgressOnlyInternetGateways"] == [made]
    assert describe(EgressOnlyInternetGatewayIds=[gateway_id])["EgressOnlyInternetGateways"] == [made]
    delete = region.ec2.delete_egress_only_internet_gateway
    assert delete(EgressOnlyInternetGatewayId=gateway_id)["ReturnCode"] is True
    assert refused(lambda: delete(EgressOnlyInternetGatewayId=gateway_id)) == (
        "InvalidGatewayID.NotFound",
        f"The eigw ID '{gateway_id}' does not exist",
        400,
    )
    assert describe(EgressOnlyInternetGatewayIds=[gateway_id])["EgressOnlyInternetGateways"] == []
    assert refused(lambda: create(VpcId=f"vpc-{ABSENT}"))[0] == "InvalidVpcID.NotFound"


def test_a_route_to_a_tasks_interface_is_refused(region: Region) -> None:
    eni = region.reserve("task").eni.eni_id
    to = {"RouteTableId": new_table(region), "DestinationCidrBlock": "0.0.0.0/0"}
    assert refused(lambda: region.ec2.create_route(**to, NetworkInterfaceId=eni)) == (
        "UnsupportedOperation",
        "Neargate has no routes to network interfaces.",
        400,
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda ec2, vpc: ec2.create_route_table(VpcId=vpc, DryRun=True),
        lambda ec2, vpc: ec2.create_internet_gateway(DryRun=True),
        lambda ec2, vpc: ec2.create_egress_only_internet_gateway(VpcId=vpc, DryRun=True),
        lambda ec2, vpc: ec2.describe_route_tables(DryRun=True),
        lambda ec2, vpc: ec2.describe_internet_gateways(DryRun=True),
    ],
)
def test_a_dry_run_changes_nothing(region: Region, call: Callable[[Any, str], Any]) -> None:
    generation = region.network.shelf(ACCOUNT).generation
    assert refused(lambda: call(region.ec2, vpc_id(region)))[0] == "DryRunOperation"
    assert region.network.shelf(ACCOUNT).generation == generation


def test_a_subnet_that_is_not_there_has_no_table(region: Region) -> None:
    made = new_table(region)
    assert refused(lambda: region.ec2.associate_route_table(RouteTableId=made, SubnetId=f"subnet-{ABSENT}")) == (
        "InvalidSubnetID.NotFound",
        f"The subnet ID 'subnet-{ABSENT}' does not exist",
        400,
    )
    assert isinstance(region.network.shelf(ACCOUNT).find(Subnet, subnets(region)[0]), Subnet)
