"""Rules of security groups changed and described, and who refers to groups, as botocore's own client asks."""

from typing import Any

import pytest

from neargate.frontend.network.records.objects import VpcEndpoint
from neargate.frontend.regional.shelves import Change

from .ec2_region import ABSENT, ACCOUNT, Region, by, ec2_region, refused, vpc_id

__all__ = ["ec2_region"]  # the fixture `region`


def new_group(region: Region, name: str = "web", **params: Any) -> str:
    return str(region.ec2.create_security_group(GroupName=name, Description="a group", **params)["GroupId"])


def permission(**changes: Any) -> dict[str, Any]:
    given = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    return given | changes


def allowed(region: Region, group_id: str, **changes: Any) -> str:
    added = region.ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[permission(**changes)])
    return str(added["SecurityGroupRules"][0]["SecurityGroupRuleId"])


def rule(region: Region, rule_id: str) -> dict[str, Any]:
    [found] = region.ec2.describe_security_group_rules(SecurityGroupRuleIds=[rule_id])["SecurityGroupRules"]
    return dict(found)


def update(rule_id: str, **changes: Any) -> dict[str, Any]:
    contents = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIpv4": "10.1.2.3/16", "Description": "new"}
    given = {name: value for name, value in (contents | changes).items() if value is not None}
    return {"SecurityGroupRuleId": rule_id, "SecurityGroupRule": given}


def test_a_rule_is_changed_and_keeps_its_id(region: Region) -> None:
    group_id = new_group(region)
    rule_id, other = allowed(region, group_id), allowed(region, group_id, FromPort=1, ToPort=1)
    region.ec2.create_tags(Resources=[rule_id], Tags=[{"Key": "a", "Value": "1"}])
    before = region.network.plan(vpc_id(region)).generation
    answer = region.ec2.modify_security_group_rules(GroupId=group_id, SecurityGroupRules=[update(rule_id)])
    assert answer["Return"] is True
    changed = rule(region, rule_id)
    assert (changed["FromPort"], changed["CidrIpv4"], changed["Description"]) == (443, "10.1.0.0/16", "new")
    assert changed["Tags"] == [{"Key": "a", "Value": "1"}] and changed["IsEgress"] is False
    assert region.network.plan(vpc_id(region)).generation > before
    swapped = [update(rule_id, FromPort=1, ToPort=1, CidrIpv4="10.0.0.0/8"), update(other)]
    region.ec2.modify_security_group_rules(GroupId=group_id, SecurityGroupRules=swapped)
    assert (rule(region, rule_id)["FromPort"], rule(region, other)["FromPort"]) == (1, 443)


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"CidrIpv4": None}, "MissingParameter", "The request must contain exactly one of: cidrIp, cidrIpv6"),
        ({"CidrIpv6": "::/0"}, "InvalidParameterCombination", "Only one of cidrIp, cidrIpv6, prefixListId"),
        (
            {"CidrIpv4": None, "CidrIpv6": "::/0"},
            "InvalidParameterValue",
            "an IPv6 CIDR for an existing IPv4 CIDR rule",
        ),
        (
            {"CidrIpv4": None, "ReferencedGroupId": f"sg-{ABSENT}"},
            "InvalidParameterValue",
            "You may not specify a referenced group id for an existing IPv4 CIDR rule.",
        ),
        (
            {"CidrIpv4": None, "PrefixListId": f"pl-{ABSENT}"},
            "InvalidParameterValue",
            "You may not specify a prefix list for an existing IPv4 CIDR rule.",
        ),
        ({"IpProtocol": None}, "InvalidParameterValue", "VPC security group rules must specify protocols explicitly."),
        ({"FromPort": None}, "InvalidParameterValue", "Invalid value for portRange. Must specify both from and to"),
        ({"CidrIpv4": "10.0.0.0"}, "InvalidParameterValue", "CIDR block 10.0.0.0 is malformed"),
        (
            {"FromPort": 7, "ToPort": 7, "CidrIpv4": "10.0.0.0/8"},
            "InvalidPermission.Duplicate",
            'the specified rule "peer: 10.0.0.0/8, TCP, from port: 7, to port: 7, ALLOW" already exists',
        ),
    ],
)
def test_a_change_that_is_refused_changes_nothing(
    region: Region, changes: dict[str, Any], code: str, text: str
) -> None:
    group_id = new_group(region)
    rule_id = allowed(region, group_id)
    allowed(region, group_id, FromPort=7, ToPort=7)
    before = region.ec2.describe_security_group_rules(Filters=by("group-id", group_id))["SecurityGroupRules"]
    got, message, _ = refused(
        lambda: region.ec2.modify_security_group_rules(
            GroupId=group_id, SecurityGroupRules=[update(rule_id, **changes)]
        )
    )
    assert got == code and text in message
    assert region.ec2.describe_security_group_rules(Filters=by("group-id", group_id))["SecurityGroupRules"] == before


def test_rules_of_other_groups_are_not_there(region: Region) -> None:
    group_id, other = new_group(region), new_group(region, "other")
    rule_id = allowed(region, other)
    for call in (
        lambda: region.ec2.modify_security_group_rules(GroupId=group_id, SecurityGroupRules=[update(rule_id)]),
        lambda: region.ec2.update_security_group_rule_descriptions_ingress(
            GroupId=group_id, SecurityGroupRuleDescriptions=[{"SecurityGroupRuleId": rule_id}]
        ),
        lambda: region.ec2.update_security_group_rule_descriptions_egress(
            GroupId=other, SecurityGroupRuleDescriptions=[{"SecurityGroupRuleId": rule_id}]
        ),
    ):
        assert refused(call) == (
            "InvalidSecurityGroupRuleId.NotFound",
            f"The security group rule ID '{rule_id}' does not exist",
            400,
        )
    twice = [update(rule_id), update(rule_id)]
    assert refused(lambda: region.ec2.modify_security_group_rules(GroupId=other, SecurityGroupRules=twice))[0] == (
        "InvalidParameterValue"
    )
    dry = refused(
        lambda: region.ec2.modify_security_group_rules(GroupId=other, SecurityGroupRules=[update(rule_id)], DryRun=True)
    )
    assert dry[0] == "DryRunOperation" and rule(region, rule_id)["FromPort"] == 80


def test_descriptions_are_changed_by_meaning_and_by_id(region: Region) -> None:
    group_id = new_group(region)
    rule_id = allowed(region, group_id)
    described = permission(IpRanges=[{"CidrIp": "10.0.0.0/8", "Description": "office"}])
    update_ingress = region.ec2.update_security_group_rule_descriptions_ingress
    assert update_ingress(GroupId=group_id, IpPermissions=[described])["Return"] is True
    assert rule(region, rule_id)["Description"] == "office"
    update_ingress(GroupName="web", IpPermissions=[permission()])
    assert "Description" not in rule(region, rule_id)
    by_id = [{"SecurityGroupRuleId": rule_id, "Description": "home"}]
    update_ingress(GroupId=group_id, SecurityGroupRuleDescriptions=by_id)
    assert rule(region, rule_id)["Description"] == "home"
    assert refused(lambda: update_ingress(GroupId=group_id, IpPermissions=[permission(FromPort=1)])) == (
        "InvalidPermission.NotFound",
        "The specified rule does not exist in this security group.",
        400,
    )
    assert refused(lambda: update_ingress(GroupId=group_id))[0] == "MissingParameter"
    both = refused(
        lambda: update_ingress(GroupId=group_id, IpPermissions=[permission()], SecurityGroupRuleDescriptions=by_id)
    )
    assert both[0] == "InvalidParameterCombination"
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "out"}]}
    region.ec2.update_security_group_rule_descriptions_egress(GroupId=group_id, IpPermissions=[everything])
    [group] = region.ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    assert group["IpPermissionsEgress"][0]["IpRanges"] == [{"CidrIp": "0.0.0.0/0", "Description": "out"}]


def test_a_rule_may_refer_to_another_group_or_list(region: Region) -> None:
    group_id, first, second = new_group(region), new_group(region, "first"), new_group(region, "second")
    rule_id = allowed(region, group_id, IpRanges=[], UserIdGroupPairs=[{"GroupId": first}])
    change = update(rule_id, CidrIpv4=None, ReferencedGroupId=second)
    region.ec2.modify_security_group_rules(GroupId=group_id, SecurityGroupRules=[change])
    assert rule(region, rule_id)["ReferencedGroupInfo"]["GroupId"] == second
    region.ec2.delete_security_group(GroupId=first)
    assert refused(lambda: region.ec2.delete_security_group(GroupId=second))[0] == "DependencyViolation"
    assert region.ec2.describe_security_groups(Filters=by("ip-permission.group-name", "second"))["SecurityGroups"] == []
    [found] = region.ec2.describe_security_groups(Filters=by("ip-permission.group-id", second))["SecurityGroups"]
    assert found["GroupId"] == group_id
    absent = update(rule_id, CidrIpv4=None, ReferencedGroupId=f"sg-{ABSENT}")
    assert (
        refused(lambda: region.ec2.modify_security_group_rules(GroupId=group_id, SecurityGroupRules=[absent]))[0]
        == "InvalidGroup.NotFound"
    )


def test_ids_in_the_filter_of_rules_are_looked_at(region: Region) -> None:
    describe = region.ec2.describe_security_group_rules
    assert refused(lambda: describe(Filters=by("group-id", "web"))) == (
        "InvalidGroupId.Malformed",
        "The security group ID 'web' is malformed",
        400,
    )
    assert describe(Filters=by("group-id", f"sg-{ABSENT}"))["SecurityGroupRules"] == []
    assert len(describe(Filters=by("group-id", "sg-*"))["SecurityGroupRules"]) == 2


def test_rules_of_a_group_are_listed_egress_first_and_by_their_meaning(region: Region) -> None:
    group_id = new_group(region)
    for first in ("3.0.0.0/8", "1.0.0.0/8", "2.0.0.0/8"):
        ranges = [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 2, "IpRanges": [{"CidrIp": first}]}]
        region.ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=ranges)
    rules = region.ec2.describe_security_group_rules(Filters=by("group-id", group_id))["SecurityGroupRules"]
    assert [(rule["IsEgress"], rule["CidrIpv4"]) for rule in rules] == [
        (True, "0.0.0.0/0"),
        (False, "1.0.0.0/8"),
        (False, "2.0.0.0/8"),
        (False, "3.0.0.0/8"),
    ]


def test_a_group_in_a_network_with_ipv6_lets_everything_out(region: Region) -> None:
    vpc = region.ec2.create_vpc(CidrBlock="10.9.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]["VpcId"]
    group_id = new_group(region, VpcId=vpc)
    [group] = region.ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    [out] = group["IpPermissionsEgress"]
    assert (out["IpRanges"], out["Ipv6Ranges"]) == ([{"CidrIp": "0.0.0.0/0"}], [{"CidrIpv6": "::/0"}])


def test_groups_of_another_network_are_refused(region: Region) -> None:
    vpc = region.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    elsewhere, group_id = new_group(region, "elsewhere", VpcId=vpc), new_group(region)
    pair = {"GroupId": elsewhere}
    assert refused(lambda: allowed(region, group_id, IpRanges=[], UserIdGroupPairs=[pair])) == (
        "InvalidGroup.NotFound",
        "You have specified two resources that belong to different networks.",
        400,
    )
    peered = pair | {"VpcPeeringConnectionId": f"pcx-{ABSENT}"}
    code, text, _ = refused(lambda: allowed(region, group_id, IpRanges=[], UserIdGroupPairs=[peered]))
    assert code == "InvalidVpcPeeringConnectionID.NotFound" and ABSENT in text
    for_vpc = region.ec2.get_security_groups_for_vpc(VpcId=vpc)["SecurityGroupForVpcs"]
    assert {one["GroupName"] for one in for_vpc} == {"default", "elsewhere"}
    [one] = region.ec2.get_security_groups_for_vpc(VpcId=vpc, Filters=by("group-name", "else*"))["SecurityGroupForVpcs"]
    assert one == {
        "Description": "a group",
        "GroupName": "elsewhere",
        "OwnerId": ACCOUNT,
        "GroupId": elsewhere,
        "Tags": [],
        "PrimaryVpcId": vpc,
    }
    assert region.ec2.describe_stale_security_groups(VpcId=vpc)["StaleSecurityGroupSet"] == []
    assert region.ec2.describe_security_group_references(GroupId=[elsewhere])["SecurityGroupReferenceSet"] == []


def test_what_is_named_must_be_there(region: Region) -> None:
    for call, code in (
        (lambda: region.ec2.describe_stale_security_groups(VpcId=f"vpc-{ABSENT}"), "InvalidVpcID.NotFound"),
        (lambda: region.ec2.get_security_groups_for_vpc(VpcId=f"vpc-{ABSENT}"), "InvalidVpcID.NotFound"),
        (lambda: region.ec2.get_security_groups_for_vpc(VpcId="x"), "InvalidVpcID.NotFound"),
        (lambda: region.ec2.describe_security_group_references(GroupId=[f"sg-{ABSENT}"]), "InvalidGroup.NotFound"),
        (lambda: region.ec2.describe_security_group_references(GroupId=["x"]), "InvalidGroupId.Malformed"),
    ):
        assert refused(call)[0] == code


def test_a_group_that_an_endpoint_has_stays(region: Region) -> None:
    group_id = new_group(region)
    endpoint = VpcEndpoint(
        account=ACCOUNT,
        name="vpce-1",
        vpc_id=vpc_id(region),
        endpoint_type="Interface",
        service_name="com.amazonaws.us-east-1.ecs",
        state="available",
        created_at=0.0,
        policy="",
        groups=(group_id,),
    )
    region.run(region.network.change(ACCOUNT, lambda _: Change(result=None, put=(endpoint,))))
    assert refused(lambda: region.ec2.delete_security_group(GroupId=group_id))[0] == "DependencyViolation"
