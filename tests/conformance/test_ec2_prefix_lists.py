"""Managed prefix lists as botocore's own client makes, changes, refers to and deletes them."""

from typing import Any

import pytest

from .ec2_region import ABSENT, ACCOUNT, REGION, Region, by, ec2_region, refused, vpc_id

__all__ = ["ec2_region"]  # the fixture `region`


def new_list(region: Region, *cidrs: str, size: int = 5, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "PrefixListName": "office",
        "AddressFamily": "IPv4",
        "MaxEntries": size,
        "Entries": [{"Cidr": cidr} for cidr in cidrs],
    }
    return dict(region.ec2.create_managed_prefix_list(**given | changes)["PrefixList"])


def cidrs(region: Region, list_id: str, **params: Any) -> list[str]:
    answer = region.ec2.get_managed_prefix_list_entries(PrefixListId=list_id, **params)
    return [one["Cidr"] for one in answer["Entries"]]


def new_group(region: Region) -> str:
    return str(region.ec2.create_security_group(GroupName="web", Description="a group")["GroupId"])


def allow(region: Region, group_id: str, list_id: str, port: int = 443) -> Any:
    permission = {
        "IpProtocol": "tcp",
        "FromPort": port,
        "ToPort": port,
        "PrefixListIds": [{"PrefixListId": list_id, "Description": "from the office"}],
    }
    return region.ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[permission])


def test_a_list_is_made_found_and_deleted(region: Region) -> None:
    tags = [{"ResourceType": "prefix-list", "Tags": [{"Key": "Name", "Value": "x"}]}]
    made = new_list(region, "10.1.0.0/16", TagSpecifications=tags, ClientToken="once")
    list_id = made["PrefixListId"]
    assert made == {
        "PrefixListId": list_id,
        "AddressFamily": "IPv4",
        "State": "create-complete",
        "PrefixListArn": f"arn:aws:ec2:{REGION}:{ACCOUNT}:prefix-list/{list_id}",
        "PrefixListName": "office",
        "MaxEntries": 5,
        "Version": 1,
        "Tags": [{"Key": "Name", "Value": "x"}],
        "OwnerId": ACCOUNT,
    }
    assert new_list(region, ClientToken="once")["PrefixListId"] == list_id
    for params in (
        {"PrefixListIds": [list_id]},
        {"Filters": by("prefix-list-id", list_id)},
        {"Filters": by("prefix-list-name", "off*")},
        {"Filters": [*by("owner-id", ACCOUNT), *by("tag:Name", "x")]},
    ):
        assert region.ec2.describe_managed_prefix_lists(**params)["PrefixLists"] == [made]
    assert region.ec2.delete_managed_prefix_list(PrefixListId=list_id)["PrefixList"]["State"] == "delete-complete"
    assert refused(lambda: region.ec2.describe_managed_prefix_lists(PrefixListIds=[list_id])) == (
        "InvalidPrefixListID.NotFound",
        f"The prefix list ID '{list_id}' does not exist",
        400,
    )


def test_the_lists_of_aws_are_shown_and_stay(region: Region) -> None:
    found = region.ec2.describe_managed_prefix_lists(Filters=by("owner-id", "AWS"))["PrefixLists"]
    assert {one["PrefixListName"] for one in found} == {
        f"com.amazonaws.{REGION}.dynamodb",
        f"com.amazonaws.{REGION}.s3",
    }
    list_id = found[0]["PrefixListId"]
    assert found[0]["PrefixListArn"] == f"arn:aws:ec2:{REGION}:aws:prefix-list/{list_id}"
    assert "MaxEntries" not in found[0] and "Version" not in found[0]
    assert cidrs(region, list_id) == []
    tags = [{"Key": "a", "Value": "1"}]
    for call in (
        lambda: region.ec2.delete_managed_prefix_list(PrefixListId=list_id),
        lambda: region.ec2.modify_managed_prefix_list(PrefixListId=list_id, PrefixListName="x"),
        lambda: region.ec2.create_tags(Resources=[list_id], Tags=tags),
    ):
        assert refused(call)[0] == "OperationNotPermitted"
    group_id = new_group(region)
    allow(region, group_id, list_id)
    [group] = region.ec2.describe_security_groups(Filters=by("ip-permission.prefix-list-id", list_id))["SecurityGroups"]
    assert group["GroupId"] == group_id


def test_entries_make_versions(region: Region) -> None:
    list_id = new_list(region, "10.1.0.0/16")["PrefixListId"]
    changed = region.ec2.modify_managed_prefix_list(
        PrefixListId=list_id,
        CurrentVersion=1,
        AddEntries=[{"Cidr": "10.3.0.0/16", "Description": "third"}, {"Cidr": "10.2.0.7/16"}],
        RemoveEntries=[{"Cidr": "10.1.0.0/16"}],
    )["PrefixList"]
    assert (changed["Version"], changed["State"]) == (2, "modify-complete")
    assert region.ec2.get_managed_prefix_list_entries(PrefixListId=list_id)["Entries"] == [
        {"Cidr": "10.2.0.0/16"},
        {"Cidr": "10.3.0.0/16", "Description": "third"},
    ]
    assert cidrs(region, list_id, TargetVersion=1) == ["10.1.0.0/16"]
    assert refused(lambda: cidrs(region, list_id, TargetVersion=3))[0] == "InvalidParameterValue"
    renamed = region.ec2.modify_managed_prefix_list(PrefixListId=list_id, PrefixListName="home")["PrefixList"]
    assert (renamed["PrefixListName"], renamed["Version"]) == ("home", 2)
    restored = region.ec2.restore_managed_prefix_list_version(
        PrefixListId=list_id, PreviousVersion=1, CurrentVersion=2
    )["PrefixList"]
    assert (restored["Version"], restored["State"]) == (3, "restore-complete")
    assert cidrs(region, list_id) == ["10.1.0.0/16"]


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"CurrentVersion": 2}, "PrefixListVersionMismatch", "The prefix list has the incorrect version number."),
        ({"RemoveEntries": [{"Cidr": "10.9.0.0/16"}]}, "InvalidPrefixListModification", "does not exist."),
        ({"AddEntries": [{"Cidr": "10.1.0.0/16"}]}, "InvalidPrefixListModification", "already exists."),
        (
            {"AddEntries": [{"Cidr": "10.1.0.0/16"}], "RemoveEntries": [{"Cidr": "10.1.0.0/16"}]},
            "InvalidParameterValue",
            "Request cannot contain Cidr 10.1.0.0/16 in both AddPrefixListEntries and RemovePrefixListEntries",
        ),
        (
            {"AddEntries": [{"Cidr": f"10.{n}.0.0/16"} for n in range(2, 7)]},
            "PrefixListMaxEntriesExceeded",
            "You've reached the maximum number of entries for the prefix list.",
        ),
        ({"AddEntries": [{"Cidr": "::/0"}]}, "InvalidParameterValue", "CIDR block ::/0 is malformed"),
        ({"MaxEntries": 0}, "InvalidParameterValue", "Must specify a max size between 1 and 1000"),
        ({"MaxEntries": 6, "AddEntries": [{"Cidr": "10.2.0.0/16"}]}, "InvalidParameterCombination", "same time"),
        ({"PrefixListName": "com.amazonaws.x"}, "InvalidParameterValue", "cannot start with com.amazonaws."),
        ({"IpamPrefixListResolverSyncEnabled": True}, "UnsupportedOperation", "IPAM"),
        ({"PrefixListId": f"pl-{ABSENT}"}, "InvalidPrefixListID.NotFound", f"'pl-{ABSENT}' does not exist"),
        ({"PrefixListId": "x"}, "InvalidPrefixListId.Malformed", 'Invalid id: "x" (expecting "pl-...")'),
        ({"DryRun": True}, "DryRunOperation", ""),
    ],
)
def test_a_change_that_is_refused_changes_nothing(
    region: Region, changes: dict[str, Any], code: str, text: str
) -> None:
    made = new_list(region, "10.1.0.0/16")
    given: dict[str, Any] = {"PrefixListId": made["PrefixListId"]} | changes
    got, message, _ = refused(lambda: region.ec2.modify_managed_prefix_list(**given))
    assert got == code and text in message
    assert region.ec2.describe_managed_prefix_lists(PrefixListIds=[made["PrefixListId"]])["PrefixLists"] == [made]
    assert cidrs(region, made["PrefixListId"]) == ["10.1.0.0/16"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"AddressFamily": "IPv5"}, "InvalidParameterValue"),
        ({"MaxEntries": 1001}, "InvalidParameterValue"),
        ({"PrefixListName": ""}, "InvalidParameterValue"),
        ({"PrefixListName": "n" * 256}, "InvalidParameterValue"),
        ({"Entries": [{"Cidr": "10.0.0.0/8"}, {"Cidr": "10.1.0.0/8"}]}, "InvalidParameterValue"),
        ({"Entries": [{"Cidr": "10.0.0.0/8", "Description": "d" * 256}]}, "InvalidParameterValue"),
        ({"Entries": [{"Cidr": f"10.{n}.0.0/16"} for n in range(6)]}, "PrefixListMaxEntriesExceeded"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)
def test_a_list_that_is_refused_is_not_made(region: Region, changes: dict[str, Any], code: str) -> None:
    assert refused(lambda: new_list(region, **changes))[0] == code
    assert region.ec2.describe_managed_prefix_lists(Filters=by("owner-id", ACCOUNT))["PrefixLists"] == []


def test_a_rule_refers_to_a_list_and_hosts_hear_its_networks(region: Region) -> None:
    list_id = new_list(region, "10.1.0.0/16", "10.2.0.0/16")["PrefixListId"]
    group_id = new_group(region)
    [rule] = allow(region, group_id, list_id)["SecurityGroupRules"]
    assert rule["PrefixListId"] == list_id and rule["Description"] == "from the office"
    [group] = region.ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    assert group["IpPermissions"][0]["PrefixListIds"] == [{"Description": "from the office", "PrefixListId": list_id}]

    def planned() -> list[str | None]:
        groups = {one.group_id: one for one in region.network.plan(vpc_id(region)).groups}
        return [one.cidr_ipv4 for one in groups[group_id].ingress]

    assert planned() == ["10.1.0.0/16", "10.2.0.0/16"]
    before = region.network.plan(vpc_id(region)).generation
    region.ec2.modify_managed_prefix_list(PrefixListId=list_id, RemoveEntries=[{"Cidr": "10.1.0.0/16"}])
    assert planned() == ["10.2.0.0/16"] and region.network.plan(vpc_id(region)).generation > before
    found = region.ec2.get_managed_prefix_list_associations(PrefixListId=list_id)["PrefixListAssociations"]
    assert found == [{"ResourceId": group_id, "ResourceOwner": ACCOUNT}]
    kept = region.ec2.delete_managed_prefix_list(PrefixListId=list_id)["PrefixList"]
    assert kept["State"] == "delete-failed" and group_id in kept["StateMessage"]
    assert region.ec2.describe_managed_prefix_lists(PrefixListIds=[list_id])["PrefixLists"] == [kept]
    permission = {
        "IpProtocol": "tcp",
        "FromPort": 443,
        "ToPort": 443,
        "PrefixListIds": [{"PrefixListId": list_id}],
    }
    revoked = region.ec2.revoke_security_group_ingress(GroupId=group_id, IpPermissions=[permission])
    assert revoked["RevokedSecurityGroupRules"][0]["PrefixListId"] == list_id
    region.ec2.delete_managed_prefix_list(PrefixListId=list_id)
    assert region.ec2.describe_managed_prefix_lists(Filters=by("owner-id", ACCOUNT))["PrefixLists"] == []


def test_a_list_counts_with_all_that_it_may_have(region: Region) -> None:
    list_id, group_id = new_list(region, size=30)["PrefixListId"], new_group(region)
    allow(region, group_id, list_id, 1)
    allow(region, group_id, list_id, 2)
    assert refused(lambda: allow(region, group_id, list_id, 3))[0] == "RulesPerSecurityGroupLimitExceeded"
    failed = region.ec2.modify_managed_prefix_list(PrefixListId=list_id, MaxEntries=31)["PrefixList"]
    assert (failed["State"], failed["MaxEntries"]) == ("modify-failed", 30) and group_id in failed["StateMessage"]
    smaller = region.ec2.modify_managed_prefix_list(PrefixListId=list_id, MaxEntries=20)["PrefixList"]
    assert (smaller["State"], smaller["MaxEntries"], smaller["Version"]) == ("modify-complete", 20, 1)
    allow(region, group_id, list_id, 3)


def test_pages_of_lists_and_entries(region: Region) -> None:
    made = new_list(region, "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16")
    first = region.ec2.get_managed_prefix_list_entries(PrefixListId=made["PrefixListId"], MaxResults=2)
    rest = region.ec2.get_managed_prefix_list_entries(PrefixListId=made["PrefixListId"], NextToken=first["NextToken"])
    assert [one["Cidr"] for one in first["Entries"] + rest["Entries"]] == ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"]
    pages = list(region.ec2.get_paginator("describe_managed_prefix_lists").paginate(PaginationConfig={"PageSize": 1}))
    assert [len(page["PrefixLists"]) for page in pages] == [1, 1, 1]
    assert (
        refused(lambda: region.ec2.get_managed_prefix_list_entries(PrefixListId=made["PrefixListId"], NextToken="!!"))[
            0
        ]
        == "InvalidNextToken"
    )
    # The token is of these entries, not of another list's.
    other = new_list(region, "10.4.0.0/16")["PrefixListId"]
    elsewhere = refused(
        lambda: region.ec2.get_managed_prefix_list_entries(PrefixListId=other, NextToken=first["NextToken"])
    )
    assert elsewhere[0] == "InvalidNextToken"
