"""Load balancers as boto3 sees them: made, found, changed and deleted, in AWS's words."""

import re
from typing import Any

import pytest

from .ec2_region import ACCOUNT, REGION, Region, ec2_region, refused
from .elbv2_parts import NO_ID, PLACES, Parts, told

__all__ = ("ec2_region",)
ELB = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}"
NOTHING = f"{ELB}:loadbalancer/app/none/{NO_ID}"


@pytest.fixture
def parts(region: Region) -> Parts:
    return Parts(region)


def test_an_application_load_balancer_is_shown_as_aws_shows_it(parts: Parts) -> None:
    made = parts.balancer(Tags=[{"Key": "team", "Value": "a"}])
    number = made["LoadBalancerArn"].rpartition("/")[2]
    assert re.fullmatch("[0-9a-f]{16}", number)
    assert made["LoadBalancerArn"] == f"{ELB}:loadbalancer/app/web/{number}"
    assert re.fullmatch(rf"web-[0-9]{{1,10}}\.{REGION}\.elb\.amazonaws\.com", made["DNSName"])
    assert made["CreatedTime"].tzinfo is not None
    assert {name: made[name] for name in made.keys() - {"LoadBalancerArn", "DNSName", "CreatedTime"}} == {
        "CanonicalHostedZoneId": "Z35SXDOTRQ7X7K",
        "LoadBalancerName": "web",
        "Scheme": "internet-facing",
        "VpcId": parts.vpc,
        "State": {"Code": "provisioning"},
        "Type": "application",
        "AvailabilityZones": [
            {"ZoneName": PLACES[0], "SubnetId": parts.one, "LoadBalancerAddresses": []},
            {"ZoneName": PLACES[1], "SubnetId": parts.two, "LoadBalancerAddresses": []},
        ],
        "SecurityGroups": [parts.group],
        "IpAddressType": "ipv4",
        "EnablePrefixForIpv6SourceNat": "off",
    }
    assert parts.elb.describe_load_balancers(Names=["web"])["LoadBalancers"] == [made]
    assert parts.elb.describe_load_balancers(LoadBalancerArns=[made["LoadBalancerArn"]])["LoadBalancers"] == [made]
    assert parts.elb.describe_load_balancers()["LoadBalancers"] == [made]


def test_internal_ones_have_internal_names_and_need_no_gateway(region: Region) -> None:
    parts = Parts(region, gateway=False)
    assert parts.balancer(Scheme="internal")["DNSName"].startswith("internal-web-")
    found = refused(lambda: parts.balancer("public"))
    assert found == ("InvalidSubnet", f"VPC {parts.vpc} has no internet gateway", 400)


def test_a_network_load_balancer_takes_one_zone_and_chosen_addresses(parts: Parts) -> None:
    plain = parts.network_balancer()
    number = plain["LoadBalancerArn"].rpartition("/")[2]
    assert plain["DNSName"] == f"net-{number}.elb.{REGION}.amazonaws.com"
    assert "SecurityGroups" not in plain and plain["LoadBalancerArn"].startswith(f"{ELB}:loadbalancer/net/net/")
    address = parts.ec2.allocate_address()
    mapping: list[dict[str, Any]] = [{"SubnetId": parts.one, "AllocationId": address["AllocationId"]}]
    found = parts.network_balancer("elastic", Subnets=[], SubnetMappings=mapping)
    [zone] = found["AvailabilityZones"]
    assert zone["LoadBalancerAddresses"] == [
        {"IpAddress": address["PublicIp"], "AllocationId": address["AllocationId"]}
    ]
    inside: list[dict[str, Any]] = [{"SubnetId": parts.one, "PrivateIPv4Address": "10.1.0.77"}]
    found = parts.network_balancer("inside", Subnets=[], SubnetMappings=inside, Scheme="internal")
    assert found["AvailabilityZones"][0]["LoadBalancerAddresses"] == [{"PrivateIPv4Address": "10.1.0.77"}]
    code, said, _ = refused(lambda: parts.network_balancer("again", Subnets=[], SubnetMappings=mapping))
    assert (code, said) == ("ResourceInUse", f"The allocation ID '{address['AllocationId']}' is already in use")


@pytest.mark.parametrize(
    ("mapping", "more", "code"),
    [
        ({"AllocationId": "eipalloc-0"}, {}, "AllocationIdNotFound"),
        ({"AllocationId": "eipalloc-0"}, {"Scheme": "internal"}, "InvalidConfigurationRequest"),
        ({"PrivateIPv4Address": "10.1.0.9"}, {}, "InvalidConfigurationRequest"),
        ({"PrivateIPv4Address": "10.1.7.9"}, {"Scheme": "internal"}, "InvalidConfigurationRequest"),
        ({"PrivateIPv4Address": "10.1.0.1"}, {"Scheme": "internal"}, "InvalidConfigurationRequest"),
        ({"PrivateIPv4Address": "somewhere"}, {"Scheme": "internal"}, "ValidationError"),
        ({"IPv6Address": "2001:db8::1"}, {}, "InvalidConfigurationRequest"),
    ],
)
def test_addresses_that_cannot_be_are_refused(
    parts: Parts, mapping: dict[str, str], more: dict[str, str], code: str
) -> None:
    given = [{"SubnetId": parts.one, **mapping}]
    assert refused(lambda: parts.network_balancer(Subnets=[], SubnetMappings=given, **more))[0] == code
    assert parts.elb.describe_load_balancers()["LoadBalancers"] == []


def test_the_same_request_again_answers_the_same_one(parts: Parts) -> None:
    made = parts.balancer()
    assert parts.balancer(Subnets=[parts.two, parts.one])["LoadBalancerArn"] == made["LoadBalancerArn"]
    for other in ({"Scheme": "internal"}, {"SecurityGroups": [parts.security_group("b")]}, {"Type": "network"}):
        code, said, _ = refused(lambda other=other: parts.balancer(**other))  # type: ignore[misc]
        assert code == "DuplicateLoadBalancerName"
        assert said == "A load balancer with the same name 'web' exists, but with different settings"


def test_subnets_are_one_in_each_of_two_zones_of_one_vpc(parts: Parts) -> None:
    near, far = parts.subnet("10.1.9.0/24", PLACES[0]), Parts(parts.region, "10.2").two
    too_few = "At least two subnets in two different Availability Zones must be specified"
    twice = "A load balancer cannot be attached to multiple subnets in the same Availability Zone"
    assert refused(lambda: parts.balancer(Subnets=[parts.one])) == ("ValidationError", too_few, 400)
    assert refused(lambda: parts.balancer(Subnets=[]))[:2] == ("ValidationError", too_few)
    assert refused(lambda: parts.balancer(Subnets=[parts.one, near]))[:2] == ("InvalidConfigurationRequest", twice)
    code, said, _ = refused(lambda: parts.balancer(Subnets=[parts.one, far]))
    assert code == "InvalidConfigurationRequest" and said.startswith("All subnets must belong to the same VPC: 'vpc-")
    assert refused(lambda: parts.balancer(Subnets=[parts.one, "subnet-0"]))[:2] == (
        "SubnetNotFound",
        "The subnet ID 'subnet-0' does not exist",
    )
    both: list[dict[str, str]] = [{"SubnetId": parts.one}]
    assert refused(lambda: parts.balancer(SubnetMappings=both))[0] == "ValidationError"


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (
            {"Name": "a" * 33},
            "ValidationError",
            f"Load balancer name '{'a' * 33}' cannot be longer than '32' characters",
        ),
        ({"Name": "a_b"}, "ValidationError", "can only contain characters that are alphanumeric characters or hyphens"),
        ({"Name": "-a"}, "ValidationError", "cannot begin or end with a hyphen(-)"),
        ({"Name": "internal-a"}, "ValidationError", "cannot begin with 'internal-'"),
        ({"Type": "gateway"}, "InvalidConfigurationRequest", "Neargate does not support load balancers of type"),
        ({"Scheme": "sideways"}, "ValidationError", "Member must satisfy enum value set"),
        ({"IpAddressType": "dualstack"}, "InvalidSubnet", "does not have an associated IPv6 CIDR block"),
        ({"SecurityGroups": ["sg-0"]}, "InvalidSecurityGroup", "The security group 'sg-0' does not exist"),
        (
            {"IpamPools": {"Ipv4IpamPoolId": "ipam-pool-0123456789abcdef0"}},
            "InvalidConfigurationRequest",
            "Neargate does not support IpamPools",
        ),
        ({"Tags": [{"Key": "a"}, {"Key": "a"}]}, "DuplicateTagKeys", "unique"),
        ({"Tags": [{"Key": "aws:a"}]}, "ValidationError", "reserved"),
        ({"Tags": [{"Key": str(n)} for n in range(51)]}, "TooManyTags", "quota"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_made(
    parts: Parts, given: dict[str, Any], code: str, words: str
) -> None:
    found = refused(lambda: parts.balancer(**given))
    assert found[0] == code and words in found[1] and found[2] == 400
    assert parts.elb.describe_load_balancers()["LoadBalancers"] == []


def test_security_groups_are_the_vpcs_and_the_default_one_where_none_is_named(parts: Parts) -> None:
    made = parts.balancer(SecurityGroups=[])
    [default] = parts.ec2.describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [parts.vpc]}, {"Name": "group-name", "Values": ["default"]}]
    )["SecurityGroups"]
    assert made["SecurityGroups"] == [default["GroupId"]]
    strange = Parts(parts.region, "10.2").group
    assert refused(lambda: parts.balancer("b", SecurityGroups=[strange]))[:2] == (
        "InvalidConfigurationRequest",
        f"Security group '{strange}' does not belong to VPC '{parts.vpc}'",
    )


def test_groups_of_a_load_balancer_change_and_cannot_be_deleted(parts: Parts) -> None:
    arn, other = parts.balancer()["LoadBalancerArn"], parts.security_group("b")
    assert refused(lambda: parts.ec2.delete_security_group(GroupId=parts.group))[0] == "DependencyViolation"
    found = parts.elb.set_security_groups(LoadBalancerArn=arn, SecurityGroups=[other, other])
    assert found["SecurityGroupIds"] == [other]
    parts.ec2.delete_security_group(GroupId=parts.group)
    assert refused(lambda: parts.ec2.delete_security_group(GroupId=other)) == (
        "DependencyViolation",
        f"resource {other} has a dependent object",
        400,
    )
    nothing = refused(lambda: parts.elb.set_security_groups(LoadBalancerArn=arn, SecurityGroups=[]))
    assert nothing[:2] == ("ValidationError", "At least one security group must be specified")
    wrong = refused(lambda: parts.elb.set_security_groups(LoadBalancerArn=arn, SecurityGroups=["sg-0"]))
    assert wrong[0] == "InvalidSecurityGroup"


def test_subnets_and_the_vpc_of_a_load_balancer_stay(parts: Parts) -> None:
    parts.balancer()
    for call in (
        lambda: parts.ec2.delete_subnet(SubnetId=parts.one),
        lambda: parts.ec2.delete_vpc(VpcId=parts.vpc),
    ):
        assert refused(call)[0] == "DependencyViolation"
    assert len(parts.ec2.describe_subnets(SubnetIds=[parts.one, parts.two])["Subnets"]) == 2


def test_an_interface_endpoint_leads_to_the_service(parts: Parts) -> None:
    name = f"com.amazonaws.{REGION}.elasticloadbalancing"
    [found] = parts.ec2.describe_vpc_endpoint_services(ServiceNames=[name])["ServiceDetails"]
    assert [one["ServiceType"] for one in found["ServiceType"]] == ["Interface"]


def test_a_network_load_balancer_gets_groups_at_its_making_or_never(parts: Parts) -> None:
    bare, held = parts.network_balancer(), parts.network_balancer("held", SecurityGroups=[parts.group])
    assert held["EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"] == "on"
    late = refused(
        lambda: parts.elb.set_security_groups(LoadBalancerArn=bare["LoadBalancerArn"], SecurityGroups=[parts.group])
    )
    assert late[0] == "InvalidConfigurationRequest"
    none = refused(lambda: parts.elb.set_security_groups(LoadBalancerArn=held["LoadBalancerArn"], SecurityGroups=[]))
    assert none[0] == "ValidationError"
    empty = parts.elb.set_security_groups(LoadBalancerArn=bare["LoadBalancerArn"], SecurityGroups=[])
    assert empty["SecurityGroupIds"] == []


def test_subnets_change_zone_by_zone(parts: Parts) -> None:
    arn, other = parts.balancer()["LoadBalancerArn"], parts.subnet("10.1.9.0/24", PLACES[0])
    found = parts.elb.set_subnets(LoadBalancerArn=arn, Subnets=[other, parts.two])
    assert {one["SubnetId"] for one in found["AvailabilityZones"]} == {other, parts.two}
    assert found["IpAddressType"] == "ipv4"
    [shown] = parts.elb.describe_load_balancers()["LoadBalancers"]
    assert shown["AvailabilityZones"] == found["AvailabilityZones"]
    assert refused(lambda: parts.elb.set_subnets(LoadBalancerArn=arn, Subnets=[other]))[0] == "ValidationError"
    far = Parts(parts.region, "10.2")
    code, said, _ = refused(lambda: parts.elb.set_subnets(LoadBalancerArn=arn, Subnets=[far.one, far.two]))
    assert code == "InvalidConfigurationRequest" and parts.vpc in said and far.vpc in said


def test_address_types_are_ipv4(parts: Parts) -> None:
    arn = parts.balancer()["LoadBalancerArn"]
    assert parts.elb.set_ip_address_type(LoadBalancerArn=arn, IpAddressType="ipv4")["IpAddressType"] == "ipv4"
    refusal = refused(lambda: parts.elb.set_ip_address_type(LoadBalancerArn=arn, IpAddressType="dualstack"))
    assert refusal[0] == "InvalidSubnet"


def test_attributes_have_aws_s_defaults_by_type(parts: Parts) -> None:
    web, net = parts.balancer()["LoadBalancerArn"], parts.network_balancer()["LoadBalancerArn"]
    of_web = told(parts.elb.describe_load_balancer_attributes(LoadBalancerArn=web)["Attributes"])
    of_net = told(parts.elb.describe_load_balancer_attributes(LoadBalancerArn=net)["Attributes"])
    assert of_web["idle_timeout.timeout_seconds"] == "60" and of_web["routing.http2.enabled"] == "true"
    assert of_web["load_balancing.cross_zone.enabled"] == "true"
    assert of_net["load_balancing.cross_zone.enabled"] == "false" and "idle_timeout.timeout_seconds" not in of_net


def test_attributes_change_and_unknown_ones_are_refused_as_terraform_reads_it(parts: Parts) -> None:
    arn = parts.balancer()["LoadBalancerArn"]

    def modify(*pairs: tuple[str, str]) -> dict[str, str]:
        given = [{"Key": key, "Value": value} for key, value in pairs]
        return told(parts.elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=given)["Attributes"])

    assert modify(("idle_timeout.timeout_seconds", "600"))["idle_timeout.timeout_seconds"] == "600"
    assert modify(("routing.http2.enabled", "false"))["idle_timeout.timeout_seconds"] == "600"
    assert refused(lambda: modify(("nope", "1"))) == (
        "ValidationError",
        "Load balancer attribute key 'nope' is not recognized",
        400,
    )
    for pair, code in (
        (("idle_timeout.timeout_seconds", "4001"), "ValidationError"),
        (("idle_timeout.timeout_seconds", "x"), "ValidationError"),
        (("routing.http2.enabled", "yes"), "ValidationError"),
        (("access_logs.s3.enabled", "true"), "InvalidConfigurationRequest"),
        (("load_balancing.cross_zone.enabled", "false"), "InvalidConfigurationRequest"),
        (("routing.http.desync_mitigation_mode", "strictest"), "InvalidConfigurationRequest"),
        (("routing.http.desync_mitigation_mode", "lax"), "ValidationError"),
    ):
        assert refused(lambda pair=pair: modify(pair))[0] == code  # type: ignore[misc]
    found = told(parts.elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"])
    assert (found["idle_timeout.timeout_seconds"], found["access_logs.s3.enabled"]) == ("600", "false")


def test_one_that_is_protected_is_not_deleted(parts: Parts) -> None:
    arn = parts.balancer()["LoadBalancerArn"]

    def protect(value: str) -> None:
        given = [{"Key": "deletion_protection.enabled", "Value": value}]
        parts.elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=given)

    protect("true")
    assert refused(lambda: parts.elb.delete_load_balancer(LoadBalancerArn=arn)) == (
        "OperationNotPermitted",
        f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled",
        400,
    )
    protect("false")
    parts.elb.delete_load_balancer(LoadBalancerArn=arn)
    assert parts.elb.describe_load_balancers()["LoadBalancers"] == []


def test_a_deleted_one_is_not_found_and_its_name_is_free(parts: Parts) -> None:
    arn = parts.balancer()["LoadBalancerArn"]
    parts.elb.delete_load_balancer(LoadBalancerArn=arn)
    parts.elb.delete_load_balancer(LoadBalancerArn=arn)
    for call in (
        lambda: parts.elb.describe_load_balancers(LoadBalancerArns=[arn]),
        lambda: parts.elb.describe_load_balancers(Names=["web"]),
        lambda: parts.elb.describe_load_balancer_attributes(LoadBalancerArn=arn),
        lambda: parts.elb.set_subnets(LoadBalancerArn=arn, Subnets=[parts.one, parts.two]),
        lambda: parts.elb.describe_tags(ResourceArns=[arn]),
        lambda: parts.elb.describe_target_groups(LoadBalancerArn=arn),
    ):
        assert refused(call)[0] == "LoadBalancerNotFound"
    assert parts.balancer(Scheme="internal")["LoadBalancerArn"] != arn


def test_who_is_not_there_is_said_in_aws_s_words(parts: Parts) -> None:
    def find(**by: list[str]) -> tuple[str, str]:
        return refused(lambda: parts.elb.describe_load_balancers(**by))[:2]

    assert find(LoadBalancerArns=[NOTHING]) == ("LoadBalancerNotFound", "One or more load balancers not found")
    assert find(Names=["x", "y"]) == ("LoadBalancerNotFound", "Load balancers '[x, y]' not found")
    assert find(LoadBalancerArns=["x"]) == ("ValidationError", "'x' is not a valid load balancer ARN")
    assert find(LoadBalancerArns=[NOTHING], Names=["x"])[0] == "ValidationError"


def test_lists_come_in_pages(parts: Parts) -> None:
    names = {parts.balancer(f"web-{n}")["LoadBalancerName"] for n in range(5)}
    first = parts.elb.describe_load_balancers(PageSize=2)
    assert len(first["LoadBalancers"]) == 2 and first["NextMarker"]
    pages = parts.elb.get_paginator("describe_load_balancers").paginate(PaginationConfig={"PageSize": 2})
    found = [one["LoadBalancerName"] for page in pages for one in page["LoadBalancers"]]
    assert len(found) == 5 and set(found) == names
    assert refused(lambda: parts.elb.describe_load_balancers(Marker="x"))[0] == "ValidationError"


def test_account_limits_are_told_by_aws_s_names(region: Region) -> None:
    limits = {one["Name"]: one["Max"] for one in region.elbv2.describe_account_limits()["Limits"]}
    assert limits["application-load-balancers"] == "50" and limits["target-groups"] == "3000"
    assert limits["rules-per-application-load-balancer"] == "100"


def test_no_more_than_the_quota_of_each_type(parts: Parts) -> None:
    for n in range(50):
        parts.balancer(f"web-{n}", Scheme="internal")
    assert refused(lambda: parts.balancer("one-more"))[0] == "TooManyLoadBalancers"
    parts.network_balancer()


def test_what_is_not_built_is_unknown(region: Region) -> None:
    assert refused(lambda: region.elbv2.describe_trust_stores())[0] == "InvalidAction"
    assert refused(lambda: region.elbv2.describe_capacity_reservation(LoadBalancerArn=NOTHING))[0] == "InvalidAction"
    assert refused(lambda: region.elbv2.get_resource_policy(ResourceArn=NOTHING))[0] == "InvalidAction"
