"""What EC2's operations of VPCs, subnets and DHCP options ask leave for: rows of ec2.py's table."""

from .rules import REQUEST_TAGS, Actions, Level, Rule, rule

_REGION = ("ec2:Region",)
_TAGS = ("aws:ResourceTag/", "ec2:ResourceTag/")
_VPC, _SUBNET, _DHCP = "vpc/{vpc}", "subnet/{subnet}", "dhcp-options/{options}"
_VPC_KEYS = (*_REGION, *_TAGS, "ec2:VpcID", "ec2:Tenancy")
_SUBNET_KEYS = (*_REGION, *_TAGS, "ec2:AvailabilityZone", "ec2:SubnetID", "ec2:Vpc")
_DHCP_KEYS = (*_REGION, *_TAGS, "ec2:DhcpOptionsID")


def _describe(name: str) -> tuple[Rule, ...]:
    return (rule(f"ec2:{name}", Level.LIST, "*", keys=_REGION),)


def _tagging(form: str) -> Rule:
    keys = (*_REGION, *REQUEST_TAGS, "ec2:CreateAction")
    return rule("ec2:CreateTags", Level.TAGGING, form, keys=keys, when="the request has tags")


def _write(name: str, *forms: str, keys: tuple[str, ...]) -> tuple[Rule, ...]:
    return (rule(f"ec2:{name}", Level.WRITE, *forms, keys=keys),)


ACTIONS: Actions = {
    "AssociateDhcpOptions": _write("AssociateDhcpOptions", _DHCP, _VPC, keys=(*_DHCP_KEYS, *_VPC_KEYS)),
    "AssociateSubnetCidrBlock": _write("AssociateSubnetCidrBlock", _SUBNET, keys=_SUBNET_KEYS),
    "AssociateVpcCidrBlock": _write("AssociateVpcCidrBlock", _VPC, keys=_VPC_KEYS),
    "CreateDefaultSubnet": _write("CreateDefaultSubnet", "*", keys=_REGION),
    "CreateDefaultVpc": _write("CreateDefaultVpc", "*", keys=_REGION),
    "CreateDhcpOptions": (
        *_write("CreateDhcpOptions", _DHCP, keys=(*_REGION, *REQUEST_TAGS)),
        _tagging(_DHCP),
    ),
    "CreateSubnet": (
        *_write("CreateSubnet", _VPC, _SUBNET, keys=(*_VPC_KEYS, *_SUBNET_KEYS, *REQUEST_TAGS)),
        _tagging(_SUBNET),
    ),
    "CreateVpc": (
        *_write("CreateVpc", _VPC, keys=(*_REGION, *REQUEST_TAGS)),
        _tagging(_VPC),
    ),
    "DeleteDhcpOptions": _write("DeleteDhcpOptions", _DHCP, keys=_DHCP_KEYS),
    "DeleteSubnet": _write("DeleteSubnet", _SUBNET, keys=_SUBNET_KEYS),
    "DeleteVpc": _write("DeleteVpc", _VPC, keys=_VPC_KEYS),
    "DescribeAccountAttributes": _describe("DescribeAccountAttributes"),
    "DescribeDhcpOptions": _describe("DescribeDhcpOptions"),
    "DescribeRegions": _describe("DescribeRegions"),
    "DescribeSubnets": _describe("DescribeSubnets"),
    "DescribeVpcAttribute": (rule("ec2:DescribeVpcAttribute", Level.LIST, _VPC, keys=_VPC_KEYS),),
    "DescribeVpcClassicLink": _describe("DescribeVpcClassicLink"),
    "DescribeVpcClassicLinkDnsSupport": _describe("DescribeVpcClassicLinkDnsSupport"),
    "DescribeVpcs": _describe("DescribeVpcs"),
    "DisassociateSubnetCidrBlock": _write("DisassociateSubnetCidrBlock", _SUBNET, keys=_SUBNET_KEYS),
    "DisassociateVpcCidrBlock": _write("DisassociateVpcCidrBlock", _VPC, keys=_VPC_KEYS),
    "ModifySubnetAttribute": _write("ModifySubnetAttribute", _SUBNET, keys=_SUBNET_KEYS),
    "ModifyVpcAttribute": _write("ModifyVpcAttribute", _VPC, keys=_VPC_KEYS),
    "ModifyVpcTenancy": _write("ModifyVpcTenancy", _VPC, keys=_VPC_KEYS),
}
