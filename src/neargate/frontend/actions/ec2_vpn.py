"""What EC2's operations of virtual private and customer gateways ask leave for. Source: as actions/ec2.py."""

from .ec2_rows import create, describe, write
from .rules import Actions

_VGW, _CGW, _CONNECTION = "vpn-gateway/{gateway}", "customer-gateway/{gateway}", "vpn-connection/{connection}"
_VPC, _TABLE = "vpc/{vpc}", "route-table/{table}"
_TRANSIT = "transit-gateway/{gateway}"
_VPC_KEYS, _TABLE_KEYS = ("ec2:VpcID",), ("ec2:RouteTableID", "ec2:Vpc")

ACTIONS: Actions = {
    "AttachVpnGateway": write("AttachVpnGateway", _VGW, _VPC, keys=_VPC_KEYS),
    "CreateCustomerGateway": create("CreateCustomerGateway", _CGW),
    "CreateVpnConnection": create("CreateVpnConnection", _CONNECTION, _CGW, _VGW, _TRANSIT),
    "CreateVpnGateway": create("CreateVpnGateway", _VGW),
    "DeleteCustomerGateway": write("DeleteCustomerGateway", _CGW),
    "DeleteVpnConnection": write("DeleteVpnConnection", _CONNECTION),
    "DeleteVpnGateway": write("DeleteVpnGateway", _VGW),
    "DescribeCustomerGateways": describe("DescribeCustomerGateways"),
    "DescribeVpnConnections": describe("DescribeVpnConnections"),
    "DescribeVpnGateways": describe("DescribeVpnGateways"),
    "DetachVpnGateway": write("DetachVpnGateway", _VGW, _VPC, keys=_VPC_KEYS),
    "DisableVgwRoutePropagation": write("DisableVgwRoutePropagation", _TABLE, _VGW, keys=_TABLE_KEYS),
    "EnableVgwRoutePropagation": write("EnableVgwRoutePropagation", _TABLE, _VGW, keys=_TABLE_KEYS),
}
