"""Network interfaces that callers make, as botocore's own client sees them: addresses that nobody else is given."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.capacity.manager import Capacity, open_capacity
from neargate.frontend.callers.credentials import administrator
from neargate.frontend.network.addressing import interfaces
from neargate.frontend.network.placing.loop import open_placing
from neargate.frontend.network.records.objects import NetworkInterface
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryStores
from neargate.world import OsWorld

from .ec2_region import ABSENT, ACCOUNT, REGION, ZONES, Region, by, ec2_region, refused
from .test_ec2_routes import keep, other_vpc, tags, vpc_id

__all__ = ["ec2_region"]
Shown = dict[str, Any]
FULL = (
    "InsufficientFreeAddressesInSubnet",
    "The specified subnet does not have enough free addresses to satisfy the request.",
    400,
)


def subnet(region: Region, cidr: str = "172.31.250.0/28") -> str:
    return str(region.ec2.create_subnet(VpcId=vpc_id(region), CidrBlock=cidr)["Subnet"]["SubnetId"])


def made(region: Region, subnet_id: str, **more: Any) -> Shown:
    return dict(region.ec2.create_network_interface(SubnetId=subnet_id, **more)["NetworkInterface"])


def seen(region: Region, interface_id: str) -> Shown:
    describe = region.ec2.describe_network_interfaces
    [found] = describe(NetworkInterfaceIds=[interface_id])["NetworkInterfaces"]
    return dict(found)


def free_count(region: Region, subnet_id: str) -> int:
    [found] = region.ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"]
    return int(found["AvailableIpAddressCount"])


def group(region: Region, vpc: str, name: str = "one") -> str:
    return str(region.ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"])


def addresses(shown: Shown) -> list[str]:
    return [one["PrivateIpAddress"] for one in shown["PrivateIpAddresses"]]


def look(region: Region, **knobs: float) -> None:
    """What the placing loop does now."""

    async def once() -> None:
        placing = await open_placing(
            OsWorld(), region.network, dict.fromkeys((name for name, _ in ZONES), region.capacity), Knobs(**knobs)
        )
        await placing.look()

    region.run(once())


def test_an_interface_is_made_seen_and_deleted(region: Region) -> None:
    own, web = subnet(region), group(region, vpc_id(region))
    before = free_count(region, own)
    answer = made(region, own, Groups=[web], Description="of mine", TagSpecifications=tags("network-interface", a="b"))
    assert answer["Status"] == "pending"
    interface_id = answer["NetworkInterfaceId"]
    found = seen(region, interface_id)
    assert found | {"MacAddress": ""} == {
        "AvailabilityZone": found["AvailabilityZone"],
        "AvailabilityZoneId": dict(ZONES)[found["AvailabilityZone"]],
        "Description": "of mine",
        "Groups": [{"GroupId": web, "GroupName": "one"}],
        "InterfaceType": "interface",
        "Ipv6Addresses": [],
        "MacAddress": "",
        "NetworkInterfaceId": interface_id,
        "OwnerId": ACCOUNT,
        "PrivateDnsName": "ip-172-31-250-4.ec2.internal",
        "PrivateIpAddress": "172.31.250.4",
        "PrivateIpAddresses": [
            {
                "Primary": True,
                "PrivateDnsName": "ip-172-31-250-4.ec2.internal",
                "PrivateIpAddress": "172.31.250.4",
            }
        ],
        "RequesterId": administrator(ACCOUNT, "").user_id,
        "RequesterManaged": False,
        "SourceDestCheck": True,
        "Status": "available",
        "SubnetId": own,
        "TagSet": [{"Key": "a", "Value": "b"}],
        "VpcId": vpc_id(region),
    }
    assert answer | {"Status": "available"} == found
    assert free_count(region, own) == before - 1
    describe = region.ec2.describe_network_interfaces
    for filters in (by("status", "available"), by("tag:a", "b"), by("group-id", web), by("description", "of m*")):
        assert [one["NetworkInterfaceId"] for one in describe(Filters=filters)["NetworkInterfaces"]] == [interface_id]
    region.ec2.create_tags(Resources=[interface_id], Tags=[{"Key": "c", "Value": "d"}])
    region.ec2.delete_tags(Resources=[interface_id], Tags=[{"Key": "a"}])
    [row] = region.ec2.describe_tags(Filters=by("resource-type", "network-interface"))["Tags"]
    assert row == {"ResourceId": interface_id, "ResourceType": "network-interface", "Key": "c", "Value": "d"}
    region.ec2.delete_network_interface(NetworkInterfaceId=interface_id)
    assert free_count(region, own) == before
    for call in (describe, region.ec2.delete_network_interface):
        given = {"NetworkInterfaceIds": [interface_id]} if call == describe else {"NetworkInterfaceId": interface_id}
        assert refused(lambda call=call, given=given: call(**given)) == (
            "InvalidNetworkInterfaceID.NotFound",
            f"The networkInterface ID '{interface_id}' does not exist",
            400,
        )
    assert region.run(region.capacity.placed()) == []


def test_of_addresses_the_one_that_is_said_to_be_primary_is_else_the_first(region: Region) -> None:
    own = subnet(region)
    given = [{"PrivateIpAddress": "172.31.250.5"}, {"PrivateIpAddress": "172.31.250.6", "Primary": True}]
    assert addresses(made(region, own, PrivateIpAddresses=given)) == ["172.31.250.6", "172.31.250.5"]
    given = [{"PrivateIpAddress": "172.31.250.8"}, {"PrivateIpAddress": "172.31.250.9"}]
    assert addresses(made(region, own, PrivateIpAddresses=given)) == ["172.31.250.8", "172.31.250.9"]
    given = [{"PrivateIpAddress": "172.31.250.10"}]
    found = made(region, own, PrivateIpAddress="172.31.250.11", PrivateIpAddresses=given)
    assert addresses(found) == ["172.31.250.11", "172.31.250.10"]


def test_it_has_a_name_where_its_vpc_has_host_names(region: Region) -> None:
    vpc = other_vpc(region)
    own = str(region.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"])
    found = made(region, own)
    assert "PrivateDnsName" not in found
    assert found["PrivateIpAddresses"] == [{"Primary": True, "PrivateIpAddress": "10.0.0.4"}]
    region.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    assert seen(region, found["NetworkInterfaceId"])["PrivateDnsName"] == "ip-10-0-0-4.ec2.internal"


def test_it_keeps_its_subnet_and_groups(region: Region) -> None:
    own, web = subnet(region), group(region, vpc_id(region))
    interface_id = made(region, own, Groups=[web])["NetworkInterfaceId"]
    assert refused(lambda: region.ec2.delete_subnet(SubnetId=own))[0] == "DependencyViolation"
    assert refused(lambda: region.ec2.delete_security_group(GroupId=web))[0] == "DependencyViolation"
    look(region)  # what the loop finds is as it should be
    assert seen(region, interface_id)["PrivateIpAddress"] == "172.31.250.4"
    region.ec2.delete_network_interface(NetworkInterfaceId=interface_id)
    region.ec2.delete_security_group(GroupId=web)
    region.ec2.delete_subnet(SubnetId=own)


def test_attributes_are_changed(region: Region) -> None:
    own, web = subnet(region), group(region, vpc_id(region))
    interface_id = made(region, own)["NetworkInterfaceId"]
    assert [one["GroupName"] for one in seen(region, interface_id)["Groups"]] == ["default"]
    modify = region.ec2.modify_network_interface_attribute
    modify(NetworkInterfaceId=interface_id, Groups=[web])
    modify(NetworkInterfaceId=interface_id, Description={"Value": "new"})
    modify(NetworkInterfaceId=interface_id, SourceDestCheck={"Value": False})
    found = seen(region, interface_id)
    assert ([one["GroupId"] for one in found["Groups"]], found["Description"], found["SourceDestCheck"]) == (
        [web],
        "new",
        False,
    )
    asked = region.ec2.describe_network_interface_attribute
    assert asked(NetworkInterfaceId=interface_id, Attribute="description")["Description"] == {"Value": "new"}
    assert "Attachment" not in asked(NetworkInterfaceId=interface_id, Attribute="attachment")
    region.ec2.reset_network_interface_attribute(NetworkInterfaceId=interface_id, SourceDestCheck="true")
    assert seen(region, interface_id)["SourceDestCheck"] is True
    both = {"Description": {"Value": "x"}, "SourceDestCheck": {"Value": True}}
    assert refused(lambda: modify(NetworkInterfaceId=interface_id, **both))[0] == "InvalidParameterCombination"
    assert refused(lambda: modify(NetworkInterfaceId=interface_id))[0] == "MissingParameter"
    attachment = {"AttachmentId": "eni-attach-0123456789abcdef0", "DeleteOnTermination": True}
    assert refused(lambda: modify(NetworkInterfaceId=interface_id, Attachment=attachment))[0] == "UnsupportedOperation"
    elsewhere = group(region, other_vpc(region))
    code, text, _ = refused(lambda: modify(NetworkInterfaceId=interface_id, Groups=[elsewhere]))
    assert (code, text) == (
        "InvalidParameter",
        f"Security group {elsewhere} and subnet {own} belong to different networks.",
    )


def test_addresses_are_chosen_added_and_taken_away(region: Region) -> None:
    own = subnet(region)
    found = made(region, own, PrivateIpAddress="172.31.250.9", SecondaryPrivateIpAddressCount=2)
    interface_id = found["NetworkInterfaceId"]
    assert addresses(found)[0] == "172.31.250.9" and len(set(addresses(found))) == 3
    assert free_count(region, own) == 8
    assign = region.ec2.assign_private_ip_addresses
    answer = assign(NetworkInterfaceId=interface_id, PrivateIpAddresses=["172.31.250.14", "172.31.250.9"])
    assert answer["AssignedPrivateIpAddresses"] == [{"PrivateIpAddress": "172.31.250.14"}]
    more = assign(NetworkInterfaceId=interface_id, SecondaryPrivateIpAddressCount=2)["AssignedPrivateIpAddresses"]
    assert len(more) == 2
    assert free_count(region, own) == 5
    in_use = ("InvalidIPAddress.InUse", "Address 172.31.250.14 is in use.", 400)
    assert refused(lambda: made(region, own, PrivateIpAddress="172.31.250.14")) == in_use
    other = made(region, own, PrivateIpAddresses=[{"PrivateIpAddress": "172.31.250.12", "Primary": True}])
    assert (
        refused(lambda: assign(NetworkInterfaceId=other["NetworkInterfaceId"], PrivateIpAddresses=["172.31.250.14"]))
        == in_use
    )
    assert refused(lambda: made(region, own, SecondaryPrivateIpAddressCount=4)) == FULL
    assert free_count(region, own) == 4, "what was refused holds nothing"
    unassign = region.ec2.unassign_private_ip_addresses
    unassign(NetworkInterfaceId=interface_id, PrivateIpAddresses=["172.31.250.14"])
    assert "172.31.250.14" not in addresses(seen(region, interface_id)) and free_count(region, own) == 5
    assign(NetworkInterfaceId=interface_id, PrivateIpAddresses=["172.31.250.14"])
    for wrong in ("172.31.250.9", "172.31.250.13"):
        given = {"NetworkInterfaceId": interface_id, "PrivateIpAddresses": [wrong]}
        assert refused(lambda given=given: unassign(**given))[0] == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"SubnetId": f"subnet-{ABSENT}"}, "InvalidSubnetID.NotFound"),
        ({"SubnetId": "subnet-x"}, "InvalidSubnetID.NotFound"),
        ({"Groups": [f"sg-{ABSENT}"]}, "InvalidGroup.NotFound"),
        ({"PrivateIpAddress": "172.31.251.1"}, "InvalidParameterValue"),
        ({"PrivateIpAddress": "172.31.250.1"}, "InvalidParameterValue"),
        ({"PrivateIpAddress": "172.31.250"}, "InvalidParameterValue"),
        ({"PrivateIpAddresses": [{"PrivateIpAddress": f"172.31.250.{n}", "Primary": True} for n in (5, 6)]}, None),
        ({"PrivateIpAddresses": [{"PrivateIpAddress": "172.31.250.5"}] * 2}, "InvalidParameterValue"),
        (
            {"PrivateIpAddresses": [{"PrivateIpAddress": "172.31.250.5"}], "SecondaryPrivateIpAddressCount": 1},
            "InvalidParameterCombination",
        ),
        ({"SecondaryPrivateIpAddressCount": 51}, "InvalidParameterValue"),
        ({"Description": "x" * 256}, "InvalidParameterValue"),
        ({"InterfaceType": "efa"}, "UnsupportedOperation"),
        ({"Ipv6AddressCount": 1}, "UnsupportedOperation"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)
def test_what_cannot_be_made(region: Region, more: Shown, code: str | None) -> None:
    own = subnet(region)
    before = free_count(region, own)
    assert refused(lambda: made(region, **({"subnet_id": own} | _named(more))))[0] == (code or "InvalidParameterValue")
    assert region.ec2.describe_network_interfaces()["NetworkInterfaces"] == [] and free_count(region, own) == before


def _named(more: Shown) -> Shown:
    return {"subnet_id" if name == "SubnetId" else name: value for name, value in more.items()}


def test_a_token_makes_one_interface(region: Region) -> None:
    own = subnet(region)
    first = region.ec2.create_network_interface(SubnetId=own, ClientToken="once")
    again = region.ec2.create_network_interface(SubnetId=own, ClientToken="once")
    assert first["NetworkInterface"] == again["NetworkInterface"] and again["ClientToken"] == "once"
    other = {"ClientToken": "once", "Description": "other"}
    assert refused(lambda: made(region, own, **other))[0] == "IdempotentParameterMismatch"


def test_there_is_nothing_to_attach_it_to(region: Region) -> None:
    interface_id = made(region, subnet(region))["NetworkInterfaceId"]
    attach = region.ec2.attach_network_interface
    instance = f"i-{ABSENT}"
    given = {"NetworkInterfaceId": interface_id, "InstanceId": instance, "DeviceIndex": 1}
    assert refused(lambda: attach(**given)) == (
        "InvalidInstanceID.NotFound",
        f"The instance ID '{instance}' does not exist",
        400,
    )
    assert refused(lambda: attach(**given | {"InstanceId": "i-x"}))[0] == "InvalidInstanceID.Malformed"
    absent = given | {"NetworkInterfaceId": f"eni-{ABSENT}"}
    assert refused(lambda: attach(**absent))[0] == "InvalidNetworkInterfaceID.NotFound"
    detach = region.ec2.detach_network_interface
    attachment = interface_id.replace("eni-", "eni-attach-")
    assert refused(lambda: detach(AttachmentId=attachment))[0] == "InvalidAttachmentID.NotFound"
    allocation = region.ec2.allocate_address()["AllocationId"]
    associate = region.ec2.associate_address
    code, text, _ = refused(lambda: associate(AllocationId=allocation, NetworkInterfaceId=interface_id))
    assert code == "UnsupportedOperation" and "nothing" in text


def test_those_of_services_are_not_callers(region: Region) -> None:
    reserved = region.reserve("task1")
    assert reserved.eni is not None
    given = {"NetworkInterfaceId": reserved.eni.eni_id}
    assert refused(lambda: region.ec2.delete_network_interface(**given))[0] == "InvalidParameterValue"
    assert refused(lambda: region.ec2.assign_private_ip_addresses(**given, SecondaryPrivateIpAddressCount=1))[0] == (
        "AuthFailure"
    )
    unassign = region.ec2.unassign_private_ip_addresses
    assert refused(lambda: unassign(**given, PrivateIpAddresses=[reserved.eni.private_ipv4]))[0] == "AuthFailure"


def test_what_a_crash_left_is_taken_back(region: Region) -> None:
    own = subnet(region)
    before = free_count(region, own)
    kept = made(region, own)["NetworkInterfaceId"]
    network = region.network
    wanted = interfaces.WantedInterface(
        subnet_id=own, addresses=(None, None), groups=(), description="", requester="", client_token=None, tags=()
    )

    async def ask_and_die() -> NetworkInterface:
        """As CreateNetworkInterface, as far as the zone's first answer."""
        found = await network.change(
            ACCOUNT, lambda shelf: interfaces.create(shelf, wanted, 9, OsWorld().now(), network.bits)
        )
        request = interfaces.placed_request(network.shelf(ACCOUNT), found, found.addresses[0])
        assert request is not None
        await region.capacity.place(request)
        return found

    found = region.run(ask_and_die())
    assert free_count(region, own) == before - 2
    assert len(region.ec2.describe_network_interfaces()["NetworkInterfaces"]) == 1, "it is not there yet"
    look(region)
    assert network.shelf(ACCOUNT).find(NetworkInterface, found.name) is not None, "somebody may be asking"
    look(region, interface_pending_s=0.0)
    assert network.shelf(ACCOUNT).find(NetworkInterface, found.name) is None and free_count(region, own) == before - 1
    assert seen(region, kept)["Status"] == "available"
    # One that was being deleted.
    record = network.shelf(ACCOUNT).find(NetworkInterface, kept)
    assert record is not None
    leaving = tuple(replace(one, state=interfaces.LEAVING) for one in record.addresses)
    keep(region, replace(record, addresses=leaving))
    assert region.ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    look(region)
    assert free_count(region, own) == before and network.shelf(ACCOUNT).find(NetworkInterface, kept) is None


def test_one_that_is_being_deleted_has_no_tags(region: Region) -> None:
    interface_id = made(region, subnet(region), TagSpecifications=tags("network-interface", a="b"))[
        "NetworkInterfaceId"
    ]
    record = region.network.shelf(ACCOUNT).find(NetworkInterface, interface_id)
    assert record is not None
    keep(region, replace(record, addresses=tuple(replace(one, state=interfaces.LEAVING) for one in record.addresses)))
    assert region.ec2.describe_tags()["Tags"] == []
    for change in (region.ec2.create_tags, region.ec2.delete_tags):
        given = {"Resources": [interface_id], "Tags": [{"Key": "a", "Value": "c"}]}
        assert refused(lambda change=change, given=given: change(**given))[0] == "InvalidNetworkInterfaceID.NotFound"


def test_an_address_that_a_zone_lost_with_the_machine_is_restored(region: Region) -> None:
    own = subnet(region)
    interface_id = made(region, own, SecondaryPrivateIpAddressCount=1)["NetworkInterfaceId"]
    wanted = addresses(seen(region, interface_id))
    held = region.run(region.capacity.placed())

    names = tuple(name for name, _ in ZONES)

    async def restored() -> Capacity:
        world, knobs = OsWorld(), Knobs()
        lost = await open_capacity(
            world, MemoryStores(world, knobs), shard="zone-a", region=REGION, zones=names, public_pool="198.18.0.0/24"
        )
        placing = await open_placing(world, region.network, dict.fromkeys(names, lost), knobs)
        await placing.restore(lambda: asyncio.sleep(0))
        return lost

    capacity: Capacity = region.run(restored())
    assert sorted(region.run(capacity.placed())) == sorted(held)
    assert region.run(capacity.subnet_usage([own])) == {own: len(wanted)}
    assert region.run(capacity.describe_enis(ACCOUNT)) == []
