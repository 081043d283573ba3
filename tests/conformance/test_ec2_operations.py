"""EC2's operations as botocore's own client sees them: signed requests in, parsed answers out, through the front end.

Every answer is also checked against the service model: no member that EC2 does not have.
"""

from typing import Any

import pytest

from .ec2_region import ABSENT, ACCOUNT, REGION, Region, by, ec2_region, refused, vpc_id

__all__ = ["ec2_region"]  # the fixture `region`


def new_group(region: Region, name: str = "web") -> str:
    return str(region.ec2.create_security_group(GroupName=name, Description="a group")["GroupId"])


# -- VPCs, subnets, zones


def test_the_default_vpc_is_described(region: Region) -> None:
    [vpc] = region.ec2.describe_vpcs(Filters=by("isDefault", "true"))["Vpcs"]
    assert vpc["CidrBlock"] == "172.31.0.0/16" and vpc["IsDefault"] is True and vpc["State"] == "available"
    assert vpc["OwnerId"] == ACCOUNT and vpc["InstanceTenancy"] == "default"
    assert vpc["CidrBlockAssociationSet"][0]["CidrBlockState"] == {"State": "associated"}
    assert region.ec2.describe_vpcs(VpcIds=[vpc["VpcId"]])["Vpcs"] == [vpc]
    assert region.ec2.describe_vpcs(Filters=by("cidr", "10.*"))["Vpcs"] == []
    assert region.ec2.describe_vpcs(Filters=by("tag:Name", "x"))["Vpcs"] == []


def test_the_subnets_count_their_free_addresses(region: Region) -> None:
    subnets = region.ec2.describe_subnets()["Subnets"]
    assert {(one["AvailabilityZone"], one["AvailabilityZoneId"], one["CidrBlock"]) for one in subnets} == {
        ("us-east-1a", "use1-az1", "172.31.0.0/20"),
        ("us-east-1b", "use1-az2", "172.31.16.0/20"),
    }
    assert {one["AvailableIpAddressCount"] for one in subnets} == {4091}
    assert all(one["MapPublicIpOnLaunch"] and one["DefaultForAz"] for one in subnets)
    region.reserve("one")
    region.reserve("two")
    [first] = region.ec2.describe_subnets(Filters=by("availability-zone", "us-east-1a"))["Subnets"]
    assert first["AvailableIpAddressCount"] == 4089
    [second] = region.ec2.describe_subnets(Filters=by("availability-zone", "us-east-1b"))["Subnets"]
    assert second["AvailableIpAddressCount"] == 4091
    assert region.ec2.describe_subnets(Filters=by("available-ip-address-count", "4089"))["Subnets"] == [first]
    both = [*by("vpc-id", first["VpcId"]), *by("default-for-az", "true")]
    assert len(region.ec2.describe_subnets(Filters=both)["Subnets"]) == 2
    assert first["SubnetArn"] == f"arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/{first['SubnetId']}"


def test_the_zones_are_described(region: Region) -> None:
    zones = region.ec2.describe_availability_zones(Filters=by("state", "available"))["AvailabilityZones"]
    assert [(zone["ZoneName"], zone["ZoneId"], zone["RegionName"]) for zone in zones] == [
        ("us-east-1a", "use1-az1", REGION),
        ("us-east-1b", "use1-az2", REGION),
    ]
    [one] = region.ec2.describe_availability_zones(ZoneNames=["us-east-1b"])["AvailabilityZones"]
    assert one["ZoneId"] == "use1-az2"
    assert region.ec2.describe_availability_zones(ZoneIds=["use1-az1"])["AvailabilityZones"] == zones[:1]
    assert refused(lambda: region.ec2.describe_availability_zones(ZoneNames=["us-east-1z"])) == (
        "InvalidParameterValue",
        "Invalid availability zone: [us-east-1z]",
        400,
    )


@pytest.mark.parametrize(
    ("operation", "parameter", "given", "code", "message"),
    [
        (
            "describe_vpcs",
            "VpcIds",
            f"vpc-{ABSENT}",
            "InvalidVpcID.NotFound",
            f"The vpc ID 'vpc-{ABSENT}' does not exist",
        ),
        (
            "describe_vpcs",
            "VpcIds",
            "nonsense",
            "InvalidVpcID.NotFound",
            "The vpc ID 'nonsense' does not exist",
        ),
        (
            "describe_subnets",
            "SubnetIds",
            f"subnet-{ABSENT}",
            "InvalidSubnetID.NotFound",
            f"The subnet ID 'subnet-{ABSENT}' does not exist",
        ),
        (
            "describe_security_groups",
            "GroupIds",
            f"sg-{ABSENT}",
            "InvalidGroup.NotFound",
            f"The security group 'sg-{ABSENT}' does not exist",
        ),
        (
            "describe_security_groups",
            "GroupIds",
            "web",
            "InvalidGroupId.Malformed",
            'Invalid id: "web" (expecting "sg-...")',
        ),
        (
            "describe_network_interfaces",
            "NetworkInterfaceIds",
            f"eni-{ABSENT}",
            "InvalidNetworkInterfaceID.NotFound",
            f"The networkInterface ID 'eni-{ABSENT}' does not exist",
        ),
        (
            "describe_security_group_rules",
            "SecurityGroupRuleIds",
            f"sgr-{ABSENT}",
            "InvalidSecurityGroupRuleId.NotFound",
            f"The security group rule ID 'sgr-{ABSENT}' does not exist",
        ),
    ],
)
def test_what_is_named_and_not_there(
    region: Region, operation: str, parameter: str, given: str, code: str, message: str
) -> None:
    call = getattr(region.ec2, operation)
    assert refused(lambda: call(**{parameter: [given]})) == (code, message, 400)


@pytest.mark.parametrize(
    "operation",
    [
        "describe_vpcs",
        "describe_subnets",
        "describe_security_groups",
        "describe_security_group_rules",
        "describe_network_interfaces",
        "describe_availability_zones",
    ],
)
def test_what_all_describes_share(region: Region, operation: str) -> None:
    call = getattr(region.ec2, operation)
    assert refused(lambda: call(Filters=by("no-such", "x"))) == (
        "InvalidParameterValue",
        "The filter 'no-such' is invalid",
        400,
    )
    assert refused(lambda: call(DryRun=True)) == (
        "DryRunOperation",
        "Request would have succeeded, but DryRun flag is set.",
        412,
    )
    too_many = by("state", *(str(n) for n in range(201)))
    assert refused(lambda: call(Filters=too_many))[0] == "FilterLimitExceeded"


# -- security groups


def test_the_default_group_is_described(region: Region) -> None:
    [group] = region.ec2.describe_security_groups()["SecurityGroups"]
    assert group["GroupName"] == "default" and group["Description"] == "default VPC security group"
    assert group["IpPermissions"] == [
        {
            "IpProtocol": "-1",
            "UserIdGroupPairs": [{"UserId": ACCOUNT, "GroupId": group["GroupId"]}],
            "IpRanges": [],
            "Ipv6Ranges": [],
            "PrefixListIds": [],
        }
    ]
    assert group["IpPermissionsEgress"][0]["IpRanges"] == [{"CidrIp": "0.0.0.0/0"}]
    assert region.ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"] == [group]


def test_a_group_is_made_found_and_deleted(region: Region) -> None:
    tags = [{"ResourceType": "security-group", "Tags": [{"Key": "Name", "Value": "Web"}]}]
    made = region.ec2.create_security_group(
        GroupName="web", Description="a group", VpcId=vpc_id(region), TagSpecifications=tags
    )
    group_id = made["GroupId"]
    assert made["SecurityGroupArn"] == f"arn:aws:ec2:{REGION}:{ACCOUNT}:security-group/{group_id}"
    assert made["Tags"] == [{"Key": "Name", "Value": "Web"}]
    for filters in (
        by("group-name", "w*"),
        by("group-name", "?eb"),
        by("tag:Name", "Web"),
        by("tag-key", "Name"),
        by("group-id", group_id),
        by("description", "a group"),
        [*by("vpc-id", vpc_id(region)), *by("group-name", "default", "web"), *by("tag-key", "*")],
    ):
        [found] = region.ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        assert found["GroupId"] == group_id
    assert region.ec2.describe_security_groups(Filters=by("group-name", r"w\*"))["SecurityGroups"] == []
    assert region.ec2.delete_security_group(GroupId=group_id)["GroupId"] == group_id
    assert refused(lambda: region.ec2.delete_security_group(GroupId=group_id)) == (
        "InvalidGroup.NotFound",
        f"The security group '{group_id}' does not exist",
        400,
    )


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"GroupName": "sg-web", "Description": "x"}, "InvalidParameterValue"),
        ({"GroupName": "default", "Description": "x"}, "InvalidGroup.Reserved"),
        ({"GroupName": "wéb", "Description": "x"}, "InvalidParameterValue"),
        ({"GroupName": "w" * 256, "Description": "x"}, "InvalidParameterValue"),
        ({"GroupName": "web", "Description": ""}, "MissingParameter"),
        ({"GroupName": "web", "Description": "x", "VpcId": f"vpc-{ABSENT}"}, "InvalidVpcID.NotFound"),
        ({"GroupName": "web", "Description": "x", "VpcId": "vpc-x"}, "InvalidVpcID.NotFound"),
        ({"GroupName": "web", "Description": "x", "DryRun": True}, "DryRunOperation"),
        (
            {"GroupName": "web", "Description": "x", "TagSpecifications": [{"ResourceType": "vpc", "Tags": []}]},
            "InvalidParameter",
        ),
    ],
)
def test_a_group_that_is_refused_is_not_made(region: Region, params: dict[str, Any], code: str) -> None:
    assert refused(lambda: region.ec2.create_security_group(**params))[0] == code
    assert len(region.ec2.describe_security_groups()["SecurityGroups"]) == 1


def test_a_group_in_use_is_not_deleted(region: Region) -> None:
    group_id = new_group(region)
    region.reserve("task-1", groups=(group_id,))
    assert refused(lambda: region.ec2.delete_security_group(GroupId=group_id)) == (
        "DependencyViolation",
        f"resource {group_id} has a dependent object",
        400,
    )
    region.release("task-1")
    region.ec2.delete_security_group(GroupId=group_id)
    [default] = region.ec2.describe_security_groups()["SecurityGroups"]
    assert refused(lambda: region.ec2.delete_security_group(GroupName="default")) == (
        "CannotDelete",
        f'the specified group: "{default["GroupId"]}" name: "default" cannot be deleted by a user',
        400,
    )
    assert refused(lambda: region.ec2.delete_security_group())[0] == "MissingParameter"


def test_both_forms_of_authorize_mean_the_same(region: Region) -> None:
    group_id = new_group(region)
    flat = region.ec2.authorize_security_group_ingress(
        GroupId=group_id, IpProtocol="tcp", FromPort=80, ToPort=80, CidrIp="10.0.0.7/24"
    )
    [rule] = flat["SecurityGroupRules"]
    assert flat["Return"] is True and rule["CidrIpv4"] == "10.0.0.0/24"
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], rule["IsEgress"]) == ("tcp", 80, 80, False)
    nested = {"IpProtocol": "6", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "10.0.0.0/24"}]}
    assert refused(lambda: region.ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[nested])) == (
        "InvalidPermission.Duplicate",
        'the specified rule "peer: 10.0.0.0/24, TCP, from port: 80, to port: 80, ALLOW" already exists',
        400,
    )
    rules = region.ec2.describe_security_group_rules(Filters=by("group-id", group_id))["SecurityGroupRules"]
    assert [one for one in rules if not one["IsEgress"]] == [rule]
    revoked = region.ec2.revoke_security_group_ingress(GroupId=group_id, IpPermissions=[nested])
    assert revoked["RevokedSecurityGroupRules"][0]["SecurityGroupRuleId"] == rule["SecurityGroupRuleId"]
    unknown = region.ec2.revoke_security_group_ingress(GroupId=group_id, IpPermissions=[nested])
    assert unknown["UnknownIpPermissions"][0]["IpRanges"] == [{"CidrIp": "10.0.0.0/24"}]


def test_rules_of_one_range_are_shown_together(region: Region) -> None:
    group_id = new_group(region)
    permission = {
        "IpProtocol": "tcp",
        "FromPort": 443,
        "ToPort": 443,
        "IpRanges": [{"CidrIp": "10.1.0.0/16", "Description": "office"}, {"CidrIp": "10.2.0.0/16"}],
        "Ipv6Ranges": [{"CidrIpv6": "2001:db8::1/32"}],
        "UserIdGroupPairs": [{"GroupName": "default", "UserId": ACCOUNT}],
    }
    region.ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[permission])
    region.ec2.authorize_security_group_egress(
        GroupId=group_id,
        IpPermissions=[{"IpProtocol": "icmp", "FromPort": 8, "ToPort": -1, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}],
    )
    [group] = region.ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    [shown] = group["IpPermissions"]
    assert shown["IpRanges"] == [{"CidrIp": "10.1.0.0/16", "Description": "office"}, {"CidrIp": "10.2.0.0/16"}]
    assert shown["Ipv6Ranges"] == [{"CidrIpv6": "2001:db8::/32"}]
    default = region.ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]["GroupId"]
    assert shown["UserIdGroupPairs"] == [{"UserId": ACCOUNT, "GroupId": default}]
    assert [(one["IpProtocol"], one.get("FromPort")) for one in group["IpPermissionsEgress"]] == [
        ("-1", None),
        ("icmp", 8),
    ]
    for filters in (
        by("ip-permission.cidr", "10.2.*"),
        by("ip-permission.from-port", "443"),
        by("ip-permission.group-id", default),
        by("egress.ip-permission.protocol", "icmp"),
    ):
        found = region.ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        assert group_id in {one["GroupId"] for one in found}
    assert refused(lambda: region.ec2.delete_security_group(GroupId=default))[0] == "CannotDelete"


def test_rules_are_revoked_by_id(region: Region) -> None:
    group_id = new_group(region)
    added = region.ec2.authorize_security_group_ingress(
        GroupId=group_id, IpProtocol="udp", FromPort=53, ToPort=53, CidrIp="0.0.0.0/0"
    )
    rule_id = added["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    wrong_way = refused(
        lambda: region.ec2.revoke_security_group_egress(GroupId=group_id, SecurityGroupRuleIds=[rule_id])
    )
    assert wrong_way[0] == "InvalidSecurityGroupRuleId.NotFound"
    revoked = region.ec2.revoke_security_group_ingress(GroupId=group_id, SecurityGroupRuleIds=[rule_id])
    assert revoked["RevokedSecurityGroupRules"][0]["CidrIpv4"] == "0.0.0.0/0"
    assert region.ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"][0]["IpPermissions"] == []


def test_a_source_group_alone_grants_three_protocols(region: Region) -> None:
    group_id = new_group(region)
    added = region.ec2.authorize_security_group_ingress(GroupId=group_id, SourceSecurityGroupName="default")
    assert [(one["IpProtocol"], one["FromPort"], one["ToPort"]) for one in added["SecurityGroupRules"]] == [
        ("tcp", 0, 65535),
        ("udp", 0, 65535),
        ("icmp", -1, -1),
    ]


def _tcp(**changes: Any) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 2, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]} | changes


@pytest.mark.parametrize(
    ("permission", "code", "text"),
    [
        (_tcp(IpProtocol="tcpx"), "InvalidParameterValue", "Invalid value 'tcpx' for IP protocol. Unknown protocol."),
        (_tcp(IpProtocol="256"), "InvalidParameterValue", "Invalid value '256' for IP protocol. Unknown protocol."),
        (_tcp(FromPort=-1, ToPort=-1), "InvalidParameterValue", "Must specify both from and to ports with TCP/UDP."),
        (_tcp(FromPort=9, ToPort=2), "InvalidParameterValue", "Invalid TCP/UDP port range (9:2)"),
        (_tcp(ToPort=65536), "InvalidParameterValue", "Invalid TCP/UDP port range (1:65536)"),
        (
            _tcp(IpProtocol="icmp", FromPort=-1, ToPort=3),
            "InvalidParameterValue",
            "ICMP code (3) and type (-1) are not valid together",
        ),
        (_tcp(IpRanges=[{"CidrIp": "10.0.0.0/33"}]), "InvalidParameterValue", "CIDR block 10.0.0.0/33 is malformed"),
        (_tcp(IpRanges=[{"CidrIp": "10.0.0.0"}]), "InvalidParameterValue", "CIDR block 10.0.0.0 is malformed"),
        (_tcp(IpRanges=[{"CidrIp": "::/0"}]), "InvalidParameterValue", "CIDR block ::/0 is malformed"),
        (_tcp(IpRanges=[]), "InvalidPermission.Malformed", "A rule must have"),
        (
            _tcp(IpRanges=[{"CidrIp": "10.0.0.0/8", "Description": "né"}]),
            "InvalidParameterValue",
            "Invalid rule description.",
        ),
        (
            _tcp(UserIdGroupPairs=[{"GroupId": f"sg-{ABSENT}"}]),
            "InvalidGroup.NotFound",
            f"The security group 'sg-{ABSENT}' does not exist",
        ),
        (
            _tcp(UserIdGroupPairs=[{"GroupName": "default", "UserId": "999999999999"}]),
            "InvalidGroup.NotFound",
            "The security group 'default' does not exist",
        ),
        (_tcp(PrefixListIds=[{"PrefixListId": "pl-1"}]), "InvalidPrefixListID.NotFound", "'pl-1' does not exist"),
    ],
)
def test_a_permission_that_is_refused_changes_nothing(
    region: Region, permission: dict[str, Any], code: str, text: str
) -> None:
    group_id = new_group(region)
    good = _tcp(FromPort=7, ToPort=7)
    got, message, status = refused(
        lambda: region.ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[good, permission])
    )
    assert (got, status) == (code, 400) and text in message
    assert region.ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"][0]["IpPermissions"] == []


def test_more_rules_than_a_group_may_have(region: Region) -> None:
    group_id = new_group(region)
    many = [_tcp(FromPort=port, ToPort=port) for port in range(1, 61)]
    region.ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=many)
    assert refused(
        lambda: region.ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[_tcp(ToPort=99)])
    ) == ("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.", 400)


def test_pages_go_on_where_they_ended(region: Region) -> None:
    for n in range(11):
        new_group(region, f"group-{n}")
    pages = list(region.ec2.get_paginator("describe_security_groups").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(one["SecurityGroups"]) for one in pages] == [5, 5, 2]
    assert len({one["GroupId"] for page in pages for one in page["SecurityGroups"]}) == 12
    assert "NextToken" not in pages[-1]
    assert refused(lambda: region.ec2.describe_security_groups(NextToken="!!"))[0] == "InvalidNextToken"
    assert refused(lambda: region.ec2.describe_security_groups(MaxResults=4))[0] == "InvalidParameterValue"


# -- network interfaces


def test_a_task_interface_is_described(region: Region) -> None:
    made = region.reserve("task-1")
    region.reserve("task-2", zone=1, public=False)
    assert made.eni is not None
    [eni] = region.ec2.describe_network_interfaces(NetworkInterfaceIds=[made.eni.eni_id])["NetworkInterfaces"]
    assert eni["PrivateIpAddress"] == "172.31.0.4" and eni["Association"]["PublicIp"] == "198.18.0.1"
    assert eni["Status"] == "in-use" and eni["InterfaceType"] == "interface" and eni["RequesterManaged"] is True
    assert eni["Description"] == f"arn:aws:ecs:{REGION}:{ACCOUNT}:attachment/task-1"
    assert eni["Groups"][0]["GroupName"] == "default" and eni["MacAddress"] == made.eni.mac
    assert eni["Attachment"]["Status"] == "attached" and eni["Attachment"]["AttachTime"].year >= 2024
    assert eni["AvailabilityZone"] == "us-east-1a" and eni["AvailabilityZoneId"] == "use1-az1"
    for filters in (
        by("association.public-ip", "198.18.0.1"),
        by("addresses.private-ip-address", "172.31.0.4"),
        by("private-ip-address", "172.31.0.4"),
        by("subnet-id", made.eni.subnet_id),
        by("description", "*attachment/task-1"),
        [*by("group-name", "default"), *by("availability-zone", "us-east-1a"), *by("status", "in-use")],
    ):
        assert region.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"] == [eni]
    assert (
        len(region.ec2.describe_network_interfaces(Filters=by("requester-managed", "true"))["NetworkInterfaces"]) == 2
    )
    region.release("task-1")
    left = region.ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert [one["AvailabilityZone"] for one in left] == ["us-east-1b"]


def test_operations_that_are_not_built_say_so(region: Region) -> None:
    code, _, status = refused(lambda: region.ec2.run_instances(ImageId="ami-1", MinCount=1, MaxCount=1))
    assert (code, status) == ("InvalidAction", 400)
