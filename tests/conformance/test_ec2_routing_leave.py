"""Who may change which routes, gateways, peerings and endpoints: by ARN, by tags, by VPC, also through associations."""

from typing import Any

from neargate.testing.front_door import ACCOUNT, REGION

from .test_authorization import EC2, Region, allow, deny, policy, refused, region, sentence

__all__ = ["region"]

DENIED = "with an explicit deny in an identity-based policy"


def told(action: str, resource: str, why: str | None = None) -> tuple[str, int, str]:
    said = sentence(action, f"{EC2}:{resource}", why)
    return "UnauthorizedOperation", 403, f"You are not authorized to perform this operation. {said}"


def tagged(kind: str, team: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "team", "Value": team}]}]


def default_vpc(region: Region) -> str:
    return str(region.ec2.describe_vpcs()["Vpcs"][0]["VpcId"])


def new_table(region: Region, team: str) -> str:
    made = region.ec2.create_route_table(VpcId=default_vpc(region), TagSpecifications=tagged("route-table", team))
    return str(made["RouteTable"]["RouteTableId"])


def igw(region: Region) -> str:
    return str(region.ec2.describe_internet_gateways()["InternetGateways"][0]["InternetGatewayId"])


def test_routes_are_changed_by_who_owns_their_table(region: Region) -> None:
    mine, theirs = new_table(region, "a"), new_table(region, "b")
    own = allow("ec2:*Route*", StringEquals={"aws:ResourceTag/team": "a"})
    ec2 = region.al(own, allow("ec2:Describe*"), service="ec2")
    to: dict[str, Any] = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": igw(region)}
    ec2.create_route(RouteTableId=mine, **to)
    assert refused(ec2.create_route, RouteTableId=theirs, **to) == told("ec2:CreateRoute", f"route-table/{theirs}")
    absent = "rtb-0123456789abcdef0"
    assert refused(ec2.create_route, RouteTableId=absent, **to) == told("ec2:CreateRoute", f"route-table/{absent}")
    assert refused(ec2.delete_route_table, RouteTableId=theirs)[0] == "UnauthorizedOperation"
    ec2.delete_route_table(RouteTableId=mine)


def test_an_association_is_asked_for_as_its_table_and_its_subnet(region: Region) -> None:
    theirs = new_table(region, "b")
    subnet = region.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    association = region.ec2.associate_route_table(RouteTableId=theirs, SubnetId=subnet)["AssociationId"]
    kept = deny("ec2:DisassociateRouteTable", resource=f"{EC2}:route-table/{theirs}")
    ec2 = region.al(allow("ec2:*"), kept, service="ec2")
    # The id of the table is not told to who named its association alone.
    expected = told("ec2:DisassociateRouteTable", "route-table/*", DENIED)
    assert refused(ec2.disassociate_route_table, AssociationId=association) == expected
    by_subnet = deny("ec2:*RouteTable*", resource=f"{EC2}:subnet/{subnet}")
    region.iam.put_user_policy(UserName="al", PolicyName="own", PolicyDocument=policy(allow("ec2:*"), by_subnet))
    assert refused(ec2.disassociate_route_table, AssociationId=association)[0] == "UnauthorizedOperation"
    assert refused(ec2.associate_route_table, RouteTableId=theirs, SubnetId=subnet) == told(
        "ec2:AssociateRouteTable", f"subnet/{subnet}", DENIED
    )
    region.iam.put_user_policy(UserName="al", PolicyName="own", PolicyDocument=policy(allow("ec2:*")))
    ec2.disassociate_route_table(AssociationId=association)


def test_a_table_is_made_in_a_vpc_with_tags_that_are_asked_for(region: Region) -> None:
    vpc = default_vpc(region)
    ec2 = region.al(allow("ec2:CreateRouteTable", resource=f"{EC2}:vpc/{vpc}"), service="ec2")
    wanted = {"VpcId": vpc, "TagSpecifications": tagged("route-table", "a")}
    assert refused(ec2.create_route_table, **wanted) == told("ec2:CreateRouteTable", "route-table/*")
    new = allow("ec2:CreateRouteTable", resource=f"{EC2}:route-table/*", StringEquals={"aws:RequestTag/team": "a"})
    own = [allow("ec2:CreateRouteTable", resource=f"{EC2}:vpc/{vpc}"), new]
    region.iam.put_user_policy(UserName="al", PolicyName="own", PolicyDocument=policy(*own))
    assert refused(ec2.create_route_table, **wanted) == told("ec2:CreateTags", "route-table/*")
    on_creation = allow("ec2:CreateTags", StringEquals={"ec2:CreateAction": "CreateRouteTable"})
    region.iam.put_user_policy(UserName="al", PolicyName="own", PolicyDocument=policy(*own, on_creation))
    ec2.create_route_table(**wanted)
    assert refused(ec2.create_route_table, VpcId=vpc)[0] == "UnauthorizedOperation"


def test_a_gateway_and_its_vpc_are_both_asked_for(region: Region) -> None:
    vpc, gateway = default_vpc(region), igw(region)
    given = {"InternetGatewayId": gateway, "VpcId": vpc}
    ec2 = region.al(allow("ec2:DetachInternetGateway", resource=f"{EC2}:internet-gateway/*"), service="ec2")
    assert refused(ec2.detach_internet_gateway, **given) == told("ec2:DetachInternetGateway", f"vpc/{vpc}")
    by_vpc = allow("ec2:DetachInternetGateway", resource=f"{EC2}:vpc/*", StringEquals={"ec2:VpcID": vpc})
    both = policy(allow("ec2:DetachInternetGateway", resource=f"{EC2}:internet-gateway/*"), by_vpc)
    region.iam.put_user_policy(UserName="al", PolicyName="own", PolicyDocument=both)
    ec2.detach_internet_gateway(**given)


def test_a_virtual_private_gateway_its_vpc_and_its_tables_are_asked_for(region: Region) -> None:
    vpc, made = default_vpc(region), new_table(region, "a")
    mine, theirs = (
        region.ec2.create_vpn_gateway(Type="ipsec.1", TagSpecifications=tagged("vpn-gateway", team))["VpnGateway"]
        for team in ("a", "b")
    )
    own = allow("ec2:*", resource=f"{EC2}:vpn-gateway/*", StringEquals={"aws:ResourceTag/team": "a"})
    ec2 = region.al(own, service="ec2")
    attach, vgw = ec2.attach_vpn_gateway, mine["VpnGatewayId"]
    assert refused(attach, VpnGatewayId=vgw, VpcId=vpc) == told("ec2:AttachVpnGateway", f"vpc/{vpc}")
    more = allow("ec2:AttachVpnGateway", resource=f"{EC2}:vpc/*", StringEquals={"ec2:VpcID": vpc})
    region.iam.put_user_policy(UserName="al", PolicyName="own", PolicyDocument=policy(own, more))
    other = theirs["VpnGatewayId"]
    assert refused(attach, VpnGatewayId=other, VpcId=vpc) == told("ec2:AttachVpnGateway", f"vpn-gateway/{other}")
    assert refused(ec2.delete_vpn_gateway, VpnGatewayId=other) == told("ec2:DeleteVpnGateway", f"vpn-gateway/{other}")
    attach(VpnGatewayId=vgw, VpcId=vpc)
    enable = ec2.enable_vgw_route_propagation
    expected = told("ec2:EnableVgwRoutePropagation", f"route-table/{made}")
    assert refused(enable, GatewayId=vgw, RouteTableId=made) == expected
    assert refused(ec2.describe_vpn_gateways)[0] == "UnauthorizedOperation"


def test_customer_gateways_are_made_with_tags_that_are_asked_for(region: Region) -> None:
    wanted: dict[str, Any] = {"Type": "ipsec.1", "IpAddress": "192.0.2.1"}
    kind = f"{EC2}:customer-gateway/*"
    ec2 = region.al(allow("ec2:*CustomerGateway", resource=kind), service="ec2")
    with_tags = wanted | {"TagSpecifications": tagged("customer-gateway", "a")}
    assert refused(ec2.create_customer_gateway, **with_tags) == told("ec2:CreateTags", "customer-gateway/*")
    made = ec2.create_customer_gateway(**wanted)["CustomerGateway"]["CustomerGatewayId"]
    connection = {"Type": "ipsec.1", "CustomerGatewayId": made}
    assert refused(ec2.create_vpn_connection, **connection) == told("ec2:CreateVpnConnection", "vpn-connection/*")
    ec2.delete_customer_gateway(CustomerGatewayId=made)


def test_endpoints_are_made_for_the_services_that_a_policy_names(region: Region) -> None:
    vpc = default_vpc(region)
    s3, dynamodb = f"com.amazonaws.{REGION}.s3", f"com.amazonaws.{REGION}.dynamodb"
    only = deny(
        "ec2:CreateVpcEndpoint",
        resource=f"{EC2}:vpc-endpoint/*",
        StringNotEquals={"ec2:VpceServiceName": s3},
    )
    ec2 = region.al(allow("ec2:*"), only, service="ec2")
    assert refused(ec2.create_vpc_endpoint, VpcId=vpc, ServiceName=dynamodb) == told(
        "ec2:CreateVpcEndpoint", "vpc-endpoint/*", DENIED
    )
    made = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=s3)["VpcEndpoint"]["VpcEndpointId"]
    kept = deny("ec2:DeleteVpcEndpoints", resource=f"{EC2}:vpc-endpoint/{made}")
    region.iam.put_user_policy(UserName="al", PolicyName="own", PolicyDocument=policy(allow("ec2:*"), kept))
    assert refused(ec2.delete_vpc_endpoints, VpcEndpointIds=[made])[0] == "UnauthorizedOperation"


def test_interface_endpoints_are_asked_for_by_their_subnets_and_groups(region: Region) -> None:
    vpc = default_vpc(region)
    one, two = (subnet["SubnetId"] for subnet in region.ec2.describe_subnets()["Subnets"][:2])
    own = region.ec2.create_security_group(GroupName="own", Description="x", VpcId=vpc)["GroupId"]
    other = region.ec2.create_security_group(GroupName="other", Description="x", VpcId=vpc)["GroupId"]
    only = [deny("*", resource=f"{EC2}:subnet/{two}"), deny("*", resource=f"{EC2}:security-group/{other}")]
    ec2 = region.al(allow("ec2:*"), *only, service="ec2")
    asked = {"VpcId": vpc, "ServiceName": f"com.amazonaws.{REGION}.ecs", "VpcEndpointType": "Interface"}
    asked["PrivateDnsEnabled"] = False
    create, modify = ec2.create_vpc_endpoint, ec2.modify_vpc_endpoint
    for wrong, named in (
        ({"SubnetIds": [one, two]}, f"subnet/{two}"),
        ({"SubnetConfigurations": [{"SubnetId": two, "Ipv4": "172.31.0.9"}]}, f"subnet/{two}"),
        ({"SubnetIds": [one], "SecurityGroupIds": [own, other]}, f"security-group/{other}"),
    ):
        assert refused(create, **asked, **wrong) == told("ec2:CreateVpcEndpoint", named, DENIED)
    made = create(**asked, SubnetIds=[one], SecurityGroupIds=[own])["VpcEndpoint"]["VpcEndpointId"]
    for wrong, named in (
        ({"AddSubnetIds": [two]}, f"subnet/{two}"),
        ({"AddSecurityGroupIds": [other]}, f"security-group/{other}"),
    ):
        assert refused(modify, VpcEndpointId=made, **wrong) == told("ec2:ModifyVpcEndpoint", named, DENIED)


def test_peerings_are_asked_for_by_both_vpcs(region: Region) -> None:
    vpc = default_vpc(region)
    peer = region.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    other = region.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    to_peer = allow(
        "ec2:CreateVpcPeeringConnection",
        resource=f"{EC2}:vpc-peering-connection/*",
        ArnEquals={"ec2:AccepterVpc": f"{EC2}:vpc/{peer}"},
    )
    requester = allow("ec2:CreateVpcPeeringConnection", resource=f"{EC2}:vpc/{vpc}")
    ec2 = region.al(to_peer, requester, service="ec2")
    create = ec2.create_vpc_peering_connection
    assert refused(create, VpcId=vpc, PeerVpcId=other)[0] == "UnauthorizedOperation"
    assert refused(create, VpcId=peer, PeerVpcId=other)[0] == "UnauthorizedOperation"
    made = create(VpcId=vpc, PeerVpcId=peer)["VpcPeeringConnection"]
    assert made["AccepterVpcInfo"]["OwnerId"] == ACCOUNT
    accept = {"VpcPeeringConnectionId": made["VpcPeeringConnectionId"]}
    on_peering = allow("ec2:AcceptVpcPeeringConnection", resource=f"{EC2}:vpc-peering-connection/*")
    region.iam.put_user_policy(UserName="al", PolicyName="own", PolicyDocument=policy(on_peering))
    assert refused(ec2.accept_vpc_peering_connection, **accept) == told("ec2:AcceptVpcPeeringConnection", "vpc/*")
    on_vpc = allow("ec2:AcceptVpcPeeringConnection", resource=f"{EC2}:vpc/{peer}")
    region.iam.put_user_policy(UserName="al", PolicyName="own", PolicyDocument=policy(on_peering, on_vpc))
    ec2.accept_vpc_peering_connection(**accept)
