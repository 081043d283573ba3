"""Interface endpoints of the region's own services as botocore's own client sees them; places come by the real loop."""

import json
from typing import Any

import pytest

from .ec2_region import ABSENT, ACCOUNT, REGION, ZONES, Region, by, ec2_region, refused
from .test_ec2_addresses import look
from .test_ec2_routes import other_vpc, tags, vpc_id

__all__ = ["ec2_region"]

ECS, LOGS = f"com.amazonaws.{REGION}.ecs", f"com.amazonaws.{REGION}.logs"


def subnet(region: Region, zone: int = 0) -> str:
    return region.network.subnets(ACCOUNT)[zone].name


def group(region: Region, name: str = "endpoints", vpc: str | None = None) -> str:
    made = region.ec2.create_security_group(GroupName=name, Description="x", VpcId=vpc or vpc_id(region))
    return str(made["GroupId"])


def create(region: Region, **given: Any) -> dict[str, Any]:
    wanted = {"VpcId": vpc_id(region), "ServiceName": ECS, "VpcEndpointType": "Interface"} | given
    return dict(region.ec2.create_vpc_endpoint(**wanted)["VpcEndpoint"])


def seen(region: Region, endpoint_id: str) -> dict[str, Any]:
    [found] = region.ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint_id])["VpcEndpoints"]
    return dict(found)


def interfaces(region: Region, endpoint_id: str) -> list[dict[str, Any]]:
    filters = by("description", f"VPC Endpoint Interface {endpoint_id}")
    return list(region.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"])


def free(region: Region, subnet_id: str) -> int:
    return int(region.ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]["AvailableIpAddressCount"])


def modify(region: Region, endpoint_id: str, **changes: Any) -> None:
    assert region.ec2.modify_vpc_endpoint(VpcEndpointId=endpoint_id, **changes)["Return"] is True
    look(region)


def test_an_endpoint_is_made_gets_its_addresses_and_is_deleted(region: Region) -> None:
    one, two, mine = subnet(region), subnet(region, 1), group(region)
    before = free(region, one)
    made = create(region, SubnetIds=[one, two], SecurityGroupIds=[mine], ClientToken="a")
    vpce = made["VpcEndpointId"]
    assert made["State"] == "pending" and made["NetworkInterfaceIds"] == [] and made["PrivateDnsEnabled"] is True
    assert made["SubnetIds"] == [one, two] and made["RouteTableIds"] == [] and made["IpAddressType"] == "ipv4"
    assert made["Groups"] == [{"GroupId": mine, "GroupName": "endpoints"}]
    assert json.loads(made["PolicyDocument"])["Statement"][0]["Effect"] == "Allow"
    assert create(region, ClientToken="a")["VpcEndpointId"] == vpce
    assert refused(lambda: create(region, ServiceName=LOGS, ClientToken="a"))[0] == "IdempotentParameterMismatch"
    look(region)
    found = seen(region, vpce)
    assert found["State"] == "available" and free(region, one) == before - 1
    enis = interfaces(region, vpce)
    assert sorted(found["NetworkInterfaceIds"]) == sorted(one["NetworkInterfaceId"] for one in enis)
    assert {eni["SubnetId"] for eni in enis} == {one, two}
    for eni in enis:
        assert eni["InterfaceType"] == "vpc_endpoint" and eni["RequesterManaged"] is eni["SourceDestCheck"] is True
        assert eni["Groups"] == [{"GroupId": mine, "GroupName": "endpoints"}] and eni["Status"] == "in-use"
    assert region.ec2.delete_vpc_endpoints(VpcEndpointIds=[vpce])["Unsuccessful"] == []
    assert seen(region, vpce)["State"] == "deleting"
    look(region)
    assert refused(lambda: seen(region, vpce))[0] == "InvalidVpcEndpointId.NotFound"
    assert interfaces(region, vpce) == [] and free(region, one) == before


def test_names_lead_to_the_addresses(region: Region) -> None:
    vpce = create(region, SubnetIds=[subnet(region), subnet(region, 1)])["VpcEndpointId"]
    look(region)
    addresses = {eni["AvailabilityZone"]: eni["PrivateIpAddress"] for eni in interfaces(region, vpce)}
    names = [entry["DnsName"] for entry in seen(region, vpce)["DnsEntries"]]
    whole, *zonal, private = names
    assert whole.startswith(f"{vpce}-") and whole.endswith(f".ecs.{REGION}.vpce.amazonaws.com")
    assert private == f"ecs.{REGION}.amazonaws.com"
    assert zonal == [whole.replace(".", f"-{zone}.", 1) for zone, _ in ZONES]
    plan = region.network.plan(vpc_id(region))
    assert plan.dns is not None
    told = [(name, address) for name, address in plan.dns.endpoints if name != "neargate.internal"]
    both = list(addresses.values())
    assert sorted(told) == sorted(
        [(name, address) for name in (whole, private) for address in both]
        + [(name, addresses[zone]) for name, (zone, _) in zip(zonal, ZONES, strict=True)]
    )
    assert {(one.endpoint_id, one.service, one.private_ipv4) for one in plan.endpoints} == {
        (vpce, "ecs", address) for address in both
    }
    modify(region, vpce, PrivateDnsEnabled=False)
    assert [entry["DnsName"] for entry in seen(region, vpce)["DnsEntries"]] == names[:-1]
    changed = region.network.plan(vpc_id(region)).dns
    assert changed is not None and private not in dict(changed.endpoints)


def test_the_default_group_and_an_endpoint_without_subnets(region: Region) -> None:
    made = create(region, PrivateDnsEnabled=False)
    assert made["State"] == "available" and [one["GroupName"] for one in made["Groups"]] == ["default"]
    assert region.ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])["Unsuccessful"] == []
    assert region.ec2.describe_vpc_endpoints()["VpcEndpoints"] == []


def test_subnets_and_groups_come_and_go(region: Region) -> None:
    one, two, mine = subnet(region), subnet(region, 1), group(region)
    vpce = create(region, SubnetIds=[one])["VpcEndpointId"]
    look(region)
    [default] = seen(region, vpce)["Groups"]
    [first] = interfaces(region, vpce)
    region.ec2.modify_vpc_endpoint(VpcEndpointId=vpce, AddSubnetIds=[two], AddSecurityGroupIds=[mine])
    assert seen(region, vpce)["State"] == "pending" and seen(region, vpce)["NetworkInterfaceIds"] == [
        first["NetworkInterfaceId"]
    ]
    look(region)
    assert seen(region, vpce)["State"] == "available" and len(interfaces(region, vpce)) == 2
    assert {one["GroupId"] for one in seen(region, vpce)["Groups"]} == {default["GroupId"], mine}
    modify(region, vpce, RemoveSubnetIds=[one], RemoveSecurityGroupIds=[default["GroupId"]])
    [left] = interfaces(region, vpce)
    assert left["SubnetId"] == two and [one["GroupId"] for one in left["Groups"]] == [mine]
    modify(region, vpce, AddSubnetIds=[one], RemoveSubnetIds=[two])
    [again] = interfaces(region, vpce)
    assert again["SubnetId"] == one and again["NetworkInterfaceId"] != first["NetworkInterfaceId"]
    last = lambda: modify(region, vpce, RemoveSecurityGroupIds=[mine])  # noqa: E731
    assert refused(last)[0] == "InvalidParameter"
    for wrong in ({"RemoveSubnetIds": [two]}, {"RemoveSecurityGroupIds": [default["GroupId"]]}):
        assert refused(lambda w=wrong: modify(region, vpce, **w))[0] == "InvalidParameter"  # type: ignore[misc]


def test_one_subnet_in_a_zone(region: Region) -> None:
    cidr = "172.31.240.0/24"
    third = region.ec2.create_subnet(VpcId=vpc_id(region), CidrBlock=cidr, AvailabilityZone=ZONES[0][0])["Subnet"]
    text = (
        "DuplicateSubnetsInSameZone",
        f"Found another VPC endpoint subnet in the availability zone of {third['SubnetId']}. VPC endpoint subnets "
        "should be in different availability zones supported by the VPC endpoint service.",
        400,
    )
    assert refused(lambda: create(region, SubnetIds=[subnet(region), third["SubnetId"]])) == text
    vpce = create(region, SubnetIds=[subnet(region)])["VpcEndpointId"]
    assert refused(lambda: modify(region, vpce, AddSubnetIds=[third["SubnetId"]])) == text
    modify(region, vpce, AddSubnetIds=[third["SubnetId"]], RemoveSubnetIds=[subnet(region)])
    assert seen(region, vpce)["SubnetIds"] == [third["SubnetId"]]


def test_private_names_are_one_endpoints_and_need_the_vpcs_attributes(region: Region) -> None:
    mine = vpc_id(region)
    first = create(region)["VpcEndpointId"]
    conflict = (
        "InvalidParameter",
        "private-dns-enabled cannot be set because there is already a conflicting DNS domain for "
        f"ecs.{REGION}.amazonaws.com in the VPC {mine}",
        400,
    )
    assert refused(lambda: create(region)) == conflict
    other = create(region, PrivateDnsEnabled=False)["VpcEndpointId"]
    assert refused(lambda: modify(region, other, PrivateDnsEnabled=True)) == conflict
    region.ec2.delete_vpc_endpoints(VpcEndpointIds=[first])
    modify(region, other, PrivateDnsEnabled=True)
    far = other_vpc(region)
    assert refused(lambda: create(region, VpcId=far)) == (
        "InvalidParameter",
        "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for "
        f"{far}",
        400,
    )


def test_what_is_in_use_stays(region: Region) -> None:
    own, mine = subnet(region), group(region)
    vpce = create(region, SubnetIds=[own], SecurityGroupIds=[mine])["VpcEndpointId"]
    look(region)
    [eni] = interfaces(region, vpce)
    for call in (
        lambda: region.ec2.delete_subnet(SubnetId=own),
        lambda: region.ec2.delete_security_group(GroupId=mine),
        lambda: region.ec2.delete_vpc(VpcId=vpc_id(region)),
    ):
        assert refused(call)[0] == "DependencyViolation"
    delete = region.ec2.delete_network_interface
    assert refused(lambda: delete(NetworkInterfaceId=eni["NetworkInterfaceId"]))[0] == "InvalidParameterValue"
    region.ec2.delete_vpc_endpoints(VpcEndpointIds=[vpce])
    assert refused(lambda: region.ec2.delete_subnet(SubnetId=own))[0] == "DependencyViolation"
    look(region)
    region.ec2.delete_security_group(GroupId=mine)
    region.ec2.delete_subnet(SubnetId=own)


def test_chosen_addresses_and_subnets_without_any(region: Region) -> None:
    own = subnet(region)
    config = {"SubnetId": own, "Ipv4": "172.31.0.77"}
    vpce = create(region, SubnetConfigurations=[config])["VpcEndpointId"]
    look(region)
    [eni] = interfaces(region, vpce)
    assert eni["PrivateIpAddress"] == "172.31.0.77"
    taken = create(region, ServiceName=LOGS, SubnetConfigurations=[config])["VpcEndpointId"]
    look(region)
    found = seen(region, taken)
    assert found["State"] == "failed" and found["LastError"]["Code"] == "InvalidIPAddress.InUse"
    assert interfaces(region, taken) == []
    for address in ("10.0.0.1", "172.31.0.1", "x"):
        wrong = {"SubnetId": own, "Ipv4": address}
        bad = refused(lambda w=wrong: create(region, SubnetConfigurations=[w], PrivateDnsEnabled=False))  # type: ignore[misc]
        assert bad[0] == "InvalidParameterValue"
    assert refused(lambda: modify(region, taken, AddSubnetIds=[own]))[0] == "InvalidParameter"
    region.ec2.delete_vpc_endpoints(VpcEndpointIds=[taken])
    look(region)
    assert refused(lambda: seen(region, taken))[0] == "InvalidVpcEndpointId.NotFound"


def test_an_endpoint_goes_on_without_a_subnet_that_is_full(region: Region) -> None:
    make = region.ec2.create_subnet
    small = make(VpcId=vpc_id(region), CidrBlock="172.31.240.0/28", AvailabilityZone=ZONES[1][0])["Subnet"]["SubnetId"]
    logs = [create(region, SubnetIds=[small], PrivateDnsEnabled=False)["VpcEndpointId"] for _ in range(11)]
    look(region)
    assert free(region, small) == 0 and seen(region, logs[-1])["State"] == "available"
    vpce = create(region, SubnetIds=[subnet(region)])["VpcEndpointId"]
    look(region)
    modify(region, vpce, AddSubnetIds=[small])
    found = seen(region, vpce)
    assert found["State"] == "available" and found["SubnetIds"] == [subnet(region)]
    assert found["LastError"]["Code"] == "InsufficientFreeAddressesInSubnet"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"SubnetIds": ["x"]}, "InvalidSubnetID.NotFound"),
        ({"SubnetIds": [f"subnet-{ABSENT}"]}, "InvalidSubnetID.NotFound"),
        ({"SecurityGroupIds": ["x"]}, "InvalidGroupId.Malformed"),
        ({"SecurityGroupIds": [f"sg-{ABSENT}"]}, "InvalidGroup.NotFound"),
        ({"VpcId": f"vpc-{ABSENT}"}, "InvalidVpcID.NotFound"),
        ({"RouteTableIds": [f"rtb-{ABSENT}"]}, "InvalidParameter"),
        ({"IpAddressType": "dualstack"}, "UnsupportedOperation"),
        ({"DnsOptions": {"DnsRecordIpType": "ipv6"}}, "UnsupportedOperation"),
        ({"DnsOptions": {"PrivateDnsOnlyForInboundResolverEndpoint": True}}, "UnsupportedOperation"),
        ({"SubnetConfigurations": [{"SubnetId": f"subnet-{ABSENT}", "Ipv6": "::1"}]}, "UnsupportedOperation"),
        ({"SubnetConfigurations": [{"Ipv4": "172.31.0.9"}]}, "MissingParameter"),
        (
            {"SubnetConfigurations": [{"SubnetId": f"subnet-{ABSENT}", "Ipv4": f"172.31.0.{n}"} for n in (9, 10)]},
            "InvalidParameter",
        ),
        ({"VpcEndpointType": "GatewayLoadBalancer"}, "UnsupportedOperation"),
        ({"PolicyDocument": "{"}, "InvalidPolicyDocument"),
        ({"ServiceName": f"com.amazonaws.{REGION}.s3"}, "UnsupportedOperation"),
        ({"ServiceName": f"com.amazonaws.{REGION}.lambda"}, "InvalidServiceName"),
    ],
)
def test_endpoints_that_are_not_made(region: Region, params: dict[str, Any], code: str) -> None:
    assert refused(lambda: create(region, **params))[0] == code
    assert region.ec2.describe_vpc_endpoints()["VpcEndpoints"] == []


def test_subnets_and_groups_are_the_vpcs_own(region: Region) -> None:
    far = other_vpc(region)
    foreign = region.ec2.create_subnet(VpcId=far, CidrBlock=_cidr(region, far), AvailabilityZone=ZONES[0][0])["Subnet"]
    assert refused(lambda: create(region, SubnetIds=[foreign["SubnetId"]]))[0] == "InvalidParameter"
    assert refused(lambda: create(region, SecurityGroupIds=[group(region, "far", far)]))[0] == "InvalidParameter"


def _cidr(region: Region, vpc: str) -> str:
    whole = region.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["CidrBlock"]
    return f"{whole.partition('/')[0]}/24"


def test_they_pass_filters_and_dry_runs(region: Region) -> None:
    made = create(region, TagSpecifications=tags("vpc-endpoint", Name="ecs"))
    create(region, ServiceName=LOGS)
    describe = region.ec2.describe_vpc_endpoints
    for name, value in (("service-name", ECS), ("tag:Name", "ecs"), ("vpc-endpoint-id", made["VpcEndpointId"])):
        assert describe(Filters=by(name, value))["VpcEndpoints"] == [made], name
    assert len(describe(Filters=by("vpc-endpoint-type", "Interface"))["VpcEndpoints"]) == 2
    assert refused(lambda: create(region, ServiceName=LOGS, PrivateDnsEnabled=False, DryRun=True))[0] == (
        "DryRunOperation"
    )


def test_services_are_described(region: Region) -> None:
    describe = region.ec2.describe_vpc_endpoint_services
    [found] = describe(ServiceNames=[ECS])["ServiceDetails"]
    assert found["ServiceType"] == [{"ServiceType": "Interface"}] and found["Owner"] == "amazon"
    assert found["PrivateDnsName"] == f"ecs.{REGION}.amazonaws.com" and found["VpcEndpointPolicySupported"] is True
    assert found["BaseEndpointDnsNames"] == [f"ecs.{REGION}.vpce.amazonaws.com"]
    [images] = describe(ServiceNames=[f"com.amazonaws.{REGION}.ecr.dkr"])["ServiceDetails"]
    assert images["PrivateDnsName"] == f"*.dkr.ecr.{REGION}.amazonaws.com"
    named = describe(Filters=by("service-type", "Interface"))["ServiceNames"]
    assert ECS in named and f"com.amazonaws.{REGION}.s3" not in named
