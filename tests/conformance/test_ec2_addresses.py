"""Elastic addresses, NAT gateways and interfaces as boto3 sees them; gateways get their places by the real loop."""

from typing import Any

import pytest

from neargate.frontend.network.placing.loop import open_placing
from neargate.model.knobs import Knobs
from neargate.world import OsWorld

from .ec2_region import ABSENT, ACCOUNT, REGION, ZONES, Region, by, ec2_region, refused

__all__ = ["ec2_region"]
FORBIDDEN = ("AuthFailure", "You do not have permission to access the specified resource.", 400)
SPEC = [{"ResourceType": "elastic-ip", "Tags": [{"Key": "Name", "Value": "out"}]}]


def look(region: Region, knobs: Knobs | None = None) -> None:
    """One look of the placing loop of a process that has just started."""

    async def once() -> None:
        capacities = {name: region.capacity for name, _ in ZONES}
        placing = await open_placing(OsWorld(), region.network, capacities, knobs or Knobs())
        await placing.look()

    region.run(once())


def subnet_id(region: Region, zone: int = 0) -> str:
    return region.network.subnets(ACCOUNT)[zone].name


def gateway(region: Region, **given: Any) -> str:
    wanted: dict[str, Any] = {"SubnetId": subnet_id(region)} | given
    if wanted.get("ConnectivityType") != "private" and "AllocationId" not in wanted:
        wanted["AllocationId"] = region.ec2.allocate_address()["AllocationId"]
    return str(region.ec2.create_nat_gateway(**wanted)["NatGateway"]["NatGatewayId"])


def described(region: Region, nat_id: str) -> dict[str, Any]:
    [found] = region.ec2.describe_nat_gateways(NatGatewayIds=[nat_id])["NatGateways"]
    return dict(found)


# -- elastic addresses


def test_an_address_is_allocated_described_named_and_released(region: Region) -> None:
    made = region.ec2.allocate_address(Domain="vpc", TagSpecifications=SPEC)
    allocation_id = made["AllocationId"]
    assert made["PublicIp"] == "198.18.0.192" and made["NetworkBorderGroup"] == REGION and made["Domain"] == "vpc"
    [shown] = region.ec2.describe_addresses(AllocationIds=[allocation_id])["Addresses"]
    assert shown["Tags"] == [{"Key": "Name", "Value": "out"}] and shown["PublicIp"] == "198.18.0.192"
    assert "AssociationId" not in shown
    for filters in (by("public-ip", "198.18.0.*"), by("allocation-id", allocation_id), by("tag:Name", "out")):
        assert region.ec2.describe_addresses(Filters=filters)["Addresses"] == [shown]
    assert region.ec2.describe_addresses(Filters=by("association-id", "*"))["Addresses"] == []
    assert region.ec2.describe_addresses(PublicIps=["198.18.0.192"])["Addresses"] == [shown]
    assert region.ec2.describe_addresses_attribute(AllocationIds=[allocation_id])["Addresses"] == []
    region.ec2.modify_address_attribute(AllocationId=allocation_id, DomainName="mail.example.com")
    [named] = region.ec2.describe_addresses_attribute(AllocationIds=[allocation_id], Attribute="domain-name")[
        "Addresses"
    ]
    assert named["PtrRecord"] == "mail.example.com."
    region.ec2.reset_address_attribute(AllocationId=allocation_id, Attribute="domain-name")
    assert region.ec2.describe_addresses_attribute(AllocationIds=[allocation_id])["Addresses"] == []
    region.ec2.release_address(AllocationId=allocation_id)
    gone = (
        "InvalidAllocationID.NotFound",
        f"The allocation ID '{allocation_id}' does not exist",
        400,
    )
    assert refused(lambda: region.ec2.describe_addresses(AllocationIds=[allocation_id])) == gone
    assert refused(lambda: region.ec2.release_address(AllocationId=allocation_id)) == gone
    assert region.ec2.allocate_address()["PublicIp"] == "198.18.0.193", "not the same one again"


def test_addresses_end_with_the_quota_and_are_no_tasks(region: Region) -> None:
    given = {region.ec2.allocate_address()["PublicIp"] for _ in range(5)}
    assert len(given) == 5
    assert refused(region.ec2.allocate_address) == (
        "AddressLimitExceeded",
        "The maximum number of addresses has been reached.",
        400,
    )
    eni = region.reserve("one").eni
    assert eni is not None and eni.public_ipv4 == "198.18.0.1"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"PublicIpv4Pool": "ipv4pool-ec2-0123456789abcdef0"}, "InvalidPublicIpv4PoolID.NotFound"),
        ({"Address": "198.18.0.200"}, "UnsupportedOperation"),
        ({"CustomerOwnedIpv4Pool": "ipv4pool-coip-0"}, "UnsupportedOperation"),
        ({"NetworkBorderGroup": "us-east-1-wl1-bos-wlz-1"}, "InvalidParameterValue"),
        ({"Domain": "standard"}, "InvalidParameterValue"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)
def test_what_an_allocation_cannot_have(region: Region, given: dict[str, Any], code: str) -> None:
    assert refused(lambda: region.ec2.allocate_address(**given))[0] == code
    assert region.ec2.describe_addresses()["Addresses"] == []


def test_wrong_addresses(region: Region) -> None:
    ec2 = region.ec2
    assert refused(lambda: ec2.release_address(PublicIp="198.18.0.192")) == (
        "InvalidParameterValue",
        "You must specify an allocation id when releasing a VPC elastic IP address",
        400,
    )
    assert refused(lambda: ec2.describe_addresses(PublicIps=["198.18.0.200"]))[0] == "InvalidAddress.NotFound"
    assert refused(lambda: ec2.describe_addresses(PublicIps=["x"]))[0] == "InvalidAddress.Malformed"
    assert refused(lambda: ec2.disassociate_address(AssociationId=f"eipassoc-{ABSENT}")) == (
        "InvalidAssociationID.NotFound",
        f"The association ID 'eipassoc-{ABSENT}' does not exist",
        400,
    )


# -- NAT gateways


def test_a_gateway_is_pending_available_deleted_and_forgotten(region: Region) -> None:
    address = region.ec2.allocate_address()
    allocation_id = address["AllocationId"]
    before = region.ec2.describe_subnets(SubnetIds=[subnet_id(region)])["Subnets"][0]["AvailableIpAddressCount"]
    made = region.ec2.create_nat_gateway(SubnetId=subnet_id(region), AllocationId=allocation_id)["NatGateway"]
    nat_id = made["NatGatewayId"]
    assert made["State"] == "pending" and made["ConnectivityType"] == "public"
    assert made["NatGatewayAddresses"] == [{"AllocationId": allocation_id, "IsPrimary": True}]
    look(region)
    shown = described(region, nat_id)
    [at] = shown["NatGatewayAddresses"]
    assert shown["State"] == "available" and at["PublicIp"] == address["PublicIp"] and at["Status"] == "succeeded"
    assert at["PrivateIp"] == "172.31.0.4"
    [held] = region.ec2.describe_addresses()["Addresses"]
    assert held["AssociationId"] == at["AssociationId"] and held["NetworkInterfaceId"] == at["NetworkInterfaceId"]
    after = region.ec2.describe_subnets(SubnetIds=[subnet_id(region)])["Subnets"][0]["AvailableIpAddressCount"]
    assert after == before - 1
    assert refused(lambda: region.ec2.release_address(AllocationId=allocation_id)) == (
        "InvalidIPAddress.InUse",
        f"Address {address['PublicIp']} is in use.",
        400,
    )
    assert refused(lambda: region.ec2.disassociate_address(AssociationId=at["AssociationId"])) == FORBIDDEN
    assert region.ec2.delete_nat_gateway(NatGatewayId=nat_id)["NatGatewayId"] == nat_id
    assert described(region, nat_id)["State"] == "deleting"
    look(region)
    assert described(region, nat_id)["State"] == "deleted" and "DeleteTime" in described(region, nat_id)
    assert region.ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    region.ec2.release_address(AllocationId=allocation_id)
    look(region, Knobs(nat_gateway_shown_s=0.0))
    gone = refused(lambda: region.ec2.describe_nat_gateways(NatGatewayIds=[nat_id]))
    assert gone == ("NatGatewayNotFound", f"NatGateway {nat_id} was not found", 400)


def test_its_interface_is_shown_and_is_nobodys_to_change(region: Region) -> None:
    nat_id = gateway(region)
    look(region)
    [at] = described(region, nat_id)["NatGatewayAddresses"]
    region.reserve("one")
    ec2 = region.ec2
    [eni] = ec2.describe_network_interfaces(Filters=by("interface-type", "nat_gateway"))["NetworkInterfaces"]
    assert eni["NetworkInterfaceId"] == at["NetworkInterfaceId"] and eni["RequesterManaged"] is True
    assert eni["Description"] == f"Interface for NAT Gateway {nat_id}" and eni["Groups"] == []
    assert eni["Association"]["AllocationId"] == at["AllocationId"]
    for filters in (
        by("association.allocation-id", at["AllocationId"]),
        by("addresses.association.public-ip", at["PublicIp"]),
        by("association.association-id", at["AssociationId"]),
    ):
        assert ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"] == [eni]
    eni_id = eni["NetworkInterfaceId"]
    assert refused(lambda: ec2.delete_network_interface(NetworkInterfaceId=eni_id)) == (
        "InvalidParameterValue",
        f"Network interface '{eni_id}' is currently in use.",
        400,
    )
    assert refused(lambda: ec2.detach_network_interface(AttachmentId=eni["Attachment"]["AttachmentId"])) == (
        "OperationNotPermitted",
        "You are not allowed to manage 'ela-attach' attachments.",
        400,
    )
    changes = {"NetworkInterfaceId": eni_id, "Description": {"Value": "mine"}}
    assert refused(lambda: ec2.modify_network_interface_attribute(**changes)) == FORBIDDEN
    back = {"NetworkInterfaceId": eni_id, "SourceDestCheck": "true"}
    assert refused(lambda: ec2.reset_network_interface_attribute(**back)) == FORBIDDEN
    other = ec2.allocate_address()["AllocationId"]
    assert refused(lambda: ec2.associate_address(AllocationId=other, NetworkInterfaceId=eni_id)) == FORBIDDEN
    shown = ec2.describe_network_interface_attribute(NetworkInterfaceId=eni_id, Attribute="sourceDestCheck")
    assert shown["SourceDestCheck"] == {"Value": False}
    absent = f"eni-{ABSENT}"
    assert (
        refused(lambda: ec2.delete_network_interface(NetworkInterfaceId=absent))[0]
        == "InvalidNetworkInterfaceID.NotFound"
    )


def test_why_gateways_fail(region: Region) -> None:
    ec2 = region.ec2
    first = gateway(region)
    allocation_id = described(region, first)["NatGatewayAddresses"][0]["AllocationId"]
    twice = gateway(region, AllocationId=allocation_id)
    look(region)
    assert described(region, first)["State"] == "available"
    failed = described(region, twice)
    assert (failed["State"], failed["FailureCode"]) == ("failed", "Resource.AlreadyAssociated")
    assert failed["FailureMessage"] == f"Elastic IP address {allocation_id} is already associated"
    taken = described(region, first)["NatGatewayAddresses"][0]["PrivateIp"]
    same = gateway(region, ConnectivityType="private", PrivateIpAddress=taken)
    look(region)
    assert described(region, same)["FailureCode"] == "InvalidIPAddress.InUse"
    ec2.delete_nat_gateway(NatGatewayId=first)
    look(region)
    [igw] = ec2.describe_internet_gateways()["InternetGateways"]
    vpc_id = igw["Attachments"][0]["VpcId"]
    ec2.detach_internet_gateway(InternetGatewayId=igw["InternetGatewayId"], VpcId=vpc_id)
    outside = gateway(region, AllocationId=allocation_id)
    private = gateway(region, ConnectivityType="private")
    look(region)
    failed = described(region, outside)
    assert failed["FailureCode"] == "Gateway.NotAttached"
    assert failed["FailureMessage"] == f"Network {vpc_id} has no Internet gateway attached"
    assert described(region, private)["State"] == "available"
    ec2.release_address(AllocationId=allocation_id)
    ec2.delete_nat_gateway(NatGatewayId=outside)
    look(region)
    assert described(region, outside)["State"] == "deleted"


def test_a_route_to_a_gateway_is_active_while_it_is_available(region: Region) -> None:
    nat_id = gateway(region)
    look(region)
    ec2 = region.ec2
    vpc_id = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    table = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat_id)
    [nat] = region.network.plan(vpc_id).nats
    assert (nat.nat_id, nat.private_ipv4, nat.public_ipv4, nat.host_id) == (
        nat_id,
        "172.31.0.4",
        "198.18.0.192",
        "host-1",
    )
    ec2.delete_nat_gateway(NatGatewayId=nat_id)
    [shown] = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    assert {route["State"] for route in shown["Routes"] if route.get("NatGatewayId") == nat_id} == {"blackhole"}
    assert region.network.plan(vpc_id).nats == ()


def test_a_token_makes_one_gateway(region: Region) -> None:
    allocation_id = region.ec2.allocate_address()["AllocationId"]
    first = gateway(region, AllocationId=allocation_id, ClientToken="once")
    assert gateway(region, AllocationId=allocation_id, ClientToken="once") == first
    other = {"SubnetId": subnet_id(region, 1), "AllocationId": allocation_id, "ClientToken": "once"}
    assert refused(lambda: region.ec2.create_nat_gateway(**other))[0] == "IdempotentParameterMismatch"
    assert len(region.ec2.describe_nat_gateways()["NatGateways"]) == 1


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"SubnetId": f"subnet-{ABSENT}"}, "InvalidSubnet"),
        ({"SubnetId": "x"}, "InvalidSubnetID.Malformed"),
        ({"AllocationId": f"eipalloc-{ABSENT}"}, "InvalidElasticIpID.NotFound"),
        ({"AllocationId": "x"}, "InvalidElasticIpID.Malformed"),
        ({"AllocationId": ""}, "MissingParameter"),
        ({"SecondaryPrivateIpAddressCount": 1}, "UnsupportedOperation"),
        ({"AvailabilityMode": "regional"}, "UnsupportedOperation"),
        ({"PrivateIpAddress": "10.0.0.1"}, "InvalidParameterValue"),
        ({"PrivateIpAddress": "172.31.0.3"}, "InvalidParameterValue"),
        ({"PrivateIpAddress": "x"}, "InvalidParameterValue"),
        ({"ConnectivityType": "private", "AllocationId": f"eipalloc-{ABSENT}"}, "InvalidParameterCombination"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)
def test_gateways_that_are_not_made(region: Region, given: dict[str, Any], code: str) -> None:
    wanted = {"SubnetId": subnet_id(region), "AllocationId": region.ec2.allocate_address()["AllocationId"]} | given
    assert refused(lambda: region.ec2.create_nat_gateway(**wanted))[0] == code
    assert region.ec2.describe_nat_gateways()["NatGateways"] == []


def test_gateways_of_a_zone_end_with_the_quota(region: Region) -> None:
    for _ in range(5):
        gateway(region, ConnectivityType="private")
    assert refused(lambda: gateway(region, ConnectivityType="private")) == (
        "NatGatewayLimitExceeded",
        "Performing this operation would exceed the limit of 5 NAT gateways",
        400,
    )
    gateway(region, ConnectivityType="private", SubnetId=subnet_id(region, 1))


def test_gateways_by_pages_and_filters(region: Region) -> None:
    made = sorted(gateway(region, ConnectivityType="private", SubnetId=subnet_id(region, n % 2)) for n in range(8))
    first = region.ec2.describe_nat_gateways(MaxResults=5)
    rest = region.ec2.describe_nat_gateways(MaxResults=5, NextToken=first["NextToken"])
    assert [one["NatGatewayId"] for one in (*first["NatGateways"], *rest["NatGateways"])] == made
    of_subnet = region.ec2.describe_nat_gateways(Filter=by("subnet-id", subnet_id(region)))["NatGateways"]
    assert len(of_subnet) == 4
    assert region.ec2.describe_nat_gateways(Filter=by("state", "available"))["NatGateways"] == []
    assert refused(lambda: region.ec2.describe_nat_gateways(NatGatewayIds=["x"]))[0] == "NatGatewayMalformed"
    assert refused(lambda: region.ec2.delete_nat_gateway(NatGatewayId=f"nat-{ABSENT}"))[0] == "NatGatewayNotFound"


# -- addresses that tasks of services have


def test_a_gateway_does_not_get_an_address_that_a_task_has(region: Region) -> None:
    made = region.ec2.allocate_address()
    view = region.network.subnets(ACCOUNT)[0].view
    given = region.launch("one", view, public=True, address=made["PublicIp"]).eni
    assert given is not None and given.public_ipv4 == made["PublicIp"]
    nat_id = gateway(region, AllocationId=made["AllocationId"])
    look(region)
    shown = described(region, nat_id)
    assert (shown["State"], shown["FailureCode"]) == ("failed", "Resource.AlreadyAssociated")
    assert refused(lambda: region.ec2.release_address(AllocationId=made["AllocationId"]))[0] == "InvalidIPAddress.InUse"
    region.run(region.capacity.release("one", view.zone))
    nat_id = gateway(region, AllocationId=made["AllocationId"])
    look(region)
    assert described(region, nat_id)["State"] == "available"


def test_an_address_that_a_task_gets_while_it_is_released_stays(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = region.ec2.allocate_address(TagSpecifications=SPEC)
    answers = iter([[], [made["PublicIp"]]])

    async def asked() -> list[str]:
        return next(answers)

    with monkeypatch.context() as patched:
        patched.setattr(region.capacity, "public_addresses", asked)
        in_use = ("InvalidIPAddress.InUse", f"Address {made['PublicIp']} is in use.", 400)
        assert refused(lambda: region.ec2.release_address(AllocationId=made["AllocationId"])) == in_use
    [shown] = region.ec2.describe_addresses()["Addresses"]
    assert shown["AllocationId"] == made["AllocationId"] and shown["Tags"] == SPEC[0]["Tags"]
    region.ec2.release_address(AllocationId=made["AllocationId"])
    assert region.ec2.describe_addresses()["Addresses"] == []
