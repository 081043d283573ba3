"""What Terraform's AWS provider (5.100) calls in the lives of aws_vpc, aws_subnet and what is theirs, in its order.

Create, wait, set attributes one at a time, read back, change, delete, look once more. The parts that it adopts
(aws_default_route_table, aws_default_network_acl, aws_default_security_group) are found by the filters it uses.
"""

from typing import Any

from .ec2_region import ACCOUNT, REGION, Region, by, ec2_region, refused

__all__ = ["ec2_region"]

TAGS = [{"Key": "Name", "Value": "blue"}, {"Key": "team", "Value": "x"}]


def read_vpc(region: Region, vpc: str) -> dict[str, Any]:
    """resourceVPCRead."""
    ec2 = region.ec2
    [found] = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    state = dict(found)
    for attribute in ("enableDnsHostnames", "enableDnsSupport", "enableNetworkAddressUsageMetrics"):
        answer = ec2.describe_vpc_attribute(VpcId=vpc, Attribute=attribute)
        state[attribute] = answer[attribute[0].upper() + attribute[1:]]["Value"]
    [acl] = ec2.describe_network_acls(Filters=[*by("default", "true"), *by("vpc-id", vpc)])["NetworkAcls"]
    [table] = ec2.describe_route_tables(Filters=[*by("association.main", "true"), *by("vpc-id", vpc)])["RouteTables"]
    [group] = ec2.describe_security_groups(Filters=[*by("group-name", "default"), *by("vpc-id", vpc)])["SecurityGroups"]
    return state | {
        "acl": acl["NetworkAclId"],
        "table": table["RouteTableId"],
        "group": group["GroupId"],
    }


def new_vpc(region: Region, **more: Any) -> str:
    """resourceVPCCreate with enable_dns_hostnames."""
    ec2 = region.ec2
    specification = [{"ResourceType": "vpc", "Tags": TAGS}]
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", InstanceTenancy="default", TagSpecifications=specification, **more)[
        "Vpc"
    ]["VpcId"]
    [found] = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    assert found["State"] == "available"
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    assert ec2.describe_vpc_attribute(VpcId=vpc, Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"]
    return str(vpc)


def test_a_vpc_is_made_read_changed_and_gone(region: Region) -> None:
    ec2, vpc = region.ec2, new_vpc(region)
    state = read_vpc(region, vpc)
    assert state["enableDnsHostnames"] and state["enableDnsSupport"] and not state["enableNetworkAddressUsageMetrics"]
    assert state["CidrBlock"] == "10.0.0.0/16" and state["OwnerId"] == ACCOUNT and state["Tags"] == TAGS
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": "green"}])
    ec2.delete_tags(Resources=[vpc], Tags=[{"Key": "team"}])
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": False})
    changed = read_vpc(region, vpc)
    assert changed["Tags"] == [{"Key": "Name", "Value": "green"}] and not changed["enableDnsHostnames"]
    ec2.delete_vpc(VpcId=vpc)
    assert refused(lambda: ec2.describe_vpcs(VpcIds=[vpc]))[0] == "InvalidVpcID.NotFound"


def test_ipv6_is_assigned_to_a_vpc_and_its_subnet(region: Region) -> None:
    """assign_generated_ipv6_cidr_block, ipv6_cidr_block, assign_ipv6_address_on_creation."""
    ec2, vpc = region.ec2, new_vpc(region, AmazonProvidedIpv6CidrBlock=True)
    [block] = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"]
    assert block["Ipv6CidrBlockState"]["State"] == "associated" and block["NetworkBorderGroup"] == REGION
    subnet = ec2.create_subnet(
        VpcId=vpc,
        CidrBlock="10.0.1.0/24",
        AvailabilityZone="us-east-1a",
        Ipv6CidrBlock=block["Ipv6CidrBlock"].replace("/56", "/64"),
        TagSpecifications=[{"ResourceType": "subnet", "Tags": TAGS}],
    )["Subnet"]["SubnetId"]
    ec2.modify_subnet_attribute(SubnetId=subnet, AssignIpv6AddressOnCreation={"Value": True})
    [found] = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    assert found["State"] == "available" and found["AssignIpv6AddressOnCreation"] is True
    [of_subnet] = found["Ipv6CidrBlockAssociationSet"]
    ec2.modify_subnet_attribute(SubnetId=subnet, AssignIpv6AddressOnCreation={"Value": False})
    ec2.disassociate_subnet_cidr_block(AssociationId=of_subnet["AssociationId"])
    ec2.disassociate_vpc_cidr_block(AssociationId=block["AssociationId"])
    assert "Ipv6CidrBlockAssociationSet" not in ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)


def test_a_public_subnet_is_made_read_and_gone(region: Region) -> None:
    ec2, vpc = region.ec2, new_vpc(region)
    subnet = ec2.create_subnet(
        VpcId=vpc,
        CidrBlock="10.0.1.0/24",
        AvailabilityZone="us-east-1b",
        TagSpecifications=[{"ResourceType": "subnet", "Tags": TAGS}],
    )["Subnet"]["SubnetId"]
    assert ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["State"] == "available"
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    [found] = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    assert found["MapPublicIpOnLaunch"] is True and found["Tags"] == TAGS
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    association = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    # destroy, in the order of the graph; what lingers in the subnet is looked for first
    ec2.disassociate_route_table(AssociationId=association)
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")
    ec2.delete_route_table(RouteTableId=table)
    lingering = [*by("subnet-id", subnet), *by("description", "AWS Lambda VPC ENI*")]
    assert ec2.describe_network_interfaces(Filters=lingering)["NetworkInterfaces"] == []
    ec2.delete_subnet(SubnetId=subnet)
    assert refused(lambda: ec2.describe_subnets(SubnetIds=[subnet]))[0] == "InvalidSubnetID.NotFound"
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    ec2.delete_vpc(VpcId=vpc)


def test_dhcp_options_and_their_association(region: Region) -> None:
    ec2, vpc = region.ec2, new_vpc(region)
    configurations = [
        {"Key": "domain-name", "Values": ["service.internal"]},
        {"Key": "domain-name-servers", "Values": ["AmazonProvidedDNS"]},
    ]
    options = ec2.create_dhcp_options(
        DhcpConfigurations=configurations, TagSpecifications=[{"ResourceType": "dhcp-options", "Tags": TAGS}]
    )["DhcpOptions"]["DhcpOptionsId"]
    [found] = ec2.describe_dhcp_options(DhcpOptionsIds=[options])["DhcpOptions"]
    assert found["Tags"] == TAGS and found["OwnerId"] == ACCOUNT
    assert {one["Key"]: [value["Value"] for value in one["Values"]] for one in found["DhcpConfigurations"]} == {
        one["Key"]: one["Values"] for one in configurations
    }
    ec2.associate_dhcp_options(DhcpOptionsId=options, VpcId=vpc)
    assert ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["DhcpOptionsId"] == options
    ec2.associate_dhcp_options(DhcpOptionsId="default", VpcId=vpc)
    ec2.delete_dhcp_options(DhcpOptionsId=options)
    assert refused(lambda: ec2.describe_dhcp_options(DhcpOptionsIds=[options]))[0] == "InvalidDhcpOptionID.NotFound"
    ec2.delete_vpc(VpcId=vpc)


def test_a_second_network_is_found_by_its_association(region: Region) -> None:
    """aws_vpc_ipv4_cidr_block_association."""
    ec2, vpc = region.ec2, new_vpc(region)
    made = ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="100.64.0.0/16")["CidrBlockAssociation"]
    filters = by("cidr-block-association.association-id", made["AssociationId"])
    [found] = ec2.describe_vpcs(Filters=filters)["Vpcs"]
    [block] = [one for one in found["CidrBlockAssociationSet"] if one["AssociationId"] == made["AssociationId"]]
    assert block["CidrBlockState"]["State"] == "associated"
    ec2.disassociate_vpc_cidr_block(AssociationId=made["AssociationId"])
    assert ec2.describe_vpcs(Filters=filters)["Vpcs"] == []
    code = refused(lambda: ec2.disassociate_vpc_cidr_block(AssociationId=made["AssociationId"]))[0]
    assert code == "InvalidVpcCidrBlockAssociationID.NotFound"


def test_the_default_vpc_is_adopted(region: Region) -> None:
    """aws_default_vpc, aws_default_subnet."""
    ec2 = region.ec2
    [vpc] = ec2.describe_vpcs(Filters=by("isDefault", "true"))["Vpcs"]
    assert read_vpc(region, vpc["VpcId"])["enableDnsHostnames"]
    filters = [*by("defaultForAz", "true"), *by("availabilityZone", "us-east-1b")]
    [subnet] = ec2.describe_subnets(Filters=filters)["Subnets"]
    assert subnet["VpcId"] == vpc["VpcId"] and subnet["MapPublicIpOnLaunch"] is True
