"""Who may make, change and delete which VPCs, subnets and DHCP options: by ARN, tags, VPC, also by association."""

from typing import Any

from neargate.testing.front_door import ZONES

from .test_authorization import EC2, Region, allow, deny, policy, refused, region, sentence

__all__ = ["region"]

DENIED = "with an explicit deny in an identity-based policy"
ZONE = ZONES[0][0]


def told(action: str, resource: str, why: str | None = None) -> tuple[str, int, str]:
    said = sentence(action, f"{EC2}:{resource}", why)
    return "UnauthorizedOperation", 403, f"You are not authorized to perform this operation. {said}"


def tagged(kind: str, team: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "team", "Value": team}]}]


def new_vpc(region: Region, team: str, **more: Any) -> str:
    made = region.ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tagged("vpc", team), **more)
    return str(made["Vpc"]["VpcId"])


def new_subnet(region: Region, vpc: str, team: str, cidr: str = "10.0.0.0/24") -> str:
    made = region.ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, TagSpecifications=tagged("subnet", team))
    return str(made["Subnet"]["SubnetId"])


def now_may(region: Region, *statements: dict[str, Any]) -> None:
    region.iam.put_user_policy(UserName="al", PolicyName="own", PolicyDocument=policy(*statements))


def test_vpcs_are_changed_by_who_owns_them(region: Region) -> None:
    mine, theirs = new_vpc(region, "a"), new_vpc(region, "b")
    ec2 = region.al(allow("ec2:*Vpc*", StringEquals={"aws:ResourceTag/team": "a"}), service="ec2")
    ec2.modify_vpc_attribute(VpcId=mine, EnableDnsHostnames={"Value": True})
    assert refused(ec2.modify_vpc_attribute, VpcId=theirs, EnableDnsHostnames={"Value": True}) == told(
        "ec2:ModifyVpcAttribute", f"vpc/{theirs}"
    )
    block = ec2.associate_vpc_cidr_block(VpcId=mine, CidrBlock="10.1.0.0/16")["CidrBlockAssociation"]
    ec2.disassociate_vpc_cidr_block(AssociationId=block["AssociationId"])
    other = region.ec2.associate_vpc_cidr_block(VpcId=theirs, CidrBlock="10.1.0.0/16")["CidrBlockAssociation"]
    # The id of the VPC is not told to who named its association alone.
    assert refused(ec2.disassociate_vpc_cidr_block, AssociationId=other["AssociationId"]) == told(
        "ec2:DisassociateVpcCidrBlock", "vpc/*"
    )
    assert refused(ec2.delete_vpc, VpcId=theirs) == told("ec2:DeleteVpc", f"vpc/{theirs}")
    absent = "vpc-0123456789abcdef0"
    assert refused(ec2.delete_vpc, VpcId=absent) == told("ec2:DeleteVpc", f"vpc/{absent}")
    ec2.delete_vpc(VpcId=mine)


def test_tags_of_a_new_vpc_are_asked_for_and_need_leave_of_their_own(region: Region) -> None:
    ec2 = region.al(allow("ec2:CreateVpc", StringEquals={"aws:RequestTag/team": "a"}), service="ec2")
    wanted = {"CidrBlock": "10.0.0.0/16", "TagSpecifications": tagged("vpc", "a")}
    assert refused(ec2.create_vpc, CidrBlock="10.0.0.0/16") == told("ec2:CreateVpc", "vpc/*")
    assert refused(ec2.create_vpc, **wanted) == told("ec2:CreateTags", "vpc/*")
    on_creation = allow("ec2:CreateTags", StringEquals={"ec2:CreateAction": "CreateVpc"})
    now_may(region, allow("ec2:CreateVpc", StringEquals={"aws:RequestTag/team": "a"}), on_creation)
    assert ec2.create_vpc(**wanted)["Vpc"]["Tags"] == [{"Key": "team", "Value": "a"}]


def test_a_subnet_is_made_in_a_vpc_that_a_policy_names(region: Region) -> None:
    mine, theirs = new_vpc(region, "a"), new_vpc(region, "b")
    here = allow("ec2:CreateSubnet", resource=f"{EC2}:vpc/{mine}")
    ec2 = region.al(here, service="ec2")
    wanted = {"VpcId": mine, "CidrBlock": "10.0.0.0/24"}
    assert refused(ec2.create_subnet, **wanted) == told("ec2:CreateSubnet", "subnet/*")
    now_may(region, here, allow("ec2:CreateSubnet", resource=f"{EC2}:subnet/*"))
    ec2.create_subnet(**wanted)
    assert refused(ec2.create_subnet, VpcId=theirs, CidrBlock="10.0.0.0/24") == told(
        "ec2:CreateSubnet", f"vpc/{theirs}"
    )


def test_subnets_are_changed_by_tag_vpc_and_zone(region: Region) -> None:
    vpc = new_vpc(region, "a", AmazonProvidedIpv6CidrBlock=True)
    mine, theirs = new_subnet(region, vpc, "a"), new_subnet(region, vpc, "b", "10.0.1.0/24")
    ec2 = region.al(allow("ec2:*Subnet*", StringEquals={"ec2:ResourceTag/team": "a"}), service="ec2")
    ec2.modify_subnet_attribute(SubnetId=mine, MapPublicIpOnLaunch={"Value": True})
    assert refused(ec2.modify_subnet_attribute, SubnetId=theirs, MapPublicIpOnLaunch={"Value": True}) == told(
        "ec2:ModifySubnetAttribute", f"subnet/{theirs}"
    )
    [block] = region.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"]
    cidr = block["Ipv6CidrBlock"].replace("/56", "/64")
    made = region.ec2.associate_subnet_cidr_block(SubnetId=theirs, Ipv6CidrBlock=cidr)["Ipv6CidrBlockAssociation"]
    assert refused(ec2.disassociate_subnet_cidr_block, AssociationId=made["AssociationId"]) == told(
        "ec2:DisassociateSubnetCidrBlock", "subnet/*"
    )
    assert refused(ec2.delete_subnet, SubnetId=theirs)[0] == "UnauthorizedOperation"
    by_vpc = deny("ec2:DeleteSubnet", ArnEquals={"ec2:Vpc": f"{EC2}:vpc/{vpc}"})
    now_may(region, allow("ec2:*"), by_vpc)
    assert refused(ec2.delete_subnet, SubnetId=mine) == told("ec2:DeleteSubnet", f"subnet/{mine}", DENIED)
    [found] = region.ec2.describe_subnets(SubnetIds=[mine])["Subnets"]
    by_zone = allow("ec2:DeleteSubnet", StringEquals={"ec2:AvailabilityZone": found["AvailabilityZone"]})
    now_may(region, by_zone)
    ec2.delete_subnet(SubnetId=mine)


def test_options_and_the_vpc_that_gets_them_are_both_asked_for(region: Region) -> None:
    vpc = new_vpc(region, "a")
    configurations = [{"Key": "domain-name", "Values": ["a.example"]}]
    made = region.ec2.create_dhcp_options(
        DhcpConfigurations=configurations, TagSpecifications=tagged("dhcp-options", "a")
    )
    options = made["DhcpOptions"]["DhcpOptionsId"]
    ec2 = region.al(allow("ec2:AssociateDhcpOptions", resource=f"{EC2}:dhcp-options/*"), service="ec2")
    assert refused(ec2.associate_dhcp_options, DhcpOptionsId=options, VpcId=vpc) == told(
        "ec2:AssociateDhcpOptions", f"vpc/{vpc}"
    )
    now_may(region, allow("ec2:*DhcpOptions", StringEquals={"aws:ResourceTag/team": "a"}))
    ec2.associate_dhcp_options(DhcpOptionsId=options, VpcId=vpc)
    assert refused(ec2.create_dhcp_options, DhcpConfigurations=configurations) == told(
        "ec2:CreateDhcpOptions", "dhcp-options/*"
    )
    region.ec2.associate_dhcp_options(DhcpOptionsId="default", VpcId=vpc)
    ec2.delete_dhcp_options(DhcpOptionsId=options)


def test_defaults_are_made_by_who_may(region: Region) -> None:
    ec2 = region.al(allow("ec2:CreateVpc", "ec2:CreateSubnet"), service="ec2")
    for call, action, params in (
        (ec2.create_default_vpc, "ec2:CreateDefaultVpc", {}),
        (ec2.create_default_subnet, "ec2:CreateDefaultSubnet", {"AvailabilityZone": ZONE}),
    ):
        said = sentence(action, "*")
        expected = ("UnauthorizedOperation", 403, f"You are not authorized to perform this operation. {said}")
        assert refused(call, **params) == expected
