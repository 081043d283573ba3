"""What EC2's operations of VPCs, subnets and DHCP options ask leave for: rows of ec2.py's table."""

from .ec2_rows import COMMON, REGION, describe, tagging
from .rules import REQUEST_TAGS, Actions, Level, Rule, rule

_VPC, _SUBNET, _DHCP = "vpc/{vpc}", "subnet/{subnet}", "dhcp-options/{options}"
_RESERVATION = "subnet-cidr-reservation/{reservation}"
_VPC_KEYS = (*COMMON, "ec2:VpcID", "ec2:Tenancy")
_SUBNET_KEYS = (*COMMON, "ec2:AvailabilityZone", "ec2:SubnetID", "ec2:Vpc")
_DHCP_KEYS = (*COMMON, "ec2:DhcpOptionsID")


def _write(name: str, *forms: str, keys: tuple[str, ...]) -> tuple[Rule, ...]:
    return (rule(f"ec2:{name}", Level.WRITE, *forms, keys=keys),)


ACTIONS: Actions = {
    "AssociateDhcpOptions": _write("AssociateDhcpOptions", _DHCP, _VPC, keys=(*_DHCP_KEYS, *_VPC_KEYS)),
    "AssociateSubnetCidrBlock": _write("AssociateSubnetCidrBlock", _SUBNET, keys=_SUBNET_KEYS),
    "AssociateVpcCidrBlock": _write("AssociateVpcCidrBlock", _VPC, keys=_VPC_KEYS),
    "CreateDefaultSubnet": _write("CreateDefaultSubnet", "*", keys=REGION),
    "CreateDefaultVpc": _write("CreateDefaultVpc", "*", keys=REGION),
    "CreateDhcpOptions": (
        *_write("CreateDhcpOptions", _DHCP, keys=(*REGION, *REQUEST_TAGS)),
        tagging(_DHCP),
    ),
    "CreateSubnet": (
        *_write("CreateSubnet", _VPC, _SUBNET, keys=(*_VPC_KEYS, *_SUBNET_KEYS, *REQUEST_TAGS)),
        tagging(_SUBNET),
    ),
    "CreateSubnetCidrReservation": (
        *_write("CreateSubnetCidrReservation", _SUBNET, keys=(*_SUBNET_KEYS, *REQUEST_TAGS)),
        tagging(_RESERVATION),
    ),
    "CreateVpc": (
        *_write("CreateVpc", _VPC, keys=(*REGION, *REQUEST_TAGS)),
        tagging(_VPC),
    ),
    "DeleteDhcpOptions": _write("DeleteDhcpOptions", _DHCP, keys=_DHCP_KEYS),
    "DeleteSubnet": _write("DeleteSubnet", _SUBNET, keys=_SUBNET_KEYS),
    "DeleteSubnetCidrReservation": _write("DeleteSubnetCidrReservation", "*", keys=REGION),
    "DeleteVpc": _write("DeleteVpc", _VPC, keys=_VPC_KEYS),
    "DescribeAccountAttributes": describe("DescribeAccountAttributes"),
    "DescribeDhcpOptions": describe("DescribeDhcpOptions"),
    "DescribeIpv6Pools": describe("DescribeIpv6Pools"),
    "DescribeRegions": describe("DescribeRegions"),
    "DescribeSubnets": describe("DescribeSubnets"),
    "DescribeVpcAttribute": (rule("ec2:DescribeVpcAttribute", Level.LIST, _VPC, keys=_VPC_KEYS),),
    "DescribeVpcClassicLink": describe("DescribeVpcClassicLink"),
    "DescribeVpcClassicLinkDnsSupport": describe("DescribeVpcClassicLinkDnsSupport"),
    "DescribeVpcs": describe("DescribeVpcs"),
    "DisassociateSubnetCidrBlock": _write("DisassociateSubnetCidrBlock", _SUBNET, keys=_SUBNET_KEYS),
    "DisassociateVpcCidrBlock": _write("DisassociateVpcCidrBlock", _VPC, keys=_VPC_KEYS),
    "GetAssociatedIpv6PoolCidrs": (rule("ec2:GetAssociatedIpv6PoolCidrs", Level.READ, "*", keys=REGION),),
    "GetSubnetCidrReservations": (rule("ec2:GetSubnetCidrReservations", Level.READ, "*", keys=REGION),),
    "ModifySubnetAttribute": _write("ModifySubnetAttribute", _SUBNET, keys=_SUBNET_KEYS),
    "ModifyVpcAttribute": _write("ModifyVpcAttribute", _VPC, keys=_VPC_KEYS),
    "ModifyVpcTenancy": _write("ModifyVpcTenancy", _VPC, keys=_VPC_KEYS),
}
