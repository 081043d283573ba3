"""What Terraform's provider calls for a VPC with its gateways, tables, routes and endpoints: its order, its waits.

Written after the provider's published sources: create, read until the state it waits for, update, destroy and read
until the error that it takes for "gone". Terraform itself does not run here.
"""

from typing import Any

from neargate.agent.arrivals.network import check_plan

from .ec2_region import REGION, Region, by, ec2_region, refused

__all__ = ["ec2_region"]

S3 = f"com.amazonaws.{REGION}.s3"


def tags(kind: str, name: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]


def aws_vpc(ec2: Any) -> tuple[str, str]:
    """Its id, and the id of its main route table, which `aws_default_route_table` adopts."""
    made = ec2.create_vpc(CidrBlock="10.0.0.0/16", InstanceTenancy="default", TagSpecifications=tags("vpc", "tf"))
    vpc = made["Vpc"]["VpcId"]
    [found] = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    assert found["State"] == "available"
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    assert ec2.describe_vpc_attribute(VpcId=vpc, Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"] is True
    main = [*by("association.main", "true"), *by("vpc-id", vpc)]
    [table] = ec2.describe_route_tables(Filters=main)["RouteTables"]
    assert len(ec2.describe_network_acls(Filters=[*by("default", "true"), *by("vpc-id", vpc)])["NetworkAcls"]) == 1
    groups = [*by("group-name", "default"), *by("vpc-id", vpc)]
    assert len(ec2.describe_security_groups(Filters=groups)["SecurityGroups"]) == 1
    return str(vpc), str(table["RouteTableId"])


def aws_subnet(ec2: Any, vpc: str, cidr: str) -> str:
    made = ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone="us-east-1a")["Subnet"]
    [found] = ec2.describe_subnets(SubnetIds=[made["SubnetId"]])["Subnets"]
    assert found["State"] == "available"
    return str(made["SubnetId"])


def aws_internet_gateway(ec2: Any, vpc: str) -> str:
    made = ec2.create_internet_gateway(TagSpecifications=tags("internet-gateway", "tf"))["InternetGateway"]
    gateway = made["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    [found] = ec2.describe_internet_gateways(InternetGatewayIds=[gateway])["InternetGateways"]
    assert found["Attachments"] == [{"State": "available", "VpcId": vpc}]
    return str(gateway)


def table(ec2: Any, table_id: str) -> dict[str, Any]:
    [found] = ec2.describe_route_tables(RouteTableIds=[table_id])["RouteTables"]
    return dict(found)


def aws_route_table(ec2: Any, vpc: str, name: str) -> str:
    made = ec2.create_route_table(VpcId=vpc, TagSpecifications=tags("route-table", name))["RouteTable"]
    assert table(ec2, made["RouteTableId"])["VpcId"] == vpc
    return str(made["RouteTableId"])


def aws_route(ec2: Any, table_id: str, **route: str) -> None:
    """Waits for the route to be read as active."""
    before = table(ec2, table_id)["Routes"]
    assert all(one.get("DestinationCidrBlock") != route.get("DestinationCidrBlock", "") for one in before)
    ec2.create_route(RouteTableId=table_id, **route)
    assert table(ec2, table_id)["Routes"][-1]["State"] == "active"


def aws_route_table_association(ec2: Any, table_id: str, subnet: str) -> str:
    made = ec2.associate_route_table(RouteTableId=table_id, SubnetId=subnet)["AssociationId"]
    filters = by("association.route-table-association-id", made)
    [found] = ec2.describe_route_tables(Filters=filters)["RouteTables"]
    [association] = [one for one in found["Associations"] if one["RouteTableAssociationId"] == made]
    assert association["AssociationState"]["State"] == "associated" and association["SubnetId"] == subnet
    return str(made)


def aws_vpc_endpoint(ec2: Any, vpc: str) -> str:
    """With the data source that looks for the service, and the prefix list that is read for it."""
    found = ec2.describe_vpc_endpoint_services(Filters=[*by("service-type", "Gateway"), *by("service-name", S3)])
    [service] = found["ServiceDetails"]
    assert service["VpcEndpointPolicySupported"] is True and service["AcceptanceRequired"] is False
    made = ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName=service["ServiceName"],
        VpcEndpointType="Gateway",
        PrivateDnsEnabled=False,
        TagSpecifications=tags("vpc-endpoint", "s3"),
    )["VpcEndpoint"]
    [read] = ec2.describe_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])["VpcEndpoints"]
    assert read["State"] == "available"
    [known] = ec2.describe_prefix_lists(Filters=by("prefix-list-name", S3))["PrefixLists"]
    assert known["PrefixListId"].startswith("pl-")
    return str(made["VpcEndpointId"])


def adopt_main_table(ec2: Any, table_id: str) -> None:
    """`aws_default_route_table` without routes: those that are there go, but for local ones and endpoints' own."""
    for route in table(ec2, table_id)["Routes"]:
        if route["GatewayId"] != "local":
            ec2.delete_route(RouteTableId=table_id, DestinationCidrBlock=route["DestinationCidrBlock"])
    ec2.create_tags(Resources=[table_id], Tags=[{"Key": "Name", "Value": "default"}])
    assert table(ec2, table_id)["Tags"] == [{"Key": "Name", "Value": "default"}]


def test_a_vpc_is_applied_changed_and_destroyed(region: Region) -> None:
    ec2 = region.ec2
    vpc, main = aws_vpc(ec2)
    adopt_main_table(ec2, main)
    public, private = aws_subnet(ec2, vpc, "10.0.0.0/24"), aws_subnet(ec2, vpc, "10.0.1.0/24")
    gateway = aws_internet_gateway(ec2, vpc)
    out, inside = aws_route_table(ec2, vpc, "public"), aws_route_table(ec2, vpc, "private")
    aws_route(ec2, out, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    associations = [
        aws_route_table_association(ec2, out, public),
        aws_route_table_association(ec2, inside, private),
    ]
    endpoint = aws_vpc_endpoint(ec2, vpc)
    for one in (out, inside):  # aws_vpc_endpoint_route_table_association
        ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, AddRouteTableIds=[one])
    [read] = ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint])["VpcEndpoints"]
    assert read["RouteTableIds"] == [out, inside]
    assert [one["State"] for one in table(ec2, inside)["Routes"]] == ["active", "active"]

    # An update: the private subnet becomes a public one; then the plan is empty, since what is read is what was said.
    moved = ec2.replace_route_table_association(AssociationId=associations[1], RouteTableId=out)["NewAssociationId"]
    filters = by("association.route-table-association-id", moved)
    assert [one["RouteTableId"] for one in ec2.describe_route_tables(Filters=filters)["RouteTables"]] == [out]
    planned = {one.subnet_id: one.route_table for one in region.network.plan(vpc).subnets}
    assert planned == {public: out, private: out}
    check_plan(region.network.plan(vpc))  # as every host judges it

    for one in (out, inside):
        ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, RemoveRouteTableIds=[one])
    assert ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])["Unsuccessful"] == []
    gone = refused(lambda: ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint]))
    assert gone[0] == "InvalidVpcEndpointId.NotFound"
    for association in (associations[0], moved):
        ec2.disassociate_route_table(AssociationId=association)
    ec2.delete_route(RouteTableId=out, DestinationCidrBlock="0.0.0.0/0")
    for one in (out, inside):
        ec2.delete_route_table(RouteTableId=one)
        assert refused(lambda t=one: table(ec2, t))[0] == "InvalidRouteTableID.NotFound"  # type: ignore[misc]
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    gone = refused(lambda: ec2.describe_internet_gateways(InternetGatewayIds=[gateway]))
    assert gone[0] == "InvalidInternetGatewayID.NotFound"
    for subnet in (public, private):
        ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)
    assert refused(lambda: ec2.describe_vpcs(VpcIds=[vpc]))[0] == "InvalidVpcID.NotFound"
    assert refused(lambda: table(ec2, main))[0] == "InvalidRouteTableID.NotFound"


def test_a_peering_is_applied_and_destroyed(region: Region) -> None:
    """`aws_vpc_peering_connection` with auto_accept, a route over it, and what is in the way of destroying the VPCs."""
    ec2 = region.ec2
    one, its_main = aws_vpc(ec2)
    two = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    made = ec2.create_vpc_peering_connection(VpcId=one, PeerVpcId=two)["VpcPeeringConnection"]
    pcx = made["VpcPeeringConnectionId"]

    def status() -> str:
        [found] = ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[pcx])["VpcPeeringConnections"]
        return str(found["Status"]["Code"])

    assert status() == "pending-acceptance"
    ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    assert status() == "active"
    aws_route(ec2, its_main, DestinationCidrBlock="10.1.0.0/16", VpcPeeringConnectionId=pcx)
    for vpc in (one, two):
        check_plan(region.network.plan(vpc))
    assert refused(lambda: ec2.delete_vpc(VpcId=two))[0] == "DependencyViolation"
    ec2.delete_route(RouteTableId=its_main, DestinationCidrBlock="10.1.0.0/16")
    ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    assert status() == "deleted"
    for vpc in (one, two):
        ec2.delete_vpc(VpcId=vpc)
    assert status() == "deleted"  # still shown, of VPCs that are gone
