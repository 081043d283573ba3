"""Rules that refer to security groups of a peered VPC, as botocore's own client sees them, and what hosts hear."""

from typing import Any

from .ec2_region import ABSENT, ACCOUNT, Region, ec2_region, refused
from .test_ec2_peering_and_endpoints import aged
from .test_ec2_routes import other_vpc, vpc_id

__all__ = ["ec2_region"]

APART = ("InvalidGroup.NotFound", "You have specified two resources that belong to different networks.", 400)
Shown = dict[str, Any]


def peered(region: Region, peer: str) -> str:
    made = region.ec2.create_vpc_peering_connection(VpcId=vpc_id(region), PeerVpcId=peer)
    pcx = str(made["VpcPeeringConnection"]["VpcPeeringConnectionId"])
    region.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    return pcx


def group_in(region: Region, vpc: str, name: str) -> str:
    return str(region.ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"])


def permission(peer: str, **more: str) -> Shown:
    return {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": peer, **more}]}


def allow(region: Region, group: str, peer: str, **more: str) -> Shown:
    made = region.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission(peer, **more)])
    [rule] = made["SecurityGroupRules"]
    return dict(rule)


def pair_of(region: Region, group: str, way: str = "IpPermissions") -> Shown:
    [found] = region.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    [one] = [each for each in found[way] if each["UserIdGroupPairs"]]
    [pair] = one["UserIdGroupPairs"]
    return dict(pair)


def planned_peers(region: Region, group: str) -> list[str | None]:
    [planned] = [one for one in region.network.plan(vpc_id(region)).groups if one.group_id == group]
    return [rule.peer_group for rule in planned.ingress]


def stale(region: Region, vpc: str) -> list[Shown]:
    return list(region.ec2.describe_stale_security_groups(VpcId=vpc)["StaleSecurityGroupSet"])


def test_a_rule_refers_to_a_group_of_a_peered_vpc_until_the_peering_ends(region: Region) -> None:
    mine, other = vpc_id(region), other_vpc(region)
    here, there = group_in(region, mine, "here"), group_in(region, other, "there")
    assert refused(lambda: allow(region, here, there)) == APART
    pcx = peered(region, other)
    way = {"VpcId": other, "VpcPeeringConnectionId": pcx, "PeeringStatus": "active"}
    rule = allow(region, here, there, UserId=ACCOUNT, VpcPeeringConnectionId=pcx, VpcId=other, Description="web")
    assert rule["ReferencedGroupInfo"] == {"GroupId": there, "UserId": ACCOUNT, **way}
    assert pair_of(region, here) == {"Description": "web", "UserId": ACCOUNT, "GroupId": there, **way}
    assert planned_peers(region, here) == [there]
    assert refused(lambda: allow(region, here, there))[0] == "InvalidPermission.Duplicate"
    references = region.ec2.describe_security_group_references
    assert references(GroupId=[there, here])["SecurityGroupReferenceSet"] == [
        {"GroupId": there, "ReferencingVpcId": mine, "VpcPeeringConnectionId": pcx}
    ]
    assert stale(region, mine) == []
    region.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    way |= {"PeeringStatus": "deleted"}
    assert pair_of(region, here)["PeeringStatus"] == "deleted"
    assert planned_peers(region, here) == []
    assert references(GroupId=[there])["SecurityGroupReferenceSet"] == []
    assert stale(region, other) == []
    assert stale(region, mine) == [
        {
            "Description": "here",
            "GroupId": here,
            "GroupName": "here",
            "StaleIpPermissions": [
                {
                    "IpProtocol": "tcp",
                    "FromPort": 80,
                    "ToPort": 80,
                    "UserIdGroupPairs": [{"Description": "web", "UserId": ACCOUNT, "GroupId": there, **way}],
                    "IpRanges": [],
                    "PrefixListIds": [],
                }
            ],
            "StaleIpPermissionsEgress": [],
            "VpcId": mine,
        }
    ]
    # Another connection between the two revives nothing; when this one is not even shown any more, it is still deleted.
    aged(region, pcx, 2 * 3600.0)
    peered(region, other)
    assert pair_of(region, here)["PeeringStatus"] == "deleted" and planned_peers(region, here) == []
    region.ec2.modify_security_group_rules(
        GroupId=here,
        SecurityGroupRules=[
            {
                "SecurityGroupRuleId": rule["SecurityGroupRuleId"],
                "SecurityGroupRule": {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "ReferencedGroupId": there},
            }
        ],
    )
    assert pair_of(region, here)["PeeringStatus"] == "active" and planned_peers(region, here) == [there]
    assert stale(region, mine) == []


def test_a_group_that_a_peer_refers_to_can_be_deleted_and_leaves_a_stale_rule(region: Region) -> None:
    mine, other = vpc_id(region), other_vpc(region)
    here, there = group_in(region, mine, "here"), group_in(region, other, "there")
    beside = group_in(region, other, "beside")
    pcx = peered(region, other)
    allow(region, here, there)
    allow(region, beside, there)
    delete = region.ec2.delete_security_group
    assert refused(lambda: delete(GroupId=there))[0] == "DependencyViolation"  # for the one in its own VPC
    region.ec2.revoke_security_group_ingress(GroupId=beside, IpPermissions=[permission(there)])
    delete(GroupId=there)
    assert planned_peers(region, here) == []
    assert pair_of(region, here) == {
        "UserId": ACCOUNT,
        "GroupId": there,
        "VpcId": other,
        "VpcPeeringConnectionId": pcx,
        "PeeringStatus": "active",
    }
    [found] = stale(region, mine)
    [one] = found["StaleIpPermissions"]
    # As the guide tells to take them away: by what DescribeStaleSecurityGroups shows.
    revoked = region.ec2.revoke_security_group_ingress(GroupId=here, IpPermissions=[one])
    assert [rule["ReferencedGroupId"] for rule in revoked["RevokedSecurityGroupRules"]] == [there]
    assert stale(region, mine) == []
    assert refused(lambda: allow(region, here, there)) == (
        "InvalidGroup.NotFound",
        f"The security group '{there}' does not exist",
        400,
    )


def test_egress_rules_refer_to_peers_as_well(region: Region) -> None:
    other = other_vpc(region)
    here, there = group_in(region, vpc_id(region), "here"), group_in(region, other, "there")
    pcx = peered(region, other)
    authorize = region.ec2.authorize_security_group_egress
    authorize(GroupId=here, IpPermissions=[permission(there)])
    assert pair_of(region, here, "IpPermissionsEgress")["VpcPeeringConnectionId"] == pcx
    region.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    [found] = stale(region, vpc_id(region))
    assert found["StaleIpPermissions"] == [] and len(found["StaleIpPermissionsEgress"]) == 1
    region.ec2.update_security_group_rule_descriptions_egress(
        GroupId=here, IpPermissions=[permission(there, Description="gone")]
    )
    assert pair_of(region, here, "IpPermissionsEgress")["Description"] == "gone"


def test_what_a_request_says_of_the_way_must_be_so(region: Region) -> None:
    mine, other = vpc_id(region), other_vpc(region)
    here, there = group_in(region, mine, "here"), group_in(region, other, "there")
    beside = group_in(region, mine, "beside")
    pcx = peered(region, other)
    third = str(region.ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"])
    elsewhere = peered(region, third)
    assert refused(lambda: allow(region, here, there, VpcPeeringConnectionId=elsewhere)) == APART
    absent = f"pcx-{ABSENT}"
    code, text, _ = refused(lambda: allow(region, here, there, VpcPeeringConnectionId=absent))
    assert (code, text) == (
        "InvalidVpcPeeringConnectionID.NotFound",
        f"The vpcPeeringConnection ID '{absent}' does not exist",
    )
    assert refused(lambda: allow(region, here, there, VpcId=mine))[0] == "InvalidParameterValue"
    assert refused(lambda: allow(region, here, beside, VpcPeeringConnectionId=pcx))[0] == "InvalidParameterValue"
    assert refused(lambda: allow(region, here, there, UserId="999999999999"))[0] == "InvalidGroup.NotFound"
    allow(region, here, there, VpcPeeringConnectionId=pcx)
