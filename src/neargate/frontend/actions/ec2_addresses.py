"""What EC2's operations of addresses, NAT gateways and interfaces ask leave for. Source: as actions/ec2.py."""

from .rules import REQUEST_TAGS, Actions, Level, Rule, rule

_REGION = ("ec2:Region",)
_COMMON = (*_REGION, "aws:ResourceTag/", "ec2:ResourceTag/")
_ADDRESS, _NAT, _SUBNET = "elastic-ip/{address}", "natgateway/{nat}", "subnet/{subnet}"
_INTERFACE, _INSTANCE = "network-interface/{interface}", "instance/{instance}"
_ADDRESS_KEYS = ("ec2:AllocationId", "ec2:Domain", "ec2:PublicIpAddress")
_SUBNET_KEYS = ("ec2:SubnetID", "ec2:AvailabilityZone", "ec2:Vpc")
_INTERFACE_KEYS = ("ec2:NetworkInterfaceID", "ec2:Subnet", "ec2:AvailabilityZone", "ec2:Vpc")


def _describe(name: str, *forms: str, keys: tuple[str, ...] = _REGION) -> tuple[Rule, ...]:
    return (rule(f"ec2:{name}", Level.LIST, *(forms or ("*",)), keys=keys),)


def _write(name: str, *forms: str, keys: tuple[str, ...] = ()) -> tuple[Rule, ...]:
    return (rule(f"ec2:{name}", Level.WRITE, *forms, keys=(*_COMMON, *keys)),)


def _create(name: str, form: str, *others: str, keys: tuple[str, ...] = ()) -> tuple[Rule, ...]:
    tagging = (*_REGION, *REQUEST_TAGS, "ec2:CreateAction")
    return (
        *_write(name, form, *others, keys=(*REQUEST_TAGS, *keys)),
        rule("ec2:CreateTags", Level.TAGGING, form, keys=tagging, when="the request has tags"),
    )


ACTIONS: Actions = {
    "AllocateAddress": _create("AllocateAddress", _ADDRESS),
    "AssociateAddress": _write(
        "AssociateAddress", _ADDRESS, _INTERFACE, _INSTANCE, keys=(*_ADDRESS_KEYS, *_INTERFACE_KEYS)
    ),
    "CreateNatGateway": _create("CreateNatGateway", _NAT, _SUBNET, _ADDRESS, keys=(*_SUBNET_KEYS, *_ADDRESS_KEYS)),
    "DeleteNatGateway": _write("DeleteNatGateway", _NAT),
    "DeleteNetworkInterface": _write("DeleteNetworkInterface", _INTERFACE, keys=_INTERFACE_KEYS),
    "DescribeAddresses": _describe("DescribeAddresses"),
    "DescribeAddressesAttribute": _describe("DescribeAddressesAttribute"),
    "DescribeNatGateways": _describe("DescribeNatGateways"),
    "DescribeNetworkInterfaceAttribute": _describe("DescribeNetworkInterfaceAttribute"),
    "DetachNetworkInterface": _write("DetachNetworkInterface", _INTERFACE, _INSTANCE, keys=_INTERFACE_KEYS),
    "DisassociateAddress": _write("DisassociateAddress", _ADDRESS, keys=_ADDRESS_KEYS),
    "ModifyAddressAttribute": _write("ModifyAddressAttribute", _ADDRESS, keys=_ADDRESS_KEYS),
    "ModifyNetworkInterfaceAttribute": _write("ModifyNetworkInterfaceAttribute", _INTERFACE, keys=_INTERFACE_KEYS),
    "ReleaseAddress": _write("ReleaseAddress", _ADDRESS, keys=_ADDRESS_KEYS),
    "ResetAddressAttribute": _write("ResetAddressAttribute", _ADDRESS, keys=_ADDRESS_KEYS),
    "ResetNetworkInterfaceAttribute": _write("ResetNetworkInterfaceAttribute", _INTERFACE, keys=_INTERFACE_KEYS),
}
