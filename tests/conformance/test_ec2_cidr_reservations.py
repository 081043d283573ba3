"""Reservations of a subnet's addresses as botocore's own client sees them, and what launches are given beside them."""

from ipaddress import ip_network
from typing import Any

import pytest

from neargate.frontend.network.addressing import nat_gateways
from neargate.frontend.network.addressing.nat_gateways import WantedGateway
from neargate.frontend.network.endpoints import interface_endpoints
from neargate.frontend.network.records.objects import VpcEndpoint
from neargate.frontend.network.vpcs.cidr_reservations import RESERVATIONS_MAX

from .ec2_region import ABSENT, ACCOUNT, ZONES, Region, by, ec2_region, refused
from .test_ec2_routes import tags

__all__ = ["ec2_region"]
Shown = dict[str, Any]


def first_subnet(region: Region) -> str:
    return region.network.subnets(ACCOUNT)[0].name


def reserved(region: Region, cidr: str, subnet: str = "", type_: str = "explicit", **more: Any) -> Shown:
    made = region.ec2.create_subnet_cidr_reservation(
        SubnetId=subnet or first_subnet(region), Cidr=cidr, ReservationType=type_, **more
    )
    return dict(made["SubnetCidrReservation"])


def free_count(region: Region, subnet: str) -> int:
    [found] = region.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    return int(found["AvailableIpAddressCount"])


def small_subnet(region: Region, cidr: str = "172.31.250.0/28") -> str:
    vpc = region.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    return str(region.ec2.create_subnet(VpcId=vpc, CidrBlock=cidr)["Subnet"]["SubnetId"])


def test_a_reservation_is_made_seen_and_deleted(region: Region) -> None:
    subnet = first_subnet(region)
    wanted = tags("subnet-cidr-reservation", a="b")
    made = reserved(region, "172.31.0.16/28", Description="db", TagSpecifications=wanted)
    assert made == {
        "SubnetCidrReservationId": made["SubnetCidrReservationId"],
        "SubnetId": subnet,
        "Cidr": "172.31.0.16/28",
        "ReservationType": "explicit",
        "OwnerId": ACCOUNT,
        "Description": "db",
        "Tags": [{"Key": "a", "Value": "b"}],
    }
    other = reserved(region, "172.31.0.32/28", type_="prefix")["SubnetCidrReservationId"]
    get = region.ec2.get_subnet_cidr_reservations
    found = get(SubnetId=subnet)
    assert len(found["SubnetIpv4CidrReservations"]) == 2 and found["SubnetIpv6CidrReservations"] == []
    for filters, wanted in (
        (by("reservationType", "prefix"), [other]),
        (by("tag:a", "b"), [made["SubnetCidrReservationId"]]),
        (by("subnet-id", subnet) + by("tag-key", "z"), []),
    ):
        shown = get(SubnetId=subnet, Filters=filters)["SubnetIpv4CidrReservations"]
        assert [one["SubnetCidrReservationId"] for one in shown] == wanted
    region.ec2.create_tags(Resources=[other], Tags=[{"Key": "c", "Value": "d"}])
    deleted = region.ec2.delete_subnet_cidr_reservation(SubnetCidrReservationId=other)["DeletedSubnetCidrReservation"]
    assert (deleted["SubnetCidrReservationId"], deleted["Tags"]) == (other, [{"Key": "c", "Value": "d"}])
    assert [one["Cidr"] for one in get(SubnetId=subnet)["SubnetIpv4CidrReservations"]] == ["172.31.0.16/28"]


def test_what_cannot_be_reserved(region: Region) -> None:
    subnet = first_subnet(region)
    reserved(region, "172.31.0.16/28")
    for cidr, text in (
        ("172.31.16.0/28", "Reservation CIDR should be within subnet CIDR block (172.31.0.0/20)"),
        ("172.31.0.0/16", "Reservation CIDR should be within subnet CIDR block (172.31.0.0/20)"),
        ("2001:db8::/80", "Reservation CIDR should be within subnet CIDR block (none)"),
        ("172.31.0.0/24", "Reservation CIDR 172.31.0.0/24 has overlap with existing reserved CIDR block"),
        ("172.31.0.300/28", "Value (172.31.0.300/28) for parameter cidr is invalid. This is not a valid CIDR block."),
    ):
        assert refused(lambda cidr=cidr: reserved(region, cidr)) == ("InvalidParameterValue", text, 400)
    assert refused(lambda: reserved(region, "172.31.1.0/28", type_="mine"))[0] == "InvalidParameterValue"
    absent = f"subnet-{ABSENT}"
    assert refused(lambda: reserved(region, "172.31.1.0/28", subnet=absent))[0] == "InvalidSubnetID.NotFound"
    delete = region.ec2.delete_subnet_cidr_reservation
    assert refused(lambda: delete(SubnetCidrReservationId="scr-not-exists")) == (
        "InvalidSubnetCidrReservationID.NotFound",
        "The subnet-cidr-reservation ID 'scr-not-exists' does not exist",
        400,
    )
    assert refused(lambda: reserved(region, "172.31.1.0/28", DryRun=True))[0] == "DryRunOperation"
    for number in range(RESERVATIONS_MAX - 1):
        reserved(region, f"172.31.2.{number}/32")
    assert refused(lambda: reserved(region, "172.31.3.0/32"))[0] == "ResourceCountExceeded"
    assert len(region.ec2.get_subnet_cidr_reservations(SubnetId=subnet)["SubnetIpv4CidrReservations"]) == 50


def test_of_ipv6_only_what_interfaces_are_not_given_beside_their_ipv4_address(region: Region) -> None:
    vpc = region.ec2.create_vpc(CidrBlock="10.9.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]["VpcId"]
    [shown] = region.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    block = ip_network(shown["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"])
    six = str(next(block.subnets(new_prefix=64)))
    made = region.ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24", Ipv6CidrBlock=six)["Subnet"]["SubnetId"]
    first, second = list(zip(ip_network(six).subnets(new_prefix=80), range(2), strict=False))
    code, text, _ = refused(lambda: reserved(region, str(first[0]), made))
    assert code == "UnsupportedOperation" and "a09:4 to" in text
    reserved(region, str(second[0]), made)
    found = region.ec2.get_subnet_cidr_reservations(SubnetId=made)
    assert [one["Cidr"] for one in found["SubnetIpv6CidrReservations"]] == [str(second[0])]
    assert free_count(region, made) == 251
    reserved(region, "10.9.0.64/28", made)
    [own] = region.ec2.describe_subnets(SubnetIds=[made])["Subnets"][0]["Ipv6CidrBlockAssociationSet"]
    region.ec2.disassociate_subnet_cidr_block(AssociationId=own["AssociationId"])
    found = region.ec2.get_subnet_cidr_reservations(SubnetId=made)
    assert found["SubnetIpv6CidrReservations"] == [], "it goes with its network"
    assert [one["Cidr"] for one in found["SubnetIpv4CidrReservations"]] == ["10.9.0.64/28"]


@pytest.mark.parametrize("before", [False, True], ids=["reserved first", "taken first"])
def test_launches_are_given_what_is_not_reserved(region: Region, before: bool) -> None:
    """Of a /28 EC2 leaves .4 to .14; .8 to .15 are reserved."""
    subnet = small_subnet(region)
    launched = 0

    def launch() -> str | None:
        nonlocal launched
        launched += 1
        made = region.launch(f"task{launched}", region.view(subnet))
        return None if made.eni is None else made.eni.private_ipv4

    taken = [launch()] if before else []
    reservation = reserved(region, "172.31.250.8/29", subnet)["SubnetCidrReservationId"]
    assert free_count(region, subnet) == 4 - len(taken)
    taken += [launch() for _ in range(4 - len(taken))]
    assert sorted(map(str, taken)) == [f"172.31.250.{last}" for last in (4, 5, 6, 7)]
    assert free_count(region, subnet) == 0
    assert launch() is None, "the rest is reserved"
    region.ec2.delete_subnet_cidr_reservation(SubnetCidrReservationId=reservation)
    assert free_count(region, subnet) == 7
    assert str(launch()).removeprefix("172.31.250.") in {"8", "9", "10", "11", "12", "13", "14"}


def test_a_reservation_leaves_who_is_there_and_goes_with_its_subnet(region: Region) -> None:
    subnet = small_subnet(region)
    made = region.launch("task1", region.view(subnet))
    assert made.eni is not None
    reservation = reserved(region, "172.31.250.0/29", subnet)["SubnetCidrReservationId"]
    assert free_count(region, subnet) == 7
    [eni] = region.ec2.describe_network_interfaces(Filters=by("subnet-id", subnet))["NetworkInterfaces"]
    assert eni["PrivateIpAddress"] == "172.31.250.4" == made.eni.private_ipv4
    zone = [name for name, _ in ZONES].index(region.view(subnet).zone)
    region.release("task1", zone)
    region.ec2.delete_subnet(SubnetId=subnet)
    delete = region.ec2.delete_subnet_cidr_reservation
    code, _, _ = refused(lambda: delete(SubnetCidrReservationId=reservation))
    assert code == "InvalidSubnetCidrReservationID.NotFound"


def test_gateways_and_endpoints_are_given_what_is_not_reserved_either(region: Region) -> None:
    shelf = region.network.shelf(ACCOUNT)
    subnet = small_subnet(region)
    reserved(region, "172.31.250.0/29", subnet)
    wanted = WantedGateway(subnet_id=subnet, allocation_id=None, private_ip=None, client_token=None, tags=())
    made = nat_gateways.create(shelf, wanted, 9, 0.0, region.network.bits).result
    request = nat_gateways.placed_request(shelf, made)
    assert request is not None
    given = region.run(region.capacity.place(request))
    assert given.eni.private_ipv4 == "172.31.250.8"
    vpce = region.ec2.create_vpc_endpoint(
        VpcId=region.view(subnet).vpc_id,
        VpcEndpointType="Interface",
        ServiceName="com.amazonaws.us-east-1.ecs",
        SubnetIds=[subnet],
        PrivateDnsEnabled=False,
    )["VpcEndpoint"]["VpcEndpointId"]
    endpoint = region.network.shelf(ACCOUNT).find(VpcEndpoint, vpce)
    assert endpoint is not None
    request = interface_endpoints.placed_request(region.network.shelf(ACCOUNT), endpoint, endpoint.interfaces[0])
    assert request is not None
    assert region.run(region.capacity.place(request)).eni.private_ipv4 == "172.31.250.9"
