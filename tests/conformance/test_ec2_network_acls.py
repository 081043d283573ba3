"""Network ACLs as botocore's own client makes, fills, moves and deletes them."""

from typing import Any

import pytest

from neargate.frontend.network.records.objects import NetworkAcl

from .ec2_region import ABSENT, ACCOUNT, Region, by, ec2_region, refused, vpc_id

__all__ = ["ec2_region"]  # the fixture `region`


def default_acl(region: Region) -> dict[str, Any]:
    [acl] = region.ec2.describe_network_acls(Filters=by("default", "true"))["NetworkAcls"]
    return dict(acl)


def new_acl(region: Region) -> str:
    return str(region.ec2.create_network_acl(VpcId=vpc_id(region))["NetworkAcl"]["NetworkAclId"])


def entry(acl_id: str, number: int = 100, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "NetworkAclId": acl_id,
        "RuleNumber": number,
        "Protocol": "6",
        "RuleAction": "allow",
        "Egress": False,
        "CidrBlock": "10.0.0.0/8",
        "PortRange": {"From": 80, "To": 90},
    }
    return {name: value for name, value in (given | changes).items() if value is not None}


def entries(region: Region, acl_id: str) -> list[dict[str, Any]]:
    [acl] = region.ec2.describe_network_acls(NetworkAclIds=[acl_id])["NetworkAcls"]
    return [one for one in acl["Entries"] if one["RuleNumber"] < 32767]


def last_lines(*, ipv6: bool = False) -> list[dict[str, Any]]:
    common: dict[str, Any] = {"Protocol": "-1", "RuleAction": "deny"}
    lines = []
    for egress in (True, False):
        lines.append(common | {"Egress": egress, "RuleNumber": 32767, "CidrBlock": "0.0.0.0/0"})
        if ipv6:
            lines.append(common | {"Egress": egress, "RuleNumber": 32768, "Ipv6CidrBlock": "::/0"})
    return lines


def test_the_default_acl_is_described(region: Region) -> None:
    acl = default_acl(region)
    assert acl["IsDefault"] is True and acl["VpcId"] == vpc_id(region) and acl["OwnerId"] == ACCOUNT
    assert [(one["Egress"], one["RuleNumber"], one["RuleAction"]) for one in acl["Entries"]] == [
        (True, 100, "allow"),
        (True, 32767, "deny"),
        (False, 100, "allow"),
        (False, 32767, "deny"),
    ]
    subnets = {one["SubnetId"] for one in region.ec2.describe_subnets()["Subnets"]}
    assert {one["SubnetId"] for one in acl["Associations"]} == subnets
    assert {one["NetworkAclId"] for one in acl["Associations"]} == {acl["NetworkAclId"]}


def test_an_acl_is_made_found_and_deleted(region: Region) -> None:
    tags = [{"ResourceType": "network-acl", "Tags": [{"Key": "Name", "Value": "dmz"}]}]
    made = region.ec2.create_network_acl(VpcId=vpc_id(region), TagSpecifications=tags, ClientToken="once")
    acl = made["NetworkAcl"]
    assert made["ClientToken"] == "once"
    assert acl["IsDefault"] is False and acl["Associations"] == [] and acl["Entries"] == last_lines()
    assert acl["Tags"] == [{"Key": "Name", "Value": "dmz"}]
    again = region.ec2.create_network_acl(VpcId=vpc_id(region), TagSpecifications=tags, ClientToken="once")
    assert again["NetworkAcl"]["NetworkAclId"] == acl["NetworkAclId"]
    for filters in (
        by("tag:Name", "dmz"),
        by("tag-key", "Name"),
        by("network-acl-id", acl["NetworkAclId"]),
        [*by("vpc-id", vpc_id(region)), *by("default", "false"), *by("owner-id", ACCOUNT)],
    ):
        assert region.ec2.describe_network_acls(Filters=filters)["NetworkAcls"] == [acl]
    region.ec2.delete_network_acl(NetworkAclId=acl["NetworkAclId"])
    assert refused(lambda: region.ec2.delete_network_acl(NetworkAclId=acl["NetworkAclId"])) == (
        "InvalidNetworkAclID.NotFound",
        f"The networkAcl ID '{acl['NetworkAclId']}' does not exist",
        400,
    )


def test_filters_look_at_entries_and_associations(region: Region) -> None:
    acl_id = new_acl(region)
    region.ec2.create_network_acl_entry(**entry(acl_id))
    region.ec2.create_network_acl_entry(
        **entry(acl_id, 7, Protocol="icmp", PortRange=None, IcmpTypeCode={"Type": 8, "Code": -1}, Egress=True)
    )
    region.ec2.create_network_acl_entry(
        **entry(acl_id, 8, CidrBlock=None, Ipv6CidrBlock="2001:db8::1/32", RuleAction="deny")
    )
    for name, value in (
        ("entry.cidr", "10.0.0.0/8"),
        ("entry.ipv6-cidr", "2001:db8::/32"),
        ("entry.icmp.type", "8"),
        ("entry.port-range.from", "80"),
        ("entry.port-range.to", "90"),
        ("entry.protocol", "tcp"),
        ("entry.protocol", "6"),
        ("entry.protocol", "icmp"),
        ("entry.rule-number", "7"),
    ):
        [found] = region.ec2.describe_network_acls(Filters=by(name, value))["NetworkAcls"]
        assert found["NetworkAclId"] == acl_id, name
    assert len(region.ec2.describe_network_acls(Filters=by("entry.rule-action", "deny"))["NetworkAcls"]) == 2
    assert len(region.ec2.describe_network_acls(Filters=by("entry.egress", "true"))["NetworkAcls"]) == 2
    assert len(region.ec2.describe_network_acls(Filters=by("entry.icmp.code", "-1"))["NetworkAcls"]) == 1
    association = default_acl(region)["Associations"][0]
    for name, value in (
        ("association.association-id", association["NetworkAclAssociationId"]),
        ("association.network-acl-id", association["NetworkAclId"]),
        ("association.subnet-id", association["SubnetId"]),
    ):
        [found] = region.ec2.describe_network_acls(Filters=by(name, value))["NetworkAcls"]
        assert found["IsDefault"]


def test_entries_are_added_replaced_and_deleted(region: Region) -> None:
    acl_id = new_acl(region)
    region.ec2.create_network_acl_entry(**entry(acl_id, CidrBlock="10.1.2.3/8"))
    shown = {
        "CidrBlock": "10.0.0.0/8",
        "Egress": False,
        "PortRange": {"From": 80, "To": 90},
        "Protocol": "6",
        "RuleAction": "allow",
        "RuleNumber": 100,
    }
    assert entries(region, acl_id) == [shown]
    assert refused(lambda: region.ec2.create_network_acl_entry(**entry(acl_id))) == (
        "NetworkAclEntryAlreadyExists",
        "The network acl entry identified by 100 already exists.",
        400,
    )
    region.ec2.create_network_acl_entry(**entry(acl_id, Egress=True))
    region.ec2.replace_network_acl_entry(**entry(acl_id, Protocol="-1", RuleAction="deny"))
    assert [one for one in entries(region, acl_id) if not one["Egress"]] == [
        {"CidrBlock": "10.0.0.0/8", "Egress": False, "Protocol": "-1", "RuleAction": "deny", "RuleNumber": 100}
    ]
    region.ec2.delete_network_acl_entry(NetworkAclId=acl_id, RuleNumber=100, Egress=False)
    assert [one["Egress"] for one in entries(region, acl_id)] == [True]
    code, text, _ = refused(lambda: region.ec2.replace_network_acl_entry(**entry(acl_id)))
    assert code == "InvalidNetworkAclEntry.NotFound" and text.startswith("no ingress entry with number 100")
    code, text, _ = refused(
        lambda: region.ec2.delete_network_acl_entry(NetworkAclId=acl_id, RuleNumber=101, Egress=True)
    )
    assert code == "InvalidNetworkAclEntry.NotFound" and text.startswith("no egress entry with number 101")


def test_an_acl_of_ipv6_shows_its_other_last_line(region: Region) -> None:
    acl_id = new_acl(region)
    region.ec2.create_network_acl_entry(**entry(acl_id, CidrBlock=None, Ipv6CidrBlock="::/0"))
    [acl] = region.ec2.describe_network_acls(NetworkAclIds=[acl_id])["NetworkAcls"]
    assert [one for one in acl["Entries"] if one["RuleNumber"] > 100] == last_lines(ipv6=True)


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"RuleNumber": 0}, "InvalidParameterValue", "Rule numbers are between 1 and 32766."),
        ({"RuleNumber": 32767}, "InvalidParameterValue", "Rule numbers are between 1 and 32766."),
        ({"Protocol": "tcpx"}, "InvalidParameterValue", "Invalid value 'tcpx' for IP protocol. Unknown protocol."),
        ({"Protocol": "256"}, "InvalidParameterValue", "Unknown protocol."),
        ({"PortRange": None}, "MissingParameter", "The request must contain the parameter portRange.from"),
        ({"PortRange": {"From": 9}}, "MissingParameter", "The request must contain the parameter portRange.to"),
        ({"PortRange": {"From": 9, "To": 2}}, "InvalidParameterValue", "Invalid TCP/UDP port range (9:2)"),
        ({"PortRange": {"From": 0, "To": 65536}}, "InvalidParameterValue", "Invalid TCP/UDP port range (0:65536)"),
        ({"Protocol": "1"}, "MissingParameter", "The request must contain the parameter icmpTypeCode.type"),
        (
            {"Protocol": "58", "CidrBlock": None, "Ipv6CidrBlock": "::/0", "IcmpTypeCode": {"Type": 1}},
            "MissingParameter",
            "The request must contain the parameter icmpTypeCode.code",
        ),
        (
            {"Protocol": "icmp", "IcmpTypeCode": {"Type": -1, "Code": 3}},
            "InvalidParameterValue",
            "ICMP code (3) and type (-1) are not valid together",
        ),
        ({"CidrBlock": None}, "MissingParameter", "Either 'cidrBlock' or 'ipv6CidrBlock' should be provided."),
        ({"Ipv6CidrBlock": "::/0"}, "InvalidParameterValue", "Only one of"),
        ({"CidrBlock": "10.0.0.0"}, "InvalidParameterValue", "CIDR block 10.0.0.0 is malformed"),
        ({"NetworkAclId": f"acl-{ABSENT}"}, "InvalidNetworkAclID.NotFound", f"networkAcl ID 'acl-{ABSENT}' does not"),
        ({"NetworkAclId": "x"}, "InvalidNetworkAclId.Malformed", 'Invalid id: "x" (expecting "acl-...")'),
        ({"DryRun": True}, "DryRunOperation", ""),
    ],
)
def test_an_entry_that_is_refused_changes_nothing(
    region: Region, changes: dict[str, Any], code: str, text: str
) -> None:
    acl_id = new_acl(region)
    for call in (region.ec2.create_network_acl_entry, region.ec2.replace_network_acl_entry):
        got, message, _ = refused(lambda call=call: call(**entry(acl_id, **changes)))  # type: ignore[misc]
        assert got == code and text in message
    assert entries(region, acl_id) == []


def test_no_more_entries_than_an_acl_may_have(region: Region) -> None:
    acl_id = new_acl(region)
    for number in range(1, 20):  # the last line is the twentieth
        region.ec2.create_network_acl_entry(**entry(acl_id, number))
    assert refused(lambda: region.ec2.create_network_acl_entry(**entry(acl_id, 20))) == (
        "NetworkAclEntryLimitExceeded",
        "The maximum number of network acl entries has been reached.",
        400,
    )
    region.ec2.create_network_acl_entry(**entry(acl_id, 20, Egress=True))
    region.ec2.create_network_acl_entry(**entry(acl_id, 20, CidrBlock=None, Ipv6CidrBlock="::/0"))


def test_a_subnet_gets_another_acl(region: Region) -> None:
    acl_id = new_acl(region)
    association = default_acl(region)["Associations"][0]
    before = region.network.plan(vpc_id(region)).generation
    made = region.ec2.replace_network_acl_association(
        AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl_id
    )["NewAssociationId"]
    assert made.startswith("aclassoc-") and made != association["NetworkAclAssociationId"]
    [acl] = region.ec2.describe_network_acls(NetworkAclIds=[acl_id])["NetworkAcls"]
    assert acl["Associations"] == [
        {"NetworkAclAssociationId": made, "NetworkAclId": acl_id, "SubnetId": association["SubnetId"]}
    ]
    assert association["SubnetId"] not in {one["SubnetId"] for one in default_acl(region)["Associations"]}
    plan = region.network.plan(vpc_id(region))
    assert plan.generation > before
    assert {one.subnet_id: one.acl for one in plan.subnets}[association["SubnetId"]] == acl_id
    again = region.ec2.replace_network_acl_association(AssociationId=made, NetworkAclId=acl_id)
    assert again["NewAssociationId"] == made
    assert refused(lambda: region.ec2.delete_network_acl(NetworkAclId=acl_id)) == (
        "DependencyViolation",
        f"The network ACL '{acl_id}' has dependencies and cannot be deleted.",
        400,
    )
    old = association["NetworkAclAssociationId"]
    assert refused(lambda: region.ec2.replace_network_acl_association(AssociationId=old, NetworkAclId=acl_id)) == (
        "InvalidAssociationID.NotFound",
        f"The association ID '{old}' does not exist",
        400,
    )


def test_what_acls_refuse(region: Region) -> None:
    default = default_acl(region)["NetworkAclId"]
    assert refused(lambda: region.ec2.delete_network_acl(NetworkAclId=default)) == (
        "InvalidParameterValue",
        f"cannot delete default network ACL {default}",
        400,
    )
    assert refused(lambda: region.ec2.create_network_acl(VpcId=f"vpc-{ABSENT}"))[0] == "InvalidVpcID.NotFound"
    assert refused(lambda: region.ec2.create_network_acl(VpcId=vpc_id(region), DryRun=True))[0] == "DryRunOperation"
    assert len(list(region.network.shelf(ACCOUNT).all(NetworkAcl))) == 1
