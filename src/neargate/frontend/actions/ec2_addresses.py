"""What EC2's operations of addresses, NAT gateways and interfaces ask leave for. Source: as actions/ec2.py."""

from .ec2_rows import SUBNET_KEYS, create, describe, write
from .rules import Actions

_ADDRESS, _NAT, _SUBNET = "elastic-ip/{address}", "natgateway/{nat}", "subnet/{subnet}"
_INTERFACE, _INSTANCE = "network-interface/{interface}", "instance/{instance}"
_GROUP = "security-group/{group}"
_ADDRESS_KEYS = ("ec2:AllocationId", "ec2:Domain", "ec2:PublicIpAddress")
_INTERFACE_KEYS = ("ec2:NetworkInterfaceID", "ec2:Subnet", "ec2:AvailabilityZone", "ec2:Vpc")

ACTIONS: Actions = {
    "AllocateAddress": create("AllocateAddress", _ADDRESS),
    "AssociateAddress": write(
        "AssociateAddress", _ADDRESS, _INTERFACE, _INSTANCE, keys=(*_ADDRESS_KEYS, *_INTERFACE_KEYS)
    ),
    "AssignPrivateIpAddresses": write("AssignPrivateIpAddresses", _INTERFACE, keys=_INTERFACE_KEYS),
    "AttachNetworkInterface": write("AttachNetworkInterface", _INTERFACE, _INSTANCE, keys=_INTERFACE_KEYS),
    "CreateNatGateway": create("CreateNatGateway", _NAT, _SUBNET, _ADDRESS, keys=(*SUBNET_KEYS, *_ADDRESS_KEYS)),
    "CreateNetworkInterface": create(
        "CreateNetworkInterface", _INTERFACE, _SUBNET, _GROUP, keys=(*SUBNET_KEYS, "ec2:SecurityGroupID")
    ),
    "DeleteNatGateway": write("DeleteNatGateway", _NAT),
    "DeleteNetworkInterface": write("DeleteNetworkInterface", _INTERFACE, keys=_INTERFACE_KEYS),
    "DescribeAddresses": describe("DescribeAddresses"),
    "DescribeAddressesAttribute": describe("DescribeAddressesAttribute"),
    "DescribeNatGateways": describe("DescribeNatGateways"),
    "DescribeNetworkInterfaceAttribute": describe("DescribeNetworkInterfaceAttribute"),
    "DetachNetworkInterface": write("DetachNetworkInterface", _INTERFACE, _INSTANCE, keys=_INTERFACE_KEYS),
    "DisassociateAddress": write("DisassociateAddress", _ADDRESS, keys=_ADDRESS_KEYS),
    "ModifyAddressAttribute": write("ModifyAddressAttribute", _ADDRESS, keys=_ADDRESS_KEYS),
    "ModifyNetworkInterfaceAttribute": write(
        "ModifyNetworkInterfaceAttribute", _INTERFACE, _GROUP, keys=(*_INTERFACE_KEYS, "ec2:SecurityGroupID")
    ),
    "ReleaseAddress": write("ReleaseAddress", _ADDRESS, keys=_ADDRESS_KEYS),
    "ResetAddressAttribute": write("ResetAddressAttribute", _ADDRESS, keys=_ADDRESS_KEYS),
    "ResetNetworkInterfaceAttribute": write("ResetNetworkInterfaceAttribute", _INTERFACE, keys=_INTERFACE_KEYS),
    "UnassignPrivateIpAddresses": write("UnassignPrivateIpAddresses", _INTERFACE, keys=_INTERFACE_KEYS),
}
