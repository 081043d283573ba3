"""What Terraform's provider calls for security groups, network ACLs and prefix lists, in its order.

Create, read until it is there, update, destroy; and the default group and ACL of a VPC, which it adopts and empties.
"""

from typing import Any

from .ec2_region import Region, by, ec2_region, refused

__all__ = ["ec2_region"]  # the fixture `region`


def new_vpc(region: Region) -> str:
    return str(region.ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"])


def read_group(region: Region, group_id: str) -> dict[str, Any]:
    [group] = region.ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    return dict(group)


def read_acl(region: Region, acl_id: str) -> dict[str, Any]:
    [acl] = region.ec2.describe_network_acls(NetworkAclIds=[acl_id])["NetworkAcls"]
    return dict(acl)


def named(**tags: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def test_the_default_group_of_a_vpc_is_adopted_and_emptied(region: Region) -> None:
    filters = [*by("group-name", "default"), *by("vpc-id", new_vpc(region))]
    [group] = region.ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
    group_id = group["GroupId"]
    region.ec2.create_tags(Resources=[group_id], Tags=named(Name="default"))
    # The rules go as they were read.
    region.ec2.revoke_security_group_egress(GroupId=group_id, IpPermissions=group["IpPermissionsEgress"])
    region.ec2.revoke_security_group_ingress(GroupId=group_id, IpPermissions=group["IpPermissions"])
    read = read_group(region, group_id)
    assert (read["IpPermissions"], read["IpPermissionsEgress"]) == ([], [])
    assert read["Tags"] == named(Name="default")


def test_the_default_acl_of_a_vpc_is_adopted_and_filled(region: Region) -> None:
    vpc = new_vpc(region)
    filters = [*by("default", "true"), *by("vpc-id", vpc)]
    [acl] = region.ec2.describe_network_acls(Filters=filters)["NetworkAcls"]
    acl_id = acl["NetworkAclId"]
    for entry in acl["Entries"]:
        if entry["RuleNumber"] < 32767:
            region.ec2.delete_network_acl_entry(
                NetworkAclId=acl_id, RuleNumber=entry["RuleNumber"], Egress=entry["Egress"]
            )
    for egress in (False, True):
        region.ec2.create_network_acl_entry(
            NetworkAclId=acl_id,
            RuleNumber=100,
            Protocol="-1",
            RuleAction="allow",
            Egress=egress,
            CidrBlock="0.0.0.0/0",
            PortRange={"From": 0, "To": 0},
            IcmpTypeCode={"Type": 0, "Code": 0},
        )
    entries = [one for one in read_acl(region, acl_id)["Entries"] if one["RuleNumber"] < 32767]
    assert [one["Egress"] for one in entries] == [True, False]
    assert all("PortRange" not in one and "IcmpTypeCode" not in one for one in entries)
    region.ec2.create_tags(Resources=[acl_id], Tags=named(Name="default"))
    # It is left as it is when the configuration goes, and goes with its VPC.
    region.ec2.delete_vpc(VpcId=vpc)
    assert refused(lambda: read_acl(region, acl_id))[0] == "InvalidNetworkAclID.NotFound"


def test_an_acl_gets_subnets_and_gives_them_back(region: Region) -> None:
    vpc = new_vpc(region)
    subnet = region.ec2.create_subnet(VpcId=vpc, CidrBlock="10.8.1.0/24")["Subnet"]["SubnetId"]
    tags = [{"ResourceType": "network-acl", "Tags": named(Name="private")}]
    acl_id = region.ec2.create_network_acl(VpcId=vpc, TagSpecifications=tags)["NetworkAcl"]["NetworkAclId"]
    region.ec2.create_network_acl_entry(
        NetworkAclId=acl_id,
        RuleNumber=200,
        Protocol="6",
        RuleAction="allow",
        Egress=False,
        CidrBlock="10.8.0.0/16",
        PortRange={"From": 443, "To": 443},
    )

    def association_of(subnet_id: str) -> dict[str, Any]:
        [acl] = region.ec2.describe_network_acls(Filters=by("association.subnet-id", subnet_id))["NetworkAcls"]
        return next(dict(one) for one in acl["Associations"] if one["SubnetId"] == subnet_id)

    before = association_of(subnet)
    made = region.ec2.replace_network_acl_association(
        AssociationId=before["NetworkAclAssociationId"], NetworkAclId=acl_id
    )["NewAssociationId"]
    assert association_of(subnet) == {
        "NetworkAclAssociationId": made,
        "NetworkAclId": acl_id,
        "SubnetId": subnet,
    }
    # Destroy: the subnets go to the VPC's default ACL first.
    [default] = region.ec2.describe_network_acls(Filters=[*by("default", "true"), *by("vpc-id", vpc)])["NetworkAcls"]
    region.ec2.replace_network_acl_association(AssociationId=made, NetworkAclId=default["NetworkAclId"])
    region.ec2.delete_network_acl_entry(NetworkAclId=acl_id, RuleNumber=200, Egress=False)
    region.ec2.delete_network_acl(NetworkAclId=acl_id)
    assert refused(lambda: read_acl(region, acl_id))[0] == "InvalidNetworkAclID.NotFound"
    assert association_of(subnet)["NetworkAclId"] == default["NetworkAclId"]
    region.ec2.delete_subnet(SubnetId=subnet)
    region.ec2.delete_vpc(VpcId=vpc)


def test_a_group_with_rules_of_their_own(region: Region) -> None:
    vpc = new_vpc(region)
    created = region.ec2.create_security_group(GroupName="web", Description="Managed by Terraform", VpcId=vpc)
    group_id = created["GroupId"]
    # AWS lets everything out of a new group; Terraform takes that away.
    everything = {"IpProtocol": "-1", "FromPort": 0, "ToPort": 0}
    region.ec2.revoke_security_group_egress(
        GroupId=group_id, IpPermissions=[everything | {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    )
    tags = [{"ResourceType": "security-group-rule", "Tags": named(Name="https")}]
    permission = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    added = region.ec2.authorize_security_group_ingress(
        GroupId=group_id, IpPermissions=[permission], TagSpecifications=tags
    )
    [rule] = added["SecurityGroupRules"]
    rule_id = rule["SecurityGroupRuleId"]
    [read] = region.ec2.describe_security_group_rules(SecurityGroupRuleIds=[rule_id])["SecurityGroupRules"]
    assert read == rule and read["Tags"] == named(Name="https")
    update = {"IpProtocol": "tcp", "FromPort": 8443, "ToPort": 8443, "CidrIpv4": "0.0.0.0/0", "Description": "alt"}
    region.ec2.modify_security_group_rules(
        GroupId=group_id, SecurityGroupRules=[{"SecurityGroupRuleId": rule_id, "SecurityGroupRule": update}]
    )
    region.ec2.delete_tags(Resources=[rule_id], Tags=[{"Key": "Name"}])
    [read] = region.ec2.describe_security_group_rules(SecurityGroupRuleIds=[rule_id])["SecurityGroupRules"]
    assert (read["FromPort"], read["Description"], read["Tags"]) == (8443, "alt", [])
    region.ec2.revoke_security_group_ingress(GroupId=group_id, SecurityGroupRuleIds=[rule_id])
    region.ec2.delete_security_group(GroupId=group_id)
    assert refused(lambda: read_group(region, group_id))[0] == "InvalidGroup.NotFound"
    region.ec2.delete_vpc(VpcId=vpc)


def test_a_prefix_list_is_made_changed_and_gone(region: Region) -> None:
    made = region.ec2.create_managed_prefix_list(
        PrefixListName="office",
        AddressFamily="IPv4",
        MaxEntries=5,
        Entries=[{"Cidr": "10.1.0.0/16", "Description": "one"}],
        TagSpecifications=[{"ResourceType": "prefix-list", "Tags": named(Name="office")}],
    )["PrefixList"]
    list_id = made["PrefixListId"]

    def read() -> dict[str, Any]:
        [found] = region.ec2.describe_managed_prefix_lists(PrefixListIds=[list_id])["PrefixLists"]
        return dict(found)

    assert read()["State"] == "create-complete"
    # A description alone is changed by taking the entry away and adding it again, in two versions.
    for change in (
        {"RemoveEntries": [{"Cidr": "10.1.0.0/16"}]},
        {"AddEntries": [{"Cidr": "10.1.0.0/16", "Description": "other"}]},
    ):
        region.ec2.modify_managed_prefix_list(PrefixListId=list_id, CurrentVersion=read()["Version"], **change)
        assert read()["State"] == "modify-complete"
    entries = region.ec2.get_managed_prefix_list_entries(PrefixListId=list_id)["Entries"]
    assert (read()["Version"], entries) == (3, [{"Cidr": "10.1.0.0/16", "Description": "other"}])
    region.ec2.modify_managed_prefix_list(PrefixListId=list_id, MaxEntries=9)
    assert (read()["MaxEntries"], read()["Version"]) == (9, 3)
    region.ec2.delete_managed_prefix_list(PrefixListId=list_id)
    assert refused(read)[0] == "InvalidPrefixListID.NotFound"
