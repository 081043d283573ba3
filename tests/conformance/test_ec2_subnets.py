"""Subnets as botocore's own client sees them: where they lie, what is said of them, when they go."""

from ipaddress import IPv6Network
from typing import Any

import pytest

from neargate.model.capacity import Reservation

from .ec2_region import ABSENT, ACCOUNT, REGION, Region, by, ec2_region, refused

__all__ = ["ec2_region"]


def new_vpc(region: Region, **more: Any) -> str:
    return str(region.ec2.create_vpc(CidrBlock="10.0.0.0/16", **more)["Vpc"]["VpcId"])


def made(region: Region, vpc: str, cidr: str = "10.0.0.0/24", **more: Any) -> dict[str, Any]:
    return dict(region.ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, **more)["Subnet"])


def shown(region: Region, subnet: str) -> dict[str, Any]:
    [found] = region.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    return dict(found)


def ipv6_of(region: Region, vpc: str) -> IPv6Network:
    [found] = region.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    return IPv6Network(found["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"])


def default_acl(region: Region, vpc: str) -> str:
    [found] = region.network.plan(vpc).acls
    return found.acl_id


def test_a_subnet_is_made_shown_and_deleted(region: Region) -> None:
    vpc = new_vpc(region)
    tags = [{"Key": "Name", "Value": "a"}]
    answer = made(
        region,
        vpc,
        "10.0.5.9/24",
        AvailabilityZone="us-east-1b",
        TagSpecifications=[{"ResourceType": "subnet", "Tags": tags}],
    )
    subnet = answer["SubnetId"]
    assert answer == {
        "AvailabilityZone": "us-east-1b",
        "AvailabilityZoneId": "use1-az2",
        "AvailableIpAddressCount": 251,
        "CidrBlock": "10.0.5.0/24",
        "DefaultForAz": False,
        "MapPublicIpOnLaunch": False,
        "MapCustomerOwnedIpOnLaunch": False,
        "State": "available",
        "SubnetId": subnet,
        "VpcId": vpc,
        "OwnerId": ACCOUNT,
        "AssignIpv6AddressOnCreation": False,
        "Ipv6CidrBlockAssociationSet": [],
        "SubnetArn": f"arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/{subnet}",
        "EnableDns64": False,
        "Ipv6Native": False,
        "PrivateDnsNameOptionsOnLaunch": {
            "HostnameType": "ip-name",
            "EnableResourceNameDnsARecord": False,
            "EnableResourceNameDnsAAAARecord": False,
        },
        "Tags": tags,
    }
    assert shown(region, subnet) == answer
    assert [one["SubnetId"] for one in region.ec2.describe_subnets(Filters=by("tag:Name", "a"))["Subnets"]] == [subnet]
    [planned] = region.network.plan(vpc).subnets
    assert (planned.subnet_id, planned.cidr, planned.acl) == (subnet, "10.0.5.0/24", default_acl(region, vpc))
    region.ec2.delete_subnet(SubnetId=subnet)
    missing = ("InvalidSubnetID.NotFound", f"The subnet ID '{subnet}' does not exist", 400)
    assert refused(lambda: shown(region, subnet)) == missing
    assert refused(lambda: region.ec2.delete_subnet(SubnetId=subnet)) == missing
    assert region.network.plan(vpc).subnets == ()


def test_zones_are_named_by_id_or_chosen(region: Region) -> None:
    vpc = new_vpc(region)
    assert made(region, vpc, "10.0.0.0/24", AvailabilityZoneId="use1-az2")["AvailabilityZone"] == "us-east-1b"
    assert made(region, vpc, "10.0.1.0/24")["AvailabilityZone"] == "us-east-1a"
    zones = [made(region, vpc, f"10.0.{number}.0/24")["AvailabilityZone"] for number in (2, 3)]
    assert sorted(zones) == ["us-east-1a", "us-east-1b"]
    assert refused(lambda: made(region, vpc, "10.0.9.0/24", AvailabilityZone="us-east-1z")) == (
        "InvalidParameterValue",
        "Value (us-east-1z) for parameter availabilityZone is invalid. Subnets can currently only be created in the "
        "following availability zones: us-east-1a, us-east-1b.",
        400,
    )
    assert refused(lambda: made(region, vpc, "10.0.9.0/24", AvailabilityZoneId="use1-az9"))[1] == (
        "Value (use1-az9) for parameter availabilityZoneId is invalid. Subnets can currently only be created in the "
        "following availability zones: use1-az1, use1-az2."
    )
    both = {"AvailabilityZone": "us-east-1a", "AvailabilityZoneId": "use1-az1"}
    assert refused(lambda: made(region, vpc, "10.0.9.0/24", **both))[0] == "InvalidParameterCombination"


@pytest.mark.parametrize(
    ("cidr", "code", "text"),
    [
        ("10.0.0.0/15", "InvalidSubnet.Range", "The CIDR '10.0.0.0/15' is invalid."),
        ("10.0.0.0/29", "InvalidSubnet.Range", "The CIDR '10.0.0.0/29' is invalid."),
        ("10.1.0.0/24", "InvalidSubnet.Range", "The CIDR '10.1.0.0/24' is invalid."),
        ("10.0.1.0/24", "InvalidSubnet.Conflict", "The CIDR '10.0.1.0/24' conflicts with another subnet"),
        ("10.0.0.0/16", "InvalidSubnet.Conflict", "The CIDR '10.0.0.0/16' conflicts with another subnet"),
        ("10.0.1.128/28", "InvalidSubnet.Conflict", "The CIDR '10.0.1.128/28' conflicts with another subnet"),
        (
            "1000.0.0.0/24",
            "InvalidParameterValue",
            "Value (1000.0.0.0/24) for parameter cidrBlock is invalid. This is not a valid CIDR block.",
        ),
    ],
)
def test_where_no_subnet_lies(region: Region, cidr: str, code: str, text: str) -> None:
    vpc = new_vpc(region)
    first = made(region, vpc, "10.0.1.0/24")["SubnetId"]
    assert refused(lambda: made(region, vpc, cidr)) == (code, text, 400)
    assert [one["SubnetId"] for one in region.ec2.describe_subnets(Filters=by("vpc-id", vpc))["Subnets"]] == [first]


def test_what_a_subnet_needs(region: Region) -> None:
    vpc, ec2 = new_vpc(region), region.ec2
    assert refused(lambda: ec2.create_subnet(VpcId=vpc))[0] == "MissingParameter"
    assert refused(lambda: ec2.create_subnet(CidrBlock="10.0.0.0/24"))[0] == "MissingParameter"
    assert refused(lambda: made(region, f"vpc-{ABSENT}"))[0] == "InvalidVpcID.NotFound"
    assert refused(lambda: made(region, vpc, OutpostArn="arn:aws:outposts:x"))[0] == "UnsupportedOperation"


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        (
            {"CidrBlock": "10.0.0.0/24"},
            "MissingParameter",
            "Either 'ipv6CidrBlock' or 'ipv6IpamPoolId' should be provided.",
        ),
        (
            {"CidrBlock": "10.0.0.0/24", "Ipv6CidrBlock": "2001:db8::/64"},
            "InvalidParameterCombination",
            "When specifying ipv4 parameters, cidrBlock or ipv4IpamPoolId, you cannot set ipv6Native to true.",
        ),
        (
            {"Ipv6CidrBlock": "2001:db8::/64"},
            "UnsupportedOperation",
            "The functionality you requested is not available in this region. Subnets without IPv4 are not there.",
        ),
    ],
)
def test_subnets_without_ipv4(region: Region, given: dict[str, str], code: str, text: str) -> None:
    vpc = new_vpc(region)
    assert refused(lambda: region.ec2.create_subnet(VpcId=vpc, Ipv6Native=True, **given)) == (code, text, 400)


def test_a_subnet_with_an_interface_stays(region: Region) -> None:
    ec2 = region.ec2
    [subnet] = ec2.describe_subnets(Filters=by("availability-zone", "us-east-1a"))["Subnets"]
    assert subnet["AvailableIpAddressCount"] == 4091
    region.reserve("a" * 32)
    region.reserve("b" * 32)
    assert shown(region, subnet["SubnetId"])["AvailableIpAddressCount"] == 4089
    refusal = (
        "DependencyViolation",
        f"The subnet '{subnet['SubnetId']}' has dependencies and cannot be deleted.",
        400,
    )
    assert refused(lambda: ec2.delete_subnet(SubnetId=subnet["SubnetId"])) == refusal
    region.release("a" * 32)
    assert refused(lambda: ec2.delete_subnet(SubnetId=subnet["SubnetId"])) == refusal
    region.release("b" * 32)
    assert shown(region, subnet["SubnetId"])["AvailableIpAddressCount"] == 4091
    assert region.reserve("c" * 32).eni is not None  # a refusal leaves it open
    region.release("c" * 32)
    ec2.delete_subnet(SubnetId=subnet["SubnetId"])


def test_a_launch_that_still_knows_a_deleted_subnet_gets_no_interface(region: Region) -> None:
    """It found the subnet just before DeleteSubnet and reserves just after."""
    known = region.network.subnets(ACCOUNT)
    region.ec2.delete_subnet(SubnetId=known[0].name)
    region.network.subnets = lambda _: known
    late: Reservation = region.reserve("a" * 32)
    assert late.eni is None
    assert late.eni_error is not None and late.eni_error.endswith(
        f"in subnet '{known[0].name}': InvalidSubnetID.NotFound"
    )


def test_a_subnet_takes_its_associations_along(region: Region) -> None:
    vpc, ec2 = new_vpc(region), region.ec2
    subnet = made(region, vpc)["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    assert region.network.plan(vpc).subnets[0].route_table == table
    ec2.delete_subnet(SubnetId=subnet)
    [found] = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    assert found["Associations"] == []
    ec2.delete_route_table(RouteTableId=table)
    ec2.delete_vpc(VpcId=vpc)


def test_default_subnets_are_one_for_each_zone(region: Region) -> None:
    ec2 = region.ec2
    [old] = ec2.describe_subnets(Filters=by("availability-zone", "us-east-1a"))["Subnets"]
    assert refused(lambda: ec2.create_default_subnet(AvailabilityZone="us-east-1a")) == (
        "DefaultSubnetAlreadyExistsInAvailabilityZone",
        f"'{old['SubnetId']}' is already the default subnet in us-east-1a.",
        400,
    )
    ec2.delete_subnet(SubnetId=old["SubnetId"])
    new = ec2.create_default_subnet(AvailabilityZone="us-east-1a")["Subnet"]
    assert new["DefaultForAz"] and new["MapPublicIpOnLaunch"] and new["CidrBlock"] == "172.31.0.0/20"
    assert new["SubnetId"] != old["SubnetId"] and region.reserve("a" * 32).eni is not None
    assert refused(ec2.create_default_subnet)[0] == "MissingParameter"
    assert refused(lambda: ec2.create_default_subnet(AvailabilityZone="x"))[0] == "InvalidParameterValue"


def test_attributes_are_switched_one_at_a_time(region: Region) -> None:
    ec2, vpc = region.ec2, new_vpc(region, AmazonProvidedIpv6CidrBlock=True)
    subnet = made(region, vpc)["SubnetId"]
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    ec2.modify_subnet_attribute(SubnetId=subnet, PrivateDnsHostnameTypeOnLaunch="resource-name")
    ec2.modify_subnet_attribute(SubnetId=subnet, EnableResourceNameDnsARecordOnLaunch={"Value": True})
    ec2.modify_subnet_attribute(SubnetId=subnet, EnableResourceNameDnsAAAARecordOnLaunch={"Value": True})
    ec2.modify_subnet_attribute(SubnetId=subnet, EnableDns64={"Value": False})
    ec2.modify_subnet_attribute(SubnetId=subnet, MapCustomerOwnedIpOnLaunch={"Value": False})
    found = shown(region, subnet)
    assert found["MapPublicIpOnLaunch"] is True
    assert found["PrivateDnsNameOptionsOnLaunch"] == {
        "HostnameType": "resource-name",
        "EnableResourceNameDnsARecord": True,
        "EnableResourceNameDnsAAAARecord": True,
    }
    for filters in (
        by("map-public-ip-on-launch", "true"),
        by("private-dns-name-options-on-launch.hostname-type", "resource-name"),
    ):
        assert subnet in [one["SubnetId"] for one in ec2.describe_subnets(Filters=filters)["Subnets"]]
    assert refused(lambda: ec2.modify_subnet_attribute(SubnetId=subnet, EnableDns64={"Value": True}))[0] == (
        "UnsupportedOperation"
    )
    assert refused(lambda: ec2.modify_subnet_attribute(SubnetId=subnet, EnableLniAtDeviceIndex=1))[0] == (
        "UnsupportedOperation"
    )
    two = {"MapPublicIpOnLaunch": {"Value": False}, "EnableDns64": {"Value": False}}
    assert refused(lambda: ec2.modify_subnet_attribute(SubnetId=subnet, **two))[0] == "InvalidParameterCombination"
    assert refused(lambda: ec2.modify_subnet_attribute(SubnetId=subnet))[0] == "MissingParameter"
    assign = {"AssignIpv6AddressOnCreation": {"Value": True}}
    assert refused(lambda: ec2.modify_subnet_attribute(SubnetId=subnet, **assign))[0] == "InvalidParameterCombination"
    assert refused(lambda: ec2.modify_subnet_attribute(SubnetId=f"subnet-{ABSENT}", **assign))[0] == (
        "InvalidSubnetID.NotFound"
    )
    assert refused(lambda: ec2.modify_subnet_attribute(SubnetId="subnet-", **assign))[0] == "InvalidSubnetID.NotFound"


def test_ipv6_networks_of_subnets_lie_in_the_vpcs(region: Region) -> None:
    ec2, vpc = region.ec2, new_vpc(region, AmazonProvidedIpv6CidrBlock=True)
    blocks = [str(one) for one in list(ipv6_of(region, vpc).subnets(new_prefix=64))[:3]]
    answer = made(region, vpc, "10.0.0.0/24", Ipv6CidrBlock=blocks[0])
    [block] = answer["Ipv6CidrBlockAssociationSet"]
    assert block["Ipv6CidrBlock"] == blocks[0] and block["Ipv6CidrBlockState"] == {"State": "associated"}
    assert region.network.plan(vpc).subnets[0].ipv6_cidr == blocks[0]
    assert refused(lambda: made(region, vpc, "10.0.1.0/24", Ipv6CidrBlock=blocks[0])) == (
        "InvalidSubnet.Conflict",
        f"The CIDR '{blocks[0]}' conflicts with another subnet",
        400,
    )
    assert refused(lambda: made(region, vpc, "10.0.1.0/24", Ipv6CidrBlock="2001:db8::/64"))[0] == "InvalidSubnet.Range"
    assert refused(lambda: made(region, vpc, "10.0.1.0/24", Ipv6CidrBlock="x"))[0] == "InvalidParameterValue"
    other = made(region, vpc, "10.0.1.0/24")["SubnetId"]
    added = ec2.associate_subnet_cidr_block(SubnetId=other, Ipv6CidrBlock=blocks[1])
    assert added["SubnetId"] == other
    association = added["Ipv6CidrBlockAssociation"]
    assert association["Ipv6CidrBlockState"] == {"State": "associating"}
    assert association["AssociationId"].startswith("subnet-cidr-assoc-")
    assert refused(lambda: ec2.associate_subnet_cidr_block(SubnetId=other, Ipv6CidrBlock=blocks[2]))[0] == (
        "CidrLimitExceeded"
    )
    ec2.modify_subnet_attribute(SubnetId=other, AssignIpv6AddressOnCreation={"Value": True})
    assert shown(region, other)["AssignIpv6AddressOnCreation"] is True
    filters = by("ipv6-cidr-block-association.ipv6-cidr-block", blocks[1])
    assert [one["SubnetId"] for one in ec2.describe_subnets(Filters=filters)["Subnets"]] == [other]
    [of_vpc] = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"]
    assert refused(lambda: ec2.disassociate_vpc_cidr_block(AssociationId=of_vpc["AssociationId"]))[0] == (
        "InvalidCidrBlock.InUse"
    )
    gone = ec2.disassociate_subnet_cidr_block(AssociationId=association["AssociationId"])
    assert gone["SubnetId"] == other
    assert gone["Ipv6CidrBlockAssociation"]["Ipv6CidrBlockState"] == {"State": "disassociating"}
    assert shown(region, other)["Ipv6CidrBlockAssociationSet"] == []
    assert shown(region, other)["AssignIpv6AddressOnCreation"] is False
    assert refused(lambda: ec2.disassociate_subnet_cidr_block(AssociationId=association["AssociationId"])) == (
        "InvalidSubnetCidrBlockAssociationID.NotFound",
        f"The subnet CIDR block with association ID '{association['AssociationId']}' does not exist",
        400,
    )


def test_subnets_are_found_page_by_page(region: Region) -> None:
    vpc = new_vpc(region)
    wanted = {made(region, vpc, f"10.0.{number}.0/24")["SubnetId"] for number in range(7)}
    of_vpc = by("vpc-id", vpc)
    first = region.ec2.describe_subnets(Filters=of_vpc, MaxResults=5)
    second = region.ec2.describe_subnets(Filters=of_vpc, MaxResults=5, NextToken=first["NextToken"])
    assert len(first["Subnets"]) == 5 and "NextToken" not in second
    assert {one["SubnetId"] for one in first["Subnets"] + second["Subnets"]} == wanted
