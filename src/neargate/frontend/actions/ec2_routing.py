"""What EC2's operations of routes, gateways, peerings and endpoints ask leave for. Source: as actions/ec2.py."""

from .rules import REQUEST_TAGS, Actions, Level, Rule, rule

_REGION = ("ec2:Region",)
_TAGS = ("aws:ResourceTag/", "ec2:ResourceTag/")
_COMMON = (*_REGION, *_TAGS)
_VPC, _TABLE, _SUBNET = "vpc/{vpc}", "route-table/{table}", "subnet/{subnet}"
_IGW, _EIGW = "internet-gateway/{gateway}", "egress-only-internet-gateway/{gateway}"
_PEERING, _ENDPOINT = "vpc-peering-connection/{peering}", "vpc-endpoint/{endpoint}"
_VPC_KEYS = ("ec2:VpcID", "ec2:Tenancy")
_TABLE_KEYS = ("ec2:RouteTableID", "ec2:Vpc")
_SUBNET_KEYS = ("ec2:SubnetID", "ec2:AvailabilityZone", "ec2:Vpc")
_PEERING_KEYS = ("ec2:VpcPeeringConnectionID", "ec2:RequesterVpc", "ec2:AccepterVpc")
_ENDPOINT_KEYS = ("ec2:VpceServiceName", "ec2:VpceServiceOwner")


def _describe(name: str) -> tuple[Rule, ...]:
    return (rule(f"ec2:{name}", Level.LIST, "*", keys=_REGION),)


def _write(name: str, *forms: str, keys: tuple[str, ...] = ()) -> tuple[Rule, ...]:
    return (rule(f"ec2:{name}", Level.WRITE, *forms, keys=(*_COMMON, *keys)),)


def _create(name: str, form: str, *others: str, keys: tuple[str, ...] = ()) -> tuple[Rule, ...]:
    tagging = (*_REGION, *REQUEST_TAGS, "ec2:CreateAction")
    return (
        *_write(name, form, *others, keys=(*REQUEST_TAGS, *keys)),
        rule("ec2:CreateTags", Level.TAGGING, form, keys=tagging, when="the request has tags"),
    )


ACTIONS: Actions = {
    "AcceptVpcPeeringConnection": _write(
        "AcceptVpcPeeringConnection", _PEERING, _VPC, keys=(*_PEERING_KEYS, *_VPC_KEYS)
    ),
    "AssociateRouteTable": _write("AssociateRouteTable", _TABLE, _SUBNET, keys=(*_TABLE_KEYS, *_SUBNET_KEYS)),
    "AttachInternetGateway": _write("AttachInternetGateway", _IGW, _VPC, keys=("ec2:InternetGatewayID", *_VPC_KEYS)),
    "CreateEgressOnlyInternetGateway": _create("CreateEgressOnlyInternetGateway", _EIGW, _VPC, keys=_VPC_KEYS),
    "CreateInternetGateway": _create("CreateInternetGateway", _IGW),
    "CreateRoute": _write("CreateRoute", _TABLE, keys=_TABLE_KEYS),
    "CreateRouteTable": _create("CreateRouteTable", _TABLE, _VPC, keys=_VPC_KEYS),
    "CreateVpcEndpoint": _create(
        "CreateVpcEndpoint", _ENDPOINT, _VPC, _TABLE, keys=(*_ENDPOINT_KEYS, *_VPC_KEYS, *_TABLE_KEYS)
    ),
    "CreateVpcPeeringConnection": _create(
        "CreateVpcPeeringConnection", _PEERING, _VPC, keys=(*_PEERING_KEYS, *_VPC_KEYS)
    ),
    "DeleteEgressOnlyInternetGateway": _write("DeleteEgressOnlyInternetGateway", _EIGW),
    "DeleteInternetGateway": _write("DeleteInternetGateway", _IGW, keys=("ec2:InternetGatewayID",)),
    "DeleteRoute": _write("DeleteRoute", _TABLE, keys=_TABLE_KEYS),
    "DeleteRouteTable": _write("DeleteRouteTable", _TABLE, keys=_TABLE_KEYS),
    "DeleteVpcEndpoints": _write("DeleteVpcEndpoints", _ENDPOINT, keys=_ENDPOINT_KEYS),
    "DeleteVpcPeeringConnection": _write("DeleteVpcPeeringConnection", _PEERING, keys=_PEERING_KEYS),
    "DescribeEgressOnlyInternetGateways": _describe("DescribeEgressOnlyInternetGateways"),
    "DescribeInternetGateways": _describe("DescribeInternetGateways"),
    "DescribePrefixLists": _describe("DescribePrefixLists"),
    "DescribeRouteTables": _describe("DescribeRouteTables"),
    "DescribeVpcEndpointServices": _describe("DescribeVpcEndpointServices"),
    "DescribeVpcEndpoints": _describe("DescribeVpcEndpoints"),
    "DescribeVpcPeeringConnections": _describe("DescribeVpcPeeringConnections"),
    "DetachInternetGateway": _write("DetachInternetGateway", _IGW, _VPC, keys=("ec2:InternetGatewayID", *_VPC_KEYS)),
    "DisassociateRouteTable": _write("DisassociateRouteTable", _TABLE, _SUBNET, keys=(*_TABLE_KEYS, *_SUBNET_KEYS)),
    "ModifyVpcEndpoint": _write("ModifyVpcEndpoint", _ENDPOINT, _TABLE, keys=(*_ENDPOINT_KEYS, *_TABLE_KEYS)),
    "ModifyVpcPeeringConnectionOptions": _write("ModifyVpcPeeringConnectionOptions", _PEERING, keys=_PEERING_KEYS),
    "RejectVpcPeeringConnection": _write("RejectVpcPeeringConnection", _PEERING, keys=_PEERING_KEYS),
    "ReplaceRoute": _write("ReplaceRoute", _TABLE, keys=_TABLE_KEYS),
    "ReplaceRouteTableAssociation": _write(
        "ReplaceRouteTableAssociation", _TABLE, _SUBNET, keys=(*_TABLE_KEYS, *_SUBNET_KEYS)
    ),
}
