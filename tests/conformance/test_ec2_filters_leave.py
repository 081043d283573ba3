"""What policies decide of tags, network ACLs, prefix lists and rules of groups, before a whole region in memory."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from .door_clients import allow
from .test_authorization import EC2, Region, deny, refused, sentence

ABSENT = "0123456789abcdef0"
WHY = "with an explicit deny in an identity-based policy"


@pytest.fixture(name="region")
def fixture_region() -> Iterator[Region]:
    with asyncio.Runner() as runner:
        yield Region(runner)


def unauthorized(action: str, resource: str, why: str | None = None) -> tuple[str, int, str]:
    told = sentence(action, resource, why)
    return "UnauthorizedOperation", 403, f"You are not authorized to perform this operation. {told}"


def group(region: Region, name: str, **tags: str) -> str:
    specification = [{"ResourceType": "security-group", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}]
    given = {"TagSpecifications": specification} if tags else {}
    return str(region.ec2.create_security_group(GroupName=name, Description="x", **given)["GroupId"])


def tagged(region: Region) -> set[tuple[str, str]]:
    return {(tag["ResourceId"], tag["Key"]) for tag in region.ec2.describe_tags()["Tags"]}


def test_tags_that_are_there_decide_and_one_refusal_is_for_all(region: Region) -> None:
    mine, theirs = group(region, "mine", team="a"), group(region, "theirs", team="b")
    before = tagged(region)
    ec2 = region.al(
        allow("ec2:CreateTags", "ec2:DeleteTags", StringEquals={"aws:ResourceTag/team": "a"}), service="ec2"
    )
    tags = [{"Key": "stage", "Value": "test"}]
    told = unauthorized("ec2:CreateTags", f"{EC2}:security-group/{theirs}")
    assert refused(ec2.create_tags, Resources=[mine, theirs], Tags=tags) == told
    assert refused(ec2.delete_tags, Resources=[theirs]) == unauthorized(
        "ec2:DeleteTags", f"{EC2}:security-group/{theirs}"
    )
    assert tagged(region) == before
    ec2.create_tags(Resources=[mine], Tags=tags)
    assert tagged(region) == before | {(mine, "stage")}
    absent = f"{EC2}:vpc/vpc-{ABSENT}"
    assert refused(ec2.create_tags, Resources=[f"vpc-{ABSENT}"], Tags=tags) == unauthorized("ec2:CreateTags", absent)
    assert refused(ec2.create_tags, Resources=["nonsense"], Tags=tags) == unauthorized("ec2:CreateTags", "*")


def test_tags_of_a_rule_decide_about_the_rule(region: Region) -> None:
    found = region.ec2.describe_security_group_rules()["SecurityGroupRules"]
    mine, other = (rule["SecurityGroupRuleId"] for rule in found)
    region.ec2.create_tags(Resources=[mine], Tags=[{"Key": "team", "Value": "a"}])
    ec2 = region.al(allow("ec2:DeleteTags", StringEquals={"aws:ResourceTag/team": "a"}), service="ec2")
    told = unauthorized("ec2:DeleteTags", f"{EC2}:security-group-rule/{other}")
    assert refused(ec2.delete_tags, Resources=[other]) == told
    ec2.delete_tags(Resources=[mine])
    assert tagged(region) == set()


def test_tags_that_are_asked_for_decide(region: Region) -> None:
    vpc = region.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    only = {"StringEquals": {"aws:RequestTag/team": "a"}, "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}}
    ec2 = region.al(allow("ec2:CreateTags", **only), service="ec2")
    told = unauthorized("ec2:CreateTags", f"{EC2}:vpc/{vpc}")
    team = {"Key": "team", "Value": "a"}
    assert refused(ec2.create_tags, Resources=[vpc], Tags=[{"Key": "team", "Value": "b"}]) == told
    assert refused(ec2.create_tags, Resources=[vpc], Tags=[team, {"Key": "x", "Value": ""}]) == told
    ec2.create_tags(Resources=[vpc], Tags=[team])
    assert tagged(region) == {(vpc, "team")}


def test_leave_to_tag_what_is_made_is_no_leave_to_tag(region: Region) -> None:
    vpc = region.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    making = allow("ec2:CreateTags", StringEquals={"ec2:CreateAction": "CreateNetworkAcl"})
    ec2 = region.al(allow("ec2:CreateNetworkAcl", "ec2:CreateManagedPrefixList"), making, service="ec2")
    tags = [{"Key": "team", "Value": "a"}]
    made = ec2.create_network_acl(VpcId=vpc, TagSpecifications=[{"ResourceType": "network-acl", "Tags": tags}])
    acl = made["NetworkAcl"]["NetworkAclId"]
    told = unauthorized("ec2:CreateTags", f"{EC2}:network-acl/{acl}")
    assert refused(ec2.create_tags, Resources=[acl], Tags=tags) == told
    wanted = {"PrefixListName": "a", "MaxEntries": 1, "AddressFamily": "IPv4"}
    specification = [{"ResourceType": "prefix-list", "Tags": tags}]
    told = unauthorized("ec2:CreateTags", f"{EC2}:prefix-list/*")
    assert refused(ec2.create_managed_prefix_list, **wanted, TagSpecifications=specification) == told
    assert ec2.create_managed_prefix_list(**wanted)["PrefixList"]["Version"] == 1


def test_the_network_of_an_acl_decides(region: Region) -> None:
    vpc = region.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    acl = region.ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    kept = deny("ec2:*", ArnEquals={"ec2:Vpc": f"{EC2}:vpc/{vpc}"})
    ec2 = region.al(allow("ec2:*"), kept, service="ec2")
    resource = f"{EC2}:network-acl/{acl}"
    assert refused(ec2.delete_network_acl, NetworkAclId=acl) == unauthorized("ec2:DeleteNetworkAcl", resource, WHY)
    given: dict[str, Any] = {"NetworkAclId": acl, "RuleNumber": 1, "Egress": False}
    told = unauthorized("ec2:DeleteNetworkAclEntry", resource, WHY)
    assert refused(ec2.delete_network_acl_entry, **given) == told
    assert ec2.describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"]


def test_a_subnet_gets_another_acl_with_leave_for_both(region: Region) -> None:
    vpc = region.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    acl = region.ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    default = region.ec2.describe_network_acls(Filters=[{"Name": "default", "Values": ["true"]}])["NetworkAcls"][0]
    association = default["Associations"][0]
    ec2 = region.al(allow("ec2:*", resource=f"{EC2}:network-acl/{acl}"), service="ec2")
    given = {"AssociationId": association["NetworkAclAssociationId"], "NetworkAclId": acl}
    told = unauthorized("ec2:ReplaceNetworkAclAssociation", f"{EC2}:subnet/{association['SubnetId']}")
    assert refused(ec2.replace_network_acl_association, **given) == told


def test_a_rule_is_changed_with_leave_for_what_it_refers_to(region: Region) -> None:
    mine, theirs = group(region, "mine", team="a"), group(region, "theirs")
    pair = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": mine}]}
    added = region.ec2.authorize_security_group_ingress(GroupId=mine, IpPermissions=[pair])["SecurityGroupRules"]
    rule_id = added[0]["SecurityGroupRuleId"]
    resources = [f"{EC2}:security-group/{mine}", f"{EC2}:security-group-rule/*"]
    ec2 = region.al(allow("ec2:ModifySecurityGroupRules", resource=resources), service="ec2")

    def refer(group_id: str) -> dict[str, Any]:
        rule = {"IpProtocol": "-1", "ReferencedGroupId": group_id}
        return {"GroupId": mine, "SecurityGroupRules": [{"SecurityGroupRuleId": rule_id, "SecurityGroupRule": rule}]}

    told = unauthorized("ec2:ModifySecurityGroupRules", f"{EC2}:security-group/{theirs}")
    assert refused(ec2.modify_security_group_rules, **refer(theirs)) == told
    ec2.modify_security_group_rules(**refer(mine))


def test_a_list_is_read_and_changed_with_leave_for_it(region: Region) -> None:
    wanted = {"PrefixListName": "a", "MaxEntries": 1, "AddressFamily": "IPv4"}
    list_id = region.ec2.create_managed_prefix_list(**wanted)["PrefixList"]["PrefixListId"]
    aws = region.ec2.describe_managed_prefix_lists(Filters=[{"Name": "owner-id", "Values": ["AWS"]}])
    aws_list = aws["PrefixLists"][0]
    resource = f"{EC2}:prefix-list/{list_id}"
    ec2 = region.al(allow("ec2:GetManagedPrefixListEntries", resource=resource), service="ec2")
    assert ec2.get_managed_prefix_list_entries(PrefixListId=list_id)["Entries"] == []
    told = unauthorized("ec2:GetManagedPrefixListEntries", aws_list["PrefixListArn"])
    assert refused(ec2.get_managed_prefix_list_entries, PrefixListId=aws_list["PrefixListId"]) == told
    for call, action in (
        (ec2.delete_managed_prefix_list, "ec2:DeleteManagedPrefixList"),
        (ec2.modify_managed_prefix_list, "ec2:ModifyManagedPrefixList"),
        (ec2.get_managed_prefix_list_associations, "ec2:GetManagedPrefixListAssociations"),
    ):
        assert refused(call, PrefixListId=list_id) == unauthorized(action, resource)
