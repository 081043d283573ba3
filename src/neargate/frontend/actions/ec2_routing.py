"""What EC2's operations of routes, gateways, peerings and endpoints ask leave for. Source: as actions/ec2.py."""

from .ec2_rows import SUBNET_KEYS, create, describe, write
from .rules import Actions

_VPC, _TABLE, _SUBNET = "vpc/{vpc}", "route-table/{table}", "subnet/{subnet}"
_IGW, _EIGW = "internet-gateway/{gateway}", "egress-only-internet-gateway/{gateway}"
_PEERING, _ENDPOINT = "vpc-peering-connection/{peering}", "vpc-endpoint/{endpoint}"
_GROUP = "security-group/{group}"
_GROUP_KEYS = ("ec2:SecurityGroupID", "ec2:Vpc")
_VPC_KEYS = ("ec2:VpcID", "ec2:Tenancy")
_TABLE_KEYS = ("ec2:RouteTableID", "ec2:Vpc")
_PEERING_KEYS = ("ec2:VpcPeeringConnectionID", "ec2:RequesterVpc", "ec2:AccepterVpc")
_ENDPOINT_KEYS = ("ec2:VpceServiceName", "ec2:VpceServiceOwner")

ACTIONS: Actions = {
    "AcceptVpcPeeringConnection": write(
        "AcceptVpcPeeringConnection", _PEERING, _VPC, keys=(*_PEERING_KEYS, *_VPC_KEYS)
    ),
    "AssociateRouteTable": write("AssociateRouteTable", _TABLE, _SUBNET, keys=(*_TABLE_KEYS, *SUBNET_KEYS)),
    "AttachInternetGateway": write("AttachInternetGateway", _IGW, _VPC, keys=("ec2:InternetGatewayID", *_VPC_KEYS)),
    "CreateEgressOnlyInternetGateway": create("CreateEgressOnlyInternetGateway", _EIGW, _VPC, keys=_VPC_KEYS),
    "CreateInternetGateway": create("CreateInternetGateway", _IGW),
    "CreateRoute": write("CreateRoute", _TABLE, keys=_TABLE_KEYS),
    "CreateRouteTable": create("CreateRouteTable", _TABLE, _VPC, keys=_VPC_KEYS),
    "CreateVpcEndpoint": create(
        "CreateVpcEndpoint",
        _ENDPOINT,
        _VPC,
        _TABLE,
        _SUBNET,
        _GROUP,
        keys=(*_ENDPOINT_KEYS, *_VPC_KEYS, *_TABLE_KEYS, *SUBNET_KEYS, *_GROUP_KEYS),
    ),
    "CreateVpcPeeringConnection": create(
        "CreateVpcPeeringConnection", _PEERING, _VPC, keys=(*_PEERING_KEYS, *_VPC_KEYS)
    ),
    "DeleteEgressOnlyInternetGateway": write("DeleteEgressOnlyInternetGateway", _EIGW),
    "DeleteInternetGateway": write("DeleteInternetGateway", _IGW, keys=("ec2:InternetGatewayID",)),
    "DeleteRoute": write("DeleteRoute", _TABLE, keys=_TABLE_KEYS),
    "DeleteRouteTable": write("DeleteRouteTable", _TABLE, keys=_TABLE_KEYS),
    "DeleteVpcEndpoints": write("DeleteVpcEndpoints", _ENDPOINT, keys=_ENDPOINT_KEYS),
    "DeleteVpcPeeringConnection": write("DeleteVpcPeeringConnection", _PEERING, keys=_PEERING_KEYS),
    "DescribeEgressOnlyInternetGateways": describe("DescribeEgressOnlyInternetGateways"),
    "DescribeInternetGateways": describe("DescribeInternetGateways"),
    "DescribePrefixLists": describe("DescribePrefixLists"),
    "DescribeRouteTables": describe("DescribeRouteTables"),
    "DescribeVpcEndpointServices": describe("DescribeVpcEndpointServices"),
    "DescribeVpcEndpoints": describe("DescribeVpcEndpoints"),
    "DescribeVpcPeeringConnections": describe("DescribeVpcPeeringConnections"),
    "DetachInternetGateway": write("DetachInternetGateway", _IGW, _VPC, keys=("ec2:InternetGatewayID", *_VPC_KEYS)),
    "DisassociateRouteTable": write("DisassociateRouteTable", _TABLE, _SUBNET, keys=(*_TABLE_KEYS, *SUBNET_KEYS)),
    "ModifyVpcEndpoint": write(
        "ModifyVpcEndpoint",
        _ENDPOINT,
        _TABLE,
        _SUBNET,
        _GROUP,
        keys=(*_ENDPOINT_KEYS, *_TABLE_KEYS, *SUBNET_KEYS, *_GROUP_KEYS),
    ),
    "ModifyVpcPeeringConnectionOptions": write("ModifyVpcPeeringConnectionOptions", _PEERING, keys=_PEERING_KEYS),
    "RejectVpcPeeringConnection": write("RejectVpcPeeringConnection", _PEERING, keys=_PEERING_KEYS),
    "ReplaceRoute": write("ReplaceRoute", _TABLE, keys=_TABLE_KEYS),
    "ReplaceRouteTableAssociation": write(
        "ReplaceRouteTableAssociation", _TABLE, _SUBNET, keys=(*_TABLE_KEYS, *SUBNET_KEYS)
    ),
}
