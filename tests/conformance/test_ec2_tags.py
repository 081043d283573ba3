"""Tags of network objects, as botocore's own client puts, finds and takes them."""

from typing import Any

import pytest

from .ec2_region import ABSENT, Region, by, ec2_region, refused, vpc_id

__all__ = ["ec2_region"]  # the fixture `region`


def group_and_rule(region: Region) -> tuple[str, str]:
    group_id = str(region.ec2.create_security_group(GroupName="web", Description="a group")["GroupId"])
    [rule] = region.ec2.describe_security_group_rules(Filters=by("group-id", group_id))["SecurityGroupRules"]
    return group_id, str(rule["SecurityGroupRuleId"])


def rows(region: Region, **params: Any) -> list[tuple[str, str, str, str]]:
    found = region.ec2.describe_tags(**params)["Tags"]
    return [(one["ResourceId"], one["ResourceType"], one["Key"], one["Value"]) for one in found]


def test_tags_of_several_kinds_are_put_found_and_taken(region: Region) -> None:
    group_id, rule_id = group_and_rule(region)
    vpc = vpc_id(region)
    tags = [{"Key": "Name", "Value": "x"}, {"Key": "empty", "Value": ""}]
    region.ec2.create_tags(Resources=[vpc, group_id, rule_id], Tags=tags)
    assert rows(region, Filters=by("key", "Name")) == sorted(
        [
            (vpc, "vpc", "Name", "x"),
            (group_id, "security-group", "Name", "x"),
            (rule_id, "security-group-rule", "Name", "x"),
        ]
    )
    assert rows(region, Filters=by("resource-type", "vpc")) == [(vpc, "vpc", "Name", "x"), (vpc, "vpc", "empty", "")]
    assert rows(region, Filters=[*by("resource-id", group_id), *by("value", "x")]) == [
        (group_id, "security-group", "Name", "x")
    ]
    assert len(rows(region, Filters=by("tag:Name", "x"))) == 3
    assert rows(region, Filters=by("tag:Name", "y")) == []
    [group] = region.ec2.describe_security_groups(Filters=by("tag:Name", "x"))["SecurityGroups"]
    assert group["Tags"] == tags
    [rule] = region.ec2.describe_security_group_rules(Filters=by("tag:Name", "x"))["SecurityGroupRules"]
    assert rule["SecurityGroupRuleId"] == rule_id and rule["Tags"] == tags
    region.ec2.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": "y"}])
    assert rows(region, Filters=by("resource-id", vpc)) == [(vpc, "vpc", "Name", "y"), (vpc, "vpc", "empty", "")]


def test_a_tag_is_deleted_by_key_by_value_or_with_all(region: Region) -> None:
    vpc = vpc_id(region)

    def put() -> None:
        tags = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}, {"Key": "c", "Value": "3"}]
        region.ec2.create_tags(Resources=[vpc], Tags=tags)

    def left() -> list[str]:
        return [key for _, _, key, _ in rows(region)]

    put()
    region.ec2.delete_tags(Resources=[vpc], Tags=[{"Key": "a"}, {"Key": "no-such"}])
    assert left() == ["b", "c"]
    put()
    region.ec2.delete_tags(Resources=[vpc], Tags=[{"Key": "a", "Value": "2"}, {"Key": "b", "Value": ""}])
    assert left() == ["a", "c"]
    region.ec2.delete_tags(Resources=[vpc], Tags=[{"Key": "a", "Value": ""}])
    assert left() == ["a", "c"]
    region.ec2.delete_tags(Resources=[vpc])
    assert left() == []


@pytest.mark.parametrize(
    ("resource", "code", "text"),
    [
        ("nonsense", "InvalidID", "The ID 'nonsense' is not valid"),
        (f"i-{ABSENT}", "InvalidID", f"The ID 'i-{ABSENT}' is not valid"),
        ("vpc-x", "InvalidID", "The ID 'vpc-x' is not valid"),
        (f"vpc-{ABSENT}", "InvalidVpcID.NotFound", f"The vpc ID 'vpc-{ABSENT}' does not exist"),
        (f"subnet-{ABSENT}", "InvalidSubnetID.NotFound", f"The subnet ID 'subnet-{ABSENT}' does not exist"),
        (f"sg-{ABSENT}", "InvalidGroup.NotFound", f"The security group 'sg-{ABSENT}' does not exist"),
        (f"sgr-{ABSENT}", "InvalidSecurityGroupRuleId.NotFound", f"'sgr-{ABSENT}' does not exist"),
        (f"rtb-{ABSENT}", "InvalidRouteTableID.NotFound", f"The routeTable ID 'rtb-{ABSENT}' does not exist"),
        (f"igw-{ABSENT}", "InvalidInternetGatewayID.NotFound", f"'igw-{ABSENT}' does not exist"),
        (f"acl-{ABSENT}", "InvalidNetworkAclID.NotFound", f"The networkAcl ID 'acl-{ABSENT}' does not exist"),
        (f"pl-{ABSENT}", "InvalidPrefixListID.NotFound", f"The prefix list ID 'pl-{ABSENT}' does not exist"),
        (f"dopt-{ABSENT}", "InvalidDhcpOptionID.NotFound", f"'dopt-{ABSENT}' does not exist"),
        (f"eipalloc-{ABSENT}", "InvalidAllocationID.NotFound", f"'eipalloc-{ABSENT}' does not exist"),
        (f"eni-{ABSENT}", "InvalidNetworkInterfaceID.NotFound", f"'eni-{ABSENT}' does not exist"),
    ],
)
def test_one_that_is_not_there_and_nothing_is_changed(region: Region, resource: str, code: str, text: str) -> None:
    for call in (region.ec2.create_tags, region.ec2.delete_tags):
        got, message, status = refused(
            lambda call=call: call(Resources=[vpc_id(region), resource], Tags=[{"Key": "a", "Value": "1"}])  # type: ignore[misc]
        )
        assert (got, status) == (code, 400) and text in message
    assert rows(region) == []


def test_limits_of_tags(region: Region) -> None:
    vpc = vpc_id(region)

    def put(tags: list[dict[str, str]]) -> None:
        region.ec2.create_tags(Resources=[vpc], Tags=tags)

    assert refused(lambda: put([{"Key": "aws:x", "Value": ""}])) == (
        "InvalidParameterValue",
        "Value ( aws:x ) for parameter key is invalid. Tag keys starting with 'aws:' are reserved for internal use",
        400,
    )
    assert refused(lambda: put([{"Key": "k" * 128, "Value": ""}]))[0] == "InvalidParameterValue"
    assert refused(lambda: put([{"Key": "k", "Value": "v" * 257}]))[0] == "InvalidParameterValue"
    put([{"Key": "k" * 127, "Value": "v" * 256}])
    put([{"Key": f"k{n}", "Value": ""} for n in range(49)])
    assert refused(lambda: put([{"Key": "one more", "Value": ""}])) == (
        "TagLimitExceeded",
        "The maximum number of Tags for a resource has been reached.",
        400,
    )
    put([{"Key": "k1", "Value": "over"}])
    assert rows(region, Filters=by("value", "over")) == [(vpc, "vpc", "k1", "over")]


def test_pages_of_tags(region: Region) -> None:
    region.ec2.create_tags(Resources=[vpc_id(region)], Tags=[{"Key": f"k{n:02}", "Value": ""} for n in range(12)])
    pages = list(region.ec2.get_paginator("describe_tags").paginate(PaginationConfig={"PageSize": 5}))
    assert [[tag["Key"] for tag in page["Tags"]] for page in pages] == [
        ["k00", "k01", "k02", "k03", "k04"],
        ["k05", "k06", "k07", "k08", "k09"],
        ["k10", "k11"],
    ]


def test_what_has_no_tags_here_says_so(region: Region) -> None:
    made = region.reserve("task-1")
    assert made.eni is not None
    tags = [{"Key": "a", "Value": "1"}]
    assert refused(lambda: region.ec2.create_tags(Resources=[made.eni.eni_id], Tags=tags)) == (
        "UnsupportedOperation",
        "Tags of network interfaces that a service manages cannot be changed.",
        400,
    )


def test_tags_of_nothing(region: Region) -> None:
    text = "The request must contain the parameter resourceIdSet"
    assert refused(lambda: region.ec2.create_tags(Resources=[], Tags=[{"Key": "a"}]))[:2] == ("MissingParameter", text)
    assert refused(lambda: region.ec2.delete_tags(Resources=[], Tags=[{"Key": "a"}]))[:2] == ("MissingParameter", text)


def test_dry_runs_of_tags_change_nothing(region: Region) -> None:
    vpc, tags = vpc_id(region), [{"Key": "a", "Value": "1"}]
    assert refused(lambda: region.ec2.create_tags(Resources=[vpc], Tags=tags, DryRun=True))[0] == "DryRunOperation"
    assert rows(region) == []
    region.ec2.create_tags(Resources=[vpc], Tags=tags)
    assert refused(lambda: region.ec2.delete_tags(Resources=[vpc], DryRun=True))[0] == "DryRunOperation"
    assert refused(lambda: region.ec2.describe_tags(DryRun=True))[0] == "DryRunOperation"
    assert len(rows(region)) == 1


@pytest.mark.parametrize(
    ("specification", "code", "text"),
    [
        (
            {"Tags": [{"Key": "a", "Value": ""}]},
            "InvalidParameter",
            "Tag specification resource type must have a value",
        ),
        ({"ResourceType": "network-acl"}, "InvalidParameter", "Tag specification must have at least one tag"),
        (
            {"ResourceType": "vpc", "Tags": [{"Key": "a", "Value": ""}]},
            "InvalidParameter",
            "'vpc' is not a valid taggable resource type for this operation.",
        ),
        (
            {"ResourceType": "network-acl", "Tags": [{"Key": "aws:a", "Value": ""}]},
            "InvalidParameterValue",
            "Tag keys starting with 'aws:' are reserved for internal use",
        ),
        (
            {"ResourceType": "network-acl", "Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]},
            "InvalidParameterValue",
            "Duplicate tag key 'a' specified.",
        ),
    ],
)
def test_tags_of_what_is_made(region: Region, specification: dict[str, Any], code: str, text: str) -> None:
    made = refused(lambda: region.ec2.create_network_acl(VpcId=vpc_id(region), TagSpecifications=[specification]))
    assert made == (code, text, 400)


def test_values_of_tags_are_filtered_by(region: Region) -> None:
    group_id, _ = group_and_rule(region)
    region.ec2.create_tags(Resources=[group_id], Tags=[{"Key": "stage", "Value": "test"}])
    [found] = region.ec2.describe_security_groups(Filters=by("tag-value", "t?st"))["SecurityGroups"]
    assert found["GroupId"] == group_id
    assert region.ec2.describe_security_groups(Filters=by("tag-value", "stage"))["SecurityGroups"] == []
