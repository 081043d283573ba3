"""VPC peering connections, VPC endpoints and AWS's prefix lists as botocore's own client sees them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.frontend.network.peering.peerings import EXPIRES_AFTER_S
from neargate.frontend.network.records.objects import Peering

from .ec2_region import ABSENT, ACCOUNT, REGION, Region, by, ec2_region, refused
from .test_ec2_routes import keep, main_table, new_table, other_vpc, table, tags, vpc_id

__all__ = ["ec2_region"]

S3, DYNAMODB = f"com.amazonaws.{REGION}.s3", f"com.amazonaws.{REGION}.dynamodb"


def requested(region: Region, peer: str, **more: Any) -> str:
    made = region.ec2.create_vpc_peering_connection(VpcId=vpc_id(region), PeerVpcId=peer, **more)
    return str(made["VpcPeeringConnection"]["VpcPeeringConnectionId"])


def seen(region: Region, peering_id: str) -> dict[str, Any]:
    describe = region.ec2.describe_vpc_peering_connections
    [found] = describe(VpcPeeringConnectionIds=[peering_id])["VpcPeeringConnections"]
    return dict(found)


def aged(region: Region, peering_id: str, seconds: float) -> None:
    """As if it had been asked for, and had ended, so long ago."""
    peering = region.network.shelf(ACCOUNT).find(Peering, peering_id)
    assert peering is not None
    ended = None if peering.ended_at is None else peering.ended_at - seconds
    keep(region, replace(peering, created_at=peering.created_at - seconds, ended_at=ended))


# -- peering


def test_a_connection_is_requested_accepted_and_deleted(region: Region) -> None:
    mine, peer = vpc_id(region), other_vpc(region)
    made = region.ec2.create_vpc_peering_connection(
        VpcId=mine,
        PeerVpcId=peer,
        PeerOwnerId=ACCOUNT,
        PeerRegion=REGION,
        TagSpecifications=tags("vpc-peering-connection", Name="a"),
    )["VpcPeeringConnection"]
    assert made["Status"] == {"Code": "initiating-request", "Message": f"Initiating Request to {ACCOUNT}"}
    pcx = made["VpcPeeringConnectionId"]
    found = seen(region, pcx)
    assert found["Status"] == {"Code": "pending-acceptance", "Message": f"Pending Acceptance by {ACCOUNT}"}
    week = datetime.now(UTC) + timedelta(days=7)
    assert abs(found["ExpirationTime"] - week) < timedelta(hours=1)
    assert found["RequesterVpcInfo"] == {
        "CidrBlock": "172.31.0.0/16",
        "CidrBlockSet": [{"CidrBlock": "172.31.0.0/16"}],
        "OwnerId": ACCOUNT,
        "VpcId": mine,
        "Region": REGION,
    }
    assert found["AccepterVpcInfo"]["CidrBlock"] == "10.0.0.0/16" and found["Tags"] == [{"Key": "Name", "Value": "a"}]
    assert refused(lambda: requested(region, peer))[0] == "VpcPeeringConnectionAlreadyExists"
    made_table = new_table(region)
    region.ec2.create_route(RouteTableId=made_table, DestinationCidrBlock="10.0.0.0/16", VpcPeeringConnectionId=pcx)
    assert table(region, made_table)["Routes"][1]["State"] == "blackhole"
    accepted = region.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)["VpcPeeringConnection"]
    assert accepted["Status"] == {"Code": "active", "Message": "Active"} and "ExpirationTime" not in accepted
    assert accepted["AccepterVpcInfo"]["PeeringOptions"]["AllowDnsResolutionFromRemoteVpc"] is False
    assert table(region, made_table)["Routes"][1] == {
        "DestinationCidrBlock": "10.0.0.0/16",
        "VpcPeeringConnectionId": pcx,
        "Origin": "CreateRoute",
        "State": "active",
    }
    assert region.network.plan(mine).peerings[0].peer_vpc == peer
    assert region.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)["Return"] is True
    assert seen(region, pcx)["Status"] == {"Code": "deleted", "Message": f"Deleted by {ACCOUNT}"}
    assert table(region, made_table)["Routes"][1]["State"] == "blackhole"
    assert refused(lambda: region.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)) == (
        "InvalidStateTransition",
        f"Invalid state transition for {pcx}, attempted to transition from deleted to deleting",
        400,
    )
    assert refused(lambda: region.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx))[0] == (
        "InvalidStateTransition"
    )
    aged(region, pcx, 2 * 3600.0)
    assert refused(lambda: seen(region, pcx)) == (
        "InvalidVpcPeeringConnectionID.NotFound",
        f"The vpcPeeringConnection ID '{pcx}' does not exist",
        400,
    )
    requested(region, peer)
    assert region.network.shelf(ACCOUNT).find(Peering, pcx) is None  # what nobody sees is kept no longer


def test_a_request_is_rejected_or_expires(region: Region) -> None:
    peer = other_vpc(region)
    pcx = requested(region, peer)
    region.ec2.reject_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    assert seen(region, pcx)["Status"] == {"Code": "rejected", "Message": f"Rejected by {ACCOUNT}"}
    second = requested(region, peer)
    aged(region, second, EXPIRES_AFTER_S)
    assert seen(region, second)["Status"]["Code"] == "expired"
    describe = region.ec2.describe_vpc_peering_connections
    assert len(describe(Filters=by("status-code", "expired"))["VpcPeeringConnections"]) == 1
    accept = region.ec2.accept_vpc_peering_connection
    assert refused(lambda: accept(VpcPeeringConnectionId=second))[0] == "InvalidStateTransition"
    requested(region, peer)


@pytest.mark.parametrize("peer", ["overlapping", "absent", "itself"])
def test_what_cannot_be_peered_fails(region: Region, peer: str) -> None:
    other = {
        "overlapping": lambda: other_vpc(region, "172.31.128.0/17"),
        "absent": lambda: f"vpc-{ABSENT}",
        "itself": lambda: vpc_id(region),
    }[peer]()
    pcx = requested(region, other)
    found = seen(region, pcx)
    assert found["Status"] == {
        "Code": "failed",
        "Message": "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range",
    }
    assert found["AccepterVpcInfo"]["VpcId"] == other
    delete = region.ec2.delete_vpc_peering_connection
    assert refused(lambda: delete(VpcPeeringConnectionId=pcx))[0] == "InvalidStateTransition"


def test_peerings_that_are_not_here(region: Region) -> None:
    peer = other_vpc(region)
    assert refused(lambda: requested(region, peer, PeerOwnerId="999999999999"))[0] == "OperationNotPermitted"
    assert refused(lambda: requested(region, peer, PeerRegion="eu-west-1"))[0] == "OperationNotPermitted"
    assert refused(lambda: region.ec2.create_vpc_peering_connection(VpcId=peer))[0] == "MissingParameter"
    create = region.ec2.create_vpc_peering_connection
    assert refused(lambda: create(VpcId=f"vpc-{ABSENT}", PeerVpcId=peer))[0] == "InvalidVpcID.NotFound"


def test_options_of_a_connection(region: Region) -> None:
    pcx = requested(region, other_vpc(region))
    modify = region.ec2.modify_vpc_peering_connection_options
    off, on = {"AllowDnsResolutionFromRemoteVpc": False}, {"AllowDnsResolutionFromRemoteVpc": True}
    assert refused(lambda: modify(VpcPeeringConnectionId=pcx, AccepterPeeringConnectionOptions=off)) == (
        "OperationNotPermitted",
        f"Peering {pcx} is not active. Peering options can be added only to active peerings.",
        400,
    )
    region.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    told = modify(VpcPeeringConnectionId=pcx, RequesterPeeringConnectionOptions=off)
    assert told["RequesterPeeringConnectionOptions"]["AllowDnsResolutionFromRemoteVpc"] is False
    assert refused(lambda: modify(VpcPeeringConnectionId=pcx, RequesterPeeringConnectionOptions=on))[0] == (
        "UnsupportedOperation"
    )
    assert refused(lambda: modify(VpcPeeringConnectionId=pcx))[0] == "MissingParameter"


def test_connections_pass_filters(region: Region) -> None:
    peer = other_vpc(region)
    pcx = requested(region, peer, TagSpecifications=tags("vpc-peering-connection", Name="a"))
    describe = region.ec2.describe_vpc_peering_connections
    for name, value in (
        ("accepter-vpc-info.cidr-block", "10.0.0.0/16"),
        ("accepter-vpc-info.owner-id", ACCOUNT),
        ("accepter-vpc-info.vpc-id", peer),
        ("expiration-time", "20*"),
        ("requester-vpc-info.cidr-block", "172.31.0.0/16"),
        ("requester-vpc-info.owner-id", ACCOUNT),
        ("requester-vpc-info.vpc-id", vpc_id(region)),
        ("status-code", "pending-acceptance"),
        ("status-message", "Pending*"),
        ("tag:Name", "a"),
        ("vpc-peering-connection-id", pcx),
    ):
        assert [
            one["VpcPeeringConnectionId"] for one in describe(Filters=by(name, value))["VpcPeeringConnections"]
        ] == [pcx], name
        assert describe(Filters=by(name, "no"))["VpcPeeringConnections"] == []


# -- endpoints


def test_a_gateway_endpoint_leads_a_list_into_its_tables(region: Region) -> None:
    vpc, one, two = vpc_id(region), new_table(region), new_table(region)
    create = region.ec2.create_vpc_endpoint
    made = create(
        VpcId=vpc,
        ServiceName=S3,
        RouteTableIds=[one],
        ClientToken="a",
        TagSpecifications=tags("vpc-endpoint", Name="s3"),
    )
    assert made["ClientToken"] == "a"
    endpoint = made["VpcEndpoint"]
    vpce = endpoint["VpcEndpointId"]
    assert endpoint["State"] == "available" and endpoint["VpcEndpointType"] == "Gateway"
    assert endpoint["RouteTableIds"] == [one] and endpoint["OwnerId"] == ACCOUNT and endpoint["Groups"] == []
    assert json.loads(endpoint["PolicyDocument"])["Statement"][0]["Effect"] == "Allow"
    again = create(VpcId=vpc, ServiceName=S3, RouteTableIds=[one], ClientToken="a")["VpcEndpoint"]
    assert again["VpcEndpointId"] == vpce
    mismatch = lambda: create(VpcId=vpc, ServiceName=DYNAMODB, ClientToken="a")  # noqa: E731
    assert refused(mismatch)[0] == "IdempotentParameterMismatch"
    [known] = region.ec2.describe_prefix_lists(Filters=by("prefix-list-name", S3))["PrefixLists"]
    pl = known["PrefixListId"]
    route = {
        "DestinationPrefixListId": pl,
        "GatewayId": vpce,
        "Origin": "CreateRoute",
        "State": "active",
    }
    assert table(region, one)["Routes"][1:] == [route]
    [found] = region.ec2.describe_route_tables(Filters=by("route.destination-prefix-list-id", pl))["RouteTables"]
    assert found["RouteTableId"] == one
    assert refused(lambda: create(VpcId=vpc, ServiceName=S3, RouteTableIds=[one])) == (
        "RouteAlreadyExists",
        f"route table {one} already has a route with destination-prefix-list-id {pl}",
        400,
    )
    delete_route = region.ec2.delete_route
    assert refused(lambda: delete_route(RouteTableId=one, DestinationPrefixListId=pl))[0] == "InvalidParameterValue"
    igw = main_table(region)["Routes"][1]["GatewayId"]
    create_route = region.ec2.create_route
    assert refused(lambda: create_route(RouteTableId=two, DestinationPrefixListId=pl, GatewayId=igw))[0] == (
        "InvalidParameterValue"
    )
    assert refused(lambda: create_route(RouteTableId=two, DestinationCidrBlock="0.0.0.0/0", GatewayId=vpce))[0] == (
        "RouteNotSupported"
    )
    modify = region.ec2.modify_vpc_endpoint
    assert modify(VpcEndpointId=vpce, AddRouteTableIds=[two], RemoveRouteTableIds=[one])["Return"] is True
    assert table(region, one)["Routes"][1:] == [] and table(region, two)["Routes"][1:] == [route]
    assert refused(lambda: modify(VpcEndpointId=vpce, RemoveRouteTableIds=[one]))[0] == "InvalidParameter"
    region.ec2.delete_route_table(RouteTableId=two)
    [left] = region.ec2.describe_vpc_endpoints(VpcEndpointIds=[vpce])["VpcEndpoints"]
    assert left["RouteTableIds"] == []
    gone = region.ec2.delete_vpc_endpoints(VpcEndpointIds=[vpce, f"vpce-{ABSENT}"])
    assert gone["Unsuccessful"] == [
        {
            "Error": {
                "Code": "InvalidVpcEndpointId.NotFound",
                "Message": f"The Vpc Endpoint ID 'vpce-{ABSENT}' does not exist",
            },
            "ResourceId": f"vpce-{ABSENT}",
        }
    ]
    assert region.ec2.describe_vpc_endpoints()["VpcEndpoints"] == []


def test_a_policy_is_kept_and_must_be_one(region: Region) -> None:
    create, modify = region.ec2.create_vpc_endpoint, region.ec2.modify_vpc_endpoint
    policy = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}],
        }
    )
    for wrong in ("{", '{"Version":"2012-10-17"}', "x" * 20_481, json.dumps({"Statement": []})):
        bad = refused(lambda w=wrong: create(VpcId=vpc_id(region), ServiceName=S3, PolicyDocument=w))  # type: ignore[misc]
        assert bad[0] == "InvalidPolicyDocument"
    vpce = create(VpcId=vpc_id(region), ServiceName=S3, PolicyDocument=policy)["VpcEndpoint"]["VpcEndpointId"]
    describe = region.ec2.describe_vpc_endpoints

    def kept() -> str:
        return str(describe(VpcEndpointIds=[vpce])["VpcEndpoints"][0]["PolicyDocument"])

    assert kept() == policy
    modify(VpcEndpointId=vpce, ResetPolicy=True)
    assert json.loads(kept())["Statement"][0]["Effect"] == "Allow"
    modify(VpcEndpointId=vpce, PolicyDocument=policy)
    assert kept() == policy
    both = lambda: modify(VpcEndpointId=vpce, PolicyDocument=policy, ResetPolicy=True)  # noqa: E731
    assert refused(both)[0] == "InvalidParameterCombination"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"ServiceName": "com.amazonaws.us-east-1.nothing"}, "InvalidServiceName"),
        ({"ServiceName": "com.amazonaws.eu-west-1.s3"}, "InvalidServiceName"),
        ({"ServiceName": f"com.amazonaws.{REGION}.ecs"}, "InvalidParameter"),
        ({"ServiceName": S3, "VpcEndpointType": "Interface", "RouteTableIds": ["rtb-1"]}, "InvalidParameter"),
        ({"ServiceName": S3, "VpcEndpointType": "Interface"}, "UnsupportedOperation"),
        ({"ServiceName": S3, "SubnetIds": [f"subnet-{ABSENT}"]}, "InvalidParameter"),
        ({"ServiceName": S3, "PrivateDnsEnabled": True}, "InvalidParameter"),
        ({"ServiceName": S3, "IpAddressType": "dualstack"}, "UnsupportedOperation"),
        ({"ServiceName": S3, "RouteTableIds": [f"rtb-{ABSENT}"]}, "InvalidRouteTableID.NotFound"),
        ({"ServiceName": S3, "RouteTableIds": ["x"]}, "InvalidRouteTableId.Malformed"),
        ({"ServiceName": S3, "VpcId": f"vpc-{ABSENT}"}, "InvalidVpcID.NotFound"),
        ({"ServiceRegion": "eu-west-1", "ServiceName": S3}, "UnsupportedOperation"),
        ({}, "MissingParameter"),
    ],
)
def test_endpoints_that_are_not_made(region: Region, params: dict[str, Any], code: str) -> None:
    given = {"VpcId": vpc_id(region), **params}
    assert refused(lambda: region.ec2.create_vpc_endpoint(**given))[0] == code
    assert region.ec2.describe_vpc_endpoints()["VpcEndpoints"] == []


def test_an_endpoint_takes_tables_of_its_own_vpc(region: Region) -> None:
    foreign = new_table(region, other_vpc(region))
    create = region.ec2.create_vpc_endpoint
    assert refused(lambda: create(VpcId=vpc_id(region), ServiceName=S3, RouteTableIds=[foreign]))[0] == (
        "InvalidParameter"
    )


def test_endpoints_pass_filters(region: Region) -> None:
    vpc = vpc_id(region)
    made = region.ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=S3, TagSpecifications=tags("vpc-endpoint", Name="s3"))[
        "VpcEndpoint"
    ]
    describe = region.ec2.describe_vpc_endpoints
    for name, value in (
        ("ip-address-type", "ipv4"),
        ("service-name", S3),
        ("service-region", REGION),
        ("tag:Name", "s3"),
        ("vpc-id", vpc),
        ("vpc-endpoint-id", made["VpcEndpointId"]),
        ("vpc-endpoint-state", "available"),
        ("vpc-endpoint-type", "Gateway"),
    ):
        assert describe(Filters=by(name, value))["VpcEndpoints"] == [made], name
        assert describe(Filters=by(name, "no"))["VpcEndpoints"] == []


def test_services_and_their_lists_are_described(region: Region) -> None:
    told = region.ec2.describe_vpc_endpoint_services(Filters=by("service-type", "Gateway"))
    assert told["ServiceNames"] == [DYNAMODB, S3]
    assert {one["ServiceName"]: one["ServiceType"] for one in told["ServiceDetails"]} == {
        S3: [{"ServiceType": "Gateway"}],
        DYNAMODB: [{"ServiceType": "Gateway"}],
    }
    describe = region.ec2.describe_vpc_endpoint_services
    both = [*by("service-type", "Gateway"), *by("service-name", S3)]
    assert describe(Filters=both)["ServiceNames"] == [S3]
    assert describe(Filters=[*by("service-type", "Interface"), *by("service-name", S3)])["ServiceDetails"] == []
    assert refused(lambda: describe(ServiceNames=["com.amazonaws.us-east-1.none"])) == (
        "InvalidServiceName",
        "The Vpc Endpoint Service 'com.amazonaws.us-east-1.none' does not exist",
        400,
    )
    assert refused(lambda: describe(Filters=by("vpc-id", "x"))) == (
        "InvalidFilter",
        "The filter 'vpc-id' is invalid",
        400,
    )
    lists = region.ec2.describe_prefix_lists()["PrefixLists"]
    assert sorted(one["PrefixListName"] for one in lists) == [DYNAMODB, S3]
    assert all(one["Cidrs"] == [] for one in lists)
    one = lists[0]
    assert region.ec2.describe_prefix_lists(PrefixListIds=[one["PrefixListId"]])["PrefixLists"] == [one]
    assert refused(lambda: region.ec2.describe_prefix_lists(PrefixListIds=[f"pl-{ABSENT}"]))[0] == (
        "InvalidPrefixListID.NotFound"
    )
