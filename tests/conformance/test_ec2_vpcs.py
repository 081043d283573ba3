"""VPCs and what belongs to them as a whole, as botocore's own client sees them."""

from typing import Any

import pytest

from .ec2_region import ABSENT, ACCOUNT, REGION, Region, by, ec2_region, refused

__all__ = ["ec2_region"]

NO_VPC = f"vpc-{ABSENT}"


def made(region: Region, cidr: str = "10.0.0.0/16", **more: Any) -> str:
    return str(region.ec2.create_vpc(CidrBlock=cidr, **more)["Vpc"]["VpcId"])


def shown(region: Region, vpc: str) -> dict[str, Any]:
    [found] = region.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    return dict(found)


def default_vpc(region: Region) -> str:
    [vpc] = region.ec2.describe_vpcs(Filters=by("is-default", "true"))["Vpcs"]
    return str(vpc["VpcId"])


def test_a_vpc_comes_with_its_table_acl_and_group_and_goes_with_them(region: Region) -> None:
    ec2 = region.ec2
    tags = [{"Key": "Name", "Value": "blue"}]
    answer = ec2.create_vpc(
        CidrBlock="10.0.3.7/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}], InstanceTenancy="default"
    )["Vpc"]
    vpc = answer["VpcId"]
    assert answer["State"] == "pending" and answer["CidrBlock"] == "10.0.0.0/16" and not answer["IsDefault"]
    found = shown(region, vpc)
    assert found == answer | {"State": "available"}
    assert found["Tags"] == tags and found["OwnerId"] == ACCOUNT and found["InstanceTenancy"] == "default"
    [block] = found["CidrBlockAssociationSet"]
    assert block["CidrBlock"] == "10.0.0.0/16" and block["CidrBlockState"] == {"State": "associated"}
    assert block["AssociationId"].startswith("vpc-cidr-assoc-")
    of_vpc = by("vpc-id", vpc)
    [table] = ec2.describe_route_tables(Filters=of_vpc)["RouteTables"]
    assert [route["DestinationCidrBlock"] for route in table["Routes"]] == ["10.0.0.0/16"]
    [group] = ec2.describe_security_groups(Filters=of_vpc)["SecurityGroups"]
    assert group["GroupName"] == "default" and group["Description"] == "default VPC security group"
    assert ec2.describe_subnets(Filters=of_vpc)["Subnets"] == []
    assert region.network.plan(vpc).cidrs == ("10.0.0.0/16",)
    ec2.delete_vpc(VpcId=vpc)
    assert refused(lambda: shown(region, vpc)) == (
        "InvalidVpcID.NotFound",
        f"The vpc ID '{vpc}' does not exist",
        400,
    )
    assert ec2.describe_security_groups(Filters=of_vpc)["SecurityGroups"] == []
    with pytest.raises(KeyError):
        region.network.plan(vpc)
    assert refused(lambda: ec2.delete_vpc(VpcId=vpc))[0] == "InvalidVpcID.NotFound"


def test_vpcs_of_one_network_live_side_by_side(region: Region) -> None:
    first, second = made(region), made(region)
    assert first != second
    assert {vpc["VpcId"] for vpc in region.ec2.describe_vpcs(Filters=by("cidr", "10.0.0.0/16"))["Vpcs"]} == {
        first,
        second,
    }


@pytest.mark.parametrize(
    ("params", "code", "text"),
    [
        ({}, "MissingParameter", "The request must contain the parameter cidrBlock"),
        ({"CidrBlock": "10.0.0.0/8"}, "InvalidVpc.Range", "The CIDR '10.0.0.0/8' is invalid."),
        ({"CidrBlock": "10.0.0.0/29"}, "InvalidVpc.Range", "The CIDR '10.0.0.0/29' is invalid."),
        ({"CidrBlock": "169.254.0.0/16"}, "InvalidVpc.Range", "The CIDR '169.254.0.0/16' is invalid."),
        ({"CidrBlock": "127.0.0.0/16"}, "InvalidVpc.Range", "The CIDR '127.0.0.0/16' is invalid."),
        (
            {"CidrBlock": "10.0.0.0/33"},
            "InvalidParameterValue",
            "Value (10.0.0.0/33) for parameter cidrBlock is invalid. This is not a valid CIDR block.",
        ),
        (
            {"CidrBlock": "10.0.0.0"},
            "InvalidParameterValue",
            "Value (10.0.0.0) for parameter cidrBlock is invalid. This is not a valid CIDR block.",
        ),
        (
            {"CidrBlock": "10.0.0.0/16", "InstanceTenancy": "dedicated"},
            "UnsupportedTenancy",
            "The tenancy value dedicated is not supported.",
        ),
        (
            {"Ipv4IpamPoolId": "ipam-pool-0", "Ipv4NetmaskLength": 20},
            "InvalidIpamPoolId.NotFound",
            "The allocation pool ID 'ipam-pool-0' does not exist.",
        ),
    ],
)
def test_what_no_vpc_is_made_of(region: Region, params: dict[str, Any], code: str, text: str) -> None:
    assert refused(lambda: region.ec2.create_vpc(**params)) == (code, text, 400)
    assert len(region.ec2.describe_vpcs()["Vpcs"]) == 1


def test_a_dry_run_makes_and_deletes_nothing(region: Region) -> None:
    ec2, vpc = region.ec2, made(region)
    for call in (
        lambda: ec2.create_vpc(CidrBlock="10.1.0.0/16", DryRun=True),
        lambda: ec2.delete_vpc(VpcId=vpc, DryRun=True),
        lambda: ec2.describe_vpcs(DryRun=True),
        lambda: ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24", DryRun=True),
        lambda: ec2.modify_vpc_tenancy(VpcId=vpc, InstanceTenancy="default", DryRun=True),
        lambda: ec2.describe_vpc_attribute(VpcId=vpc, Attribute="enableDnsSupport", DryRun=True),
        lambda: ec2.create_dhcp_options(DhcpConfigurations=[{"Key": "domain-name", "Values": ["a"]}], DryRun=True),
        lambda: ec2.associate_dhcp_options(VpcId=vpc, DhcpOptionsId="default", DryRun=True),
    ):
        assert refused(call)[0] == "DryRunOperation"
    assert len(ec2.describe_vpcs()["Vpcs"]) == 2 and ec2.describe_subnets(Filters=by("vpc-id", vpc))["Subnets"] == []
    assert refused(lambda: ec2.delete_vpc(VpcId=NO_VPC, DryRun=True))[0] == "InvalidVpcID.NotFound"


def test_five_vpcs_and_no_more(region: Region) -> None:
    for _ in range(4):
        made(region)
    assert refused(lambda: made(region)) == ("VpcLimitExceeded", "The maximum number of VPCs has been reached.", 400)


def test_a_vpc_with_something_in_it_stays(region: Region) -> None:
    ec2, vpc = region.ec2, made(region)
    refusal = ("DependencyViolation", f"The vpc '{vpc}' has dependencies and cannot be deleted.", 400)

    def stays_until(gone: Any) -> None:
        assert refused(lambda: ec2.delete_vpc(VpcId=vpc)) == refusal
        gone()

    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    stays_until(lambda: ec2.delete_subnet(SubnetId=subnet))
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    stays_until(lambda: ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc))
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    stays_until(lambda: ec2.delete_route_table(RouteTableId=table))
    group = ec2.create_security_group(VpcId=vpc, GroupName="web", Description="x")["GroupId"]
    stays_until(lambda: ec2.delete_security_group(GroupId=group))
    ec2.delete_vpc(VpcId=vpc)


def test_names_and_metrics_are_switched_one_at_a_time(region: Region) -> None:
    ec2, vpc = region.ec2, made(region)

    def values() -> list[bool]:
        return [
            ec2.describe_vpc_attribute(VpcId=vpc, Attribute=name)[name[0].upper() + name[1:]]["Value"]
            for name in ("enableDnsSupport", "enableDnsHostnames", "enableNetworkAddressUsageMetrics")
        ]

    assert values() == [True, False, False]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    ec2.modify_vpc_attribute(VpcId=vpc, EnableNetworkAddressUsageMetrics={"Value": True})
    assert values() == [True, True, True]
    dns = region.network.plan(vpc).dns
    assert dns is not None and dns.support and dns.hostnames
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": False})
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": False})
    assert values() == [False, False, True]
    dns = region.network.plan(vpc).dns
    assert dns is not None and not dns.support and not dns.hostnames
    assert refused(lambda: ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True}))[0] == (
        "InvalidParameterCombination"
    )
    both = {"EnableDnsHostnames": {"Value": True}, "EnableDnsSupport": {"Value": True}}
    assert refused(lambda: ec2.modify_vpc_attribute(VpcId=vpc, **both))[0] == "InvalidParameterCombination"
    assert refused(lambda: ec2.modify_vpc_attribute(VpcId=vpc))[0] == "MissingParameter"
    assert refused(lambda: ec2.modify_vpc_attribute(VpcId=NO_VPC, EnableDnsSupport={"Value": True}))[0] == (
        "InvalidVpcID.NotFound"
    )
    assert refused(lambda: ec2.describe_vpc_attribute(VpcId="vpc-x", Attribute="enableDnsSupport"))[0] == (
        "InvalidVpcID.NotFound"
    )
    assert ec2.describe_vpc_attribute(VpcId=default_vpc(region), Attribute="enableDnsHostnames") | {
        "ResponseMetadata": None
    } == {"VpcId": default_vpc(region), "EnableDnsHostnames": {"Value": True}, "ResponseMetadata": None}


def test_tenancy_is_always_the_default_one(region: Region) -> None:
    ec2, vpc = region.ec2, made(region)
    assert ec2.modify_vpc_tenancy(VpcId=vpc, InstanceTenancy="default")["ReturnValue"] is True
    assert refused(lambda: ec2.modify_vpc_tenancy(VpcId=NO_VPC, InstanceTenancy="default"))[0] == (
        "InvalidVpcID.NotFound"
    )


def test_further_networks_come_and_go(region: Region) -> None:
    ec2, vpc = region.ec2, made(region)
    added = ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.1.0.9/16")
    block = added["CidrBlockAssociation"]
    assert added["VpcId"] == vpc and block["CidrBlock"] == "10.1.0.0/16"
    assert block["CidrBlockState"] == {"State": "associating"}
    found = shown(region, vpc)
    assert found["CidrBlock"] == "10.0.0.0/16"
    assert [one["CidrBlock"] for one in found["CidrBlockAssociationSet"]] == ["10.0.0.0/16", "10.1.0.0/16"]
    assert region.network.plan(vpc).cidrs == ("10.0.0.0/16", "10.1.0.0/16")
    assert [
        one["VpcId"] for one in ec2.describe_vpcs(Filters=by("cidr-block-association.cidr-block", "10.1.*"))["Vpcs"]
    ] == [vpc]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.4.0/24")["Subnet"]["SubnetId"]
    association = block["AssociationId"]
    assert refused(lambda: ec2.disassociate_vpc_cidr_block(AssociationId=association)) == (
        "InvalidCidrBlock.InUse",
        f"The vpc {vpc} currently has a subnet within CIDR block 10.1.0.0/16",
        400,
    )
    ec2.delete_subnet(SubnetId=subnet)
    gone = ec2.disassociate_vpc_cidr_block(AssociationId=association)["CidrBlockAssociation"]
    assert gone == block | {"CidrBlockState": {"State": "disassociating"}}
    assert [one["CidrBlock"] for one in shown(region, vpc)["CidrBlockAssociationSet"]] == ["10.0.0.0/16"]
    assert refused(lambda: ec2.disassociate_vpc_cidr_block(AssociationId=association)) == (
        "InvalidVpcCidrBlockAssociationID.NotFound",
        f"The vpc CIDR block association ID '{association}' does not exist",
        400,
    )
    [primary] = shown(region, vpc)["CidrBlockAssociationSet"]
    assert refused(lambda: ec2.disassociate_vpc_cidr_block(AssociationId=primary["AssociationId"])) == (
        "OperationNotPermitted",
        f"The vpc CIDR block with association ID {primary['AssociationId']} may not be disassociated. It is the "
        "primary IPv4 CIDR block of the VPC",
        400,
    )


def test_which_further_networks_a_vpc_may_not_have(region: Region) -> None:
    ec2, vpc = region.ec2, made(region)
    code, text, _ = refused(lambda: ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="192.168.0.0/16"))
    assert code == "InvalidVpc.Range" and text.startswith(
        "The CIDR '192.168.0.0/16' is restricted. Use a CIDR from the same private address range as the current VPC "
        "CIDR, or use a publicly-routable CIDR."
    )
    assert refused(lambda: ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.0.0.0/16"))[0] == "InvalidVpc.Range"
    assert refused(lambda: ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.0.0.0/29"))[0] == "InvalidVpc.Range"
    for cidr in ("100.64.0.0/16", "10.2.0.0/16", "203.0.112.0/22", "10.3.0.0/28"):
        ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock=cidr)
    assert refused(lambda: ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.4.0.0/16")) == (
        "CidrLimitExceeded",
        f"This network {vpc} has met its maximum number of allowed CIDRs: 5",
        400,
    )
    assert refused(lambda: ec2.associate_vpc_cidr_block(VpcId=vpc))[0] == "MissingParameter"
    assert refused(lambda: ec2.associate_vpc_cidr_block(VpcId=NO_VPC, CidrBlock="10.4.0.0/16"))[0] == (
        "InvalidVpcID.NotFound"
    )


def test_ipv6_networks_are_the_regions_own(region: Region) -> None:
    ec2 = region.ec2
    answer = ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]
    [block] = answer["Ipv6CidrBlockAssociationSet"]
    assert block["Ipv6CidrBlockState"] == {"State": "associating"} and block["Ipv6Pool"] == "Amazon"
    assert block["Ipv6CidrBlock"].startswith("fd") and block["Ipv6CidrBlock"].endswith("/56")
    assert block["NetworkBorderGroup"] == REGION
    vpc = answer["VpcId"]
    [associated] = shown(region, vpc)["Ipv6CidrBlockAssociationSet"]
    assert associated == block | {"Ipv6CidrBlockState": {"State": "associated"}}
    assert region.network.plan(vpc).cidrs == ("10.0.0.0/16", block["Ipv6CidrBlock"])
    [group] = ec2.describe_security_groups(Filters=by("vpc-id", vpc))["SecurityGroups"]
    assert [one["CidrIpv6"] for one in group["IpPermissionsEgress"][0]["Ipv6Ranges"]] == ["::/0"]
    other = made(region)
    second = ec2.associate_vpc_cidr_block(VpcId=other, AmazonProvidedIpv6CidrBlock=True)["Ipv6CidrBlockAssociation"]
    assert second["Ipv6CidrBlockState"] == {"State": "associating"}
    assert second["Ipv6CidrBlock"] != block["Ipv6CidrBlock"]
    [group] = ec2.describe_security_groups(Filters=by("vpc-id", other))["SecurityGroups"]
    assert [one["CidrIpv6"] for one in group["IpPermissionsEgress"][0]["Ipv6Ranges"]] == ["::/0"]
    filters = by("ipv6-cidr-block-association.ipv6-cidr-block", second["Ipv6CidrBlock"])
    assert [one["VpcId"] for one in ec2.describe_vpcs(Filters=filters)["Vpcs"]] == [other]
    gone = ec2.disassociate_vpc_cidr_block(AssociationId=second["AssociationId"])["Ipv6CidrBlockAssociation"]
    assert gone["Ipv6CidrBlockState"] == {"State": "disassociating"}
    assert "Ipv6CidrBlockAssociationSet" not in shown(region, other)
    both = {"CidrBlock": "10.9.0.0/16", "AmazonProvidedIpv6CidrBlock": True}
    assert refused(lambda: ec2.associate_vpc_cidr_block(VpcId=other, **both))[0] == "InvalidParameterCombination"
    assert refused(lambda: ec2.associate_vpc_cidr_block(VpcId=other, Ipv6Pool="ipv6pool-ec2-0"))[0] == (
        "InvalidIpv6PoolID.NotFound"
    )


def test_the_default_vpc_goes_and_comes_again(region: Region) -> None:
    ec2, old = region.ec2, default_vpc(region)
    assert refused(ec2.create_default_vpc) == (
        "DefaultVpcAlreadyExists",
        "A Default VPC already exists for this account in this region.",
        400,
    )
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    [gateway] = ec2.describe_internet_gateways()["InternetGateways"]
    ec2.detach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=old)
    ec2.delete_vpc(VpcId=old)
    assert ec2.describe_vpcs()["Vpcs"] == []
    assert refused(lambda: ec2.create_default_subnet(AvailabilityZone="us-east-1a")) == (
        "DefaultVpcDoesNotExist",
        "No default VPC exists for this account in this region.",
        400,
    )
    answer = ec2.create_default_vpc()["Vpc"]
    assert answer["IsDefault"] and answer["CidrBlock"] == "172.31.0.0/16" and answer["VpcId"] != old
    subnets = ec2.describe_subnets(Filters=by("default-for-az", "true"))["Subnets"]
    assert sorted((one["AvailabilityZone"], one["CidrBlock"]) for one in subnets) == [
        ("us-east-1a", "172.31.0.0/20"),
        ("us-east-1b", "172.31.16.0/20"),
    ]
    [table] = ec2.describe_route_tables(Filters=by("vpc-id", answer["VpcId"]))["RouteTables"]
    assert [route["DestinationCidrBlock"] for route in table["Routes"]] == ["172.31.0.0/16", "0.0.0.0/0"]


def test_classic_links_are_not_available_here(region: Region) -> None:
    for call in (region.ec2.describe_vpc_classic_link, region.ec2.describe_vpc_classic_link_dns_support):
        assert refused(call) == (
            "UnsupportedOperation",
            "The functionality you requested is not available in this region.",
            400,
        )


def test_regions_know_no_other(region: Region) -> None:
    ec2 = region.ec2
    [found] = ec2.describe_regions()["Regions"]
    assert found == {
        "RegionName": REGION,
        "Endpoint": "ec2.us-east-1.amazonaws.com",
        "OptInStatus": "opt-in-not-required",
    }
    assert ec2.describe_regions(Filters=by("region-name", "eu-*"))["Regions"] == []
    assert ec2.describe_regions(RegionNames=[REGION], AllRegions=True)["Regions"] == [found]
    assert refused(lambda: ec2.describe_regions(RegionNames=["eu-west-1"]))[0] == "InvalidParameterValue"


def test_an_account_tells_its_platform_and_its_default_vpc(region: Region) -> None:
    def values(**params: Any) -> dict[str, list[str]]:
        return {
            one["AttributeName"]: [value["AttributeValue"] for value in one["AttributeValues"]]
            for one in region.ec2.describe_account_attributes(**params)["AccountAttributes"]
        }

    assert values(AttributeNames=["supported-platforms"]) == {"supported-platforms": ["VPC"]}
    everything = values()
    assert everything["default-vpc"] == [default_vpc(region)]
    assert everything["vpc-max-security-groups-per-interface"] == ["5"] and everything["max-elastic-ips"] == ["5"]


DNS = [
    {"Key": "domain-name", "Values": ["corp.example"]},
    {"Key": "domain-name-servers", "Values": ["10.0.0.2", "10.0.1.2"]},
]


def test_options_are_made_given_to_vpcs_and_taken_away(region: Region) -> None:
    ec2, vpc = region.ec2, made(region)
    [first] = ec2.describe_dhcp_options()["DhcpOptions"]
    assert {one["Key"]: one["Values"] for one in first["DhcpConfigurations"]} == {
        "domain-name": [{"Value": "ec2.internal"}],
        "domain-name-servers": [{"Value": "AmazonProvidedDNS"}],
    }
    assert shown(region, vpc)["DhcpOptionsId"] == first["DhcpOptionsId"]
    tags = [{"Key": "Name", "Value": "corp"}]
    answer = ec2.create_dhcp_options(
        DhcpConfigurations=DNS, TagSpecifications=[{"ResourceType": "dhcp-options", "Tags": tags}]
    )["DhcpOptions"]
    options = answer["DhcpOptionsId"]
    assert options.startswith("dopt-0") and answer["Tags"] == tags
    assert ec2.describe_dhcp_options(DhcpOptionsIds=[options])["DhcpOptions"] == [answer]
    for filters in (by("key", "domain-n*"), by("value", "corp.*"), by("tag:Name", "corp"), by("owner-id", ACCOUNT)):
        assert options in [one["DhcpOptionsId"] for one in ec2.describe_dhcp_options(Filters=filters)["DhcpOptions"]]
    ec2.associate_dhcp_options(DhcpOptionsId=options, VpcId=vpc)
    assert shown(region, vpc)["DhcpOptionsId"] == options
    assert refused(lambda: ec2.delete_dhcp_options(DhcpOptionsId=options)) == (
        "DependencyViolation",
        f"The dhcpOptions '{options}' has dependencies and cannot be deleted.",
        400,
    )
    ec2.associate_dhcp_options(DhcpOptionsId="default", VpcId=vpc)
    assert shown(region, vpc)["DhcpOptionsId"] == "default"
    ec2.delete_dhcp_options(DhcpOptionsId=options)
    missing = ("InvalidDhcpOptionID.NotFound", f"The dhcpOption ID '{options}' does not exist", 400)
    assert refused(lambda: ec2.describe_dhcp_options(DhcpOptionsIds=[options])) == missing
    assert refused(lambda: ec2.delete_dhcp_options(DhcpOptionsId=options)) == missing
    assert refused(lambda: ec2.associate_dhcp_options(DhcpOptionsId=options, VpcId=vpc)) == missing
    assert refused(lambda: ec2.delete_dhcp_options(DhcpOptionsId="x"))[0] == "InvalidDhcpOptionsId.Malformed"


@pytest.mark.parametrize(
    "configurations",
    [
        [{"Key": "netbios-node-type", "Values": ["3"]}],
        [{"Key": "domain-name", "Values": ["a", "b"]}],
        [{"Key": "color", "Values": ["blue"]}],
        [{"Key": "ntp-servers", "Values": ["pool.example"]}],
        [{"Key": "domain-name", "Values": ["a"]}, {"Key": "domain-name", "Values": ["b"]}],
    ],
)
def test_options_that_are_none(region: Region, configurations: list[dict[str, Any]]) -> None:
    assert refused(lambda: region.ec2.create_dhcp_options(DhcpConfigurations=configurations))[0] == (
        "InvalidParameterValue"
    )
    assert len(region.ec2.describe_dhcp_options()["DhcpOptions"]) == 1


@pytest.mark.parametrize("cidr", ["198.18.0.0/16", "198.18.0.128/28", "198.18.0.0/24"])
def test_no_vpc_has_the_region_s_public_addresses(region: Region, cidr: str) -> None:
    """They lead out of every VPC: whoever had them inside would reach nobody's load balancer or task by them."""
    refusal = (
        "InvalidVpc.Range",
        f"The CIDR '{cidr}' conflicts with the public IP addresses of this Region, '198.18.0.0/24'",
        400,
    )
    assert refused(lambda: region.ec2.create_vpc(CidrBlock=cidr)) == refusal
    vpc = made(region, "100.64.0.0/16")
    assert refused(lambda: region.ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock=cidr)) == refusal
    assert region.ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="198.18.1.0/24")["VpcId"] == vpc
