"""A thing that has a place holds an address and an interface: no room, nobody's host, and no sweeper takes it."""

import asyncio

import pytest
from msgspec.structs import replace

from neargate.capacity.manager import Capacity
from neargate.capacity.placed import choose_host
from neargate.model.capacity import (
    NoAddress,
    NoCapacity,
    PlacedRequest,
    RecordedReservation,
    Reservation,
    SubnetView,
)
from neargate.placement.feasible import HostView
from neargate.store.sqlite import MemoryDisk

from .test_capacity_manager import SUBNET, TINY, ZONES, capacity_on, granted, host, request, run

NAT = "nat-0123456789abcdef0"


def placed(object_id: str = NAT, *, subnet: SubnetView = SUBNET, address: str | None = None) -> PlacedRequest:
    return PlacedRequest(
        object_id=object_id,
        account="123456789012",
        zone=subnet.zone,
        subnet=subnet,
        description=f"Interface for NAT Gateway {object_id}",
        private_ipv4=address,
    )


async def place(capacity: Capacity, wanted: PlacedRequest) -> Reservation:
    made = await capacity.place(wanted)
    assert isinstance(made, Reservation) and made.eni is not None
    return made


def test_it_is_placed_once_also_after_a_restart_and_given_back_once() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await capacity_on(disk)
        await capacity.register_host(host())
        made = await place(capacity, placed())
        assert await capacity.place(placed()) == made
        again = await capacity_on(disk)
        assert await again.place(placed()) == made
        assert await again.missing([(NAT, ZONES[0])]) == []
        assert await again.subnet_usage([SUBNET.subnet_id]) == {SUBNET.subnet_id: 1}
        await again.release(NAT, ZONES[0])
        await again.release(NAT, ZONES[0])
        assert await again.subnet_usage([SUBNET.subnet_id]) == {SUBNET.subnet_id: 0}
        assert isinstance(await again.place(placed()), NoCapacity)
        assert await again.describe_enis("123456789012") == []

    run(main)


def test_no_sweeper_hears_of_it() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await capacity_on(disk)
        await capacity.register_host(host())
        await place(capacity, placed())
        await capacity.reserve(request("t1"))
        assert await capacity.unclaimed(2.0**40) == [("t1", ZONES[0])]
        again = await capacity_on(disk)
        assert await again.unclaimed(2.0**40) == [("t1", ZONES[0])]

    run(main)


def test_a_host_becomes_nobodys_by_it_and_loses_nothing() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await capacity_on(disk)
        await capacity.register_host(replace(host(), sandbox="container"))
        before = [{**shown, "nodes": 1} for shown in await capacity.hosts()]
        await place(capacity, placed())
        assert await capacity.hosts() == before
        again = await capacity_on(disk)
        await again.register_host(replace(host(), sandbox="container"))
        assert await again.hosts() == before
        other = granted(await again.reserve(request("t1", account="210987654321")))
        assert other.host_id == before[0]["host_id"]
        # It stays when the host's last task goes, and it goes while there are tasks.
        await again.release("t1", ZONES[0])
        await again.reserve(request("t2", account="123456789012"))
        held = [{**shown, "nodes": 0} for shown in await again.hosts()]
        await again.release(NAT, ZONES[0])
        assert await again.hosts() == held

    run(main)


def test_it_shares_the_subnets_addresses_with_tasks() -> None:
    async def main() -> None:
        capacity = await capacity_on(MemoryDisk())
        await capacity.register_host(host())
        taken = granted(await capacity.reserve(request("t1", subnet=TINY))).eni
        assert taken is not None
        wanted = placed(subnet=TINY, address=taken.private_ipv4)
        assert await capacity.place(wanted) == NoAddress(is_taken=True)
        outside = placed(subnet=TINY, address="10.0.0.3")
        assert await capacity.place(outside) == NoAddress(is_taken=True)
        made = await place(capacity, placed(subnet=TINY, address="10.0.0.9"))
        assert made.eni is not None and made.eni.private_ipv4 == "10.0.0.9"
        for n in range(9):
            answer = granted(await capacity.reserve(request(f"more{n}", subnet=TINY, memory_mib=64))).eni
            assert answer is not None and answer.private_ipv4 != "10.0.0.9"
        assert await capacity.place(placed("nat-0b", subnet=TINY)) == NoAddress()

    run(main)


def test_without_a_host_there_is_no_place() -> None:
    async def main() -> None:
        capacity = await capacity_on(MemoryDisk())
        assert isinstance(await capacity.place(placed()), NoCapacity)
        await capacity.register_host(host())
        assert (await place(capacity, placed())).eni is not None
        elsewhere = placed("nat-0c", subnet=replace(SUBNET, zone="us-east-1z"))
        assert isinstance(await capacity.place(elsewhere), NoCapacity)

    run(main)


def test_what_a_crash_cost_is_taken_again_as_it_was() -> None:
    async def main() -> None:
        capacity = await capacity_on(MemoryDisk())
        await capacity.register_host(host())
        made = await place(capacity, placed(address="172.31.0.77"))
        assert made.eni is not None
        [shown] = await capacity.describe_enis("123456789012")
        lost = await capacity_on(MemoryDisk())
        assert await lost.missing([(NAT, ZONES[0])]) == [(NAT, ZONES[0])]
        recorded = RecordedReservation(
            capacity_id=made.capacity_id,
            task_id=NAT,
            zone=ZONES[0],
            account="123456789012",
            host_id=made.host_id,
            cpu_units=0,
            memory_mib=0,
            disk_gib=0,
            eni=made.eni,
            owner=f"Interface for NAT Gateway {NAT}",
            created_at=shown["Attachment"]["AttachTime"],
            is_placed=True,
        )
        await lost.restore([recorded])
        assert await lost.describe_enis("123456789012") == [shown]
        assert await lost.place(placed()) == made
        assert await lost.unclaimed(2.0**40) == []
        await lost.register_host(host())
        assert [(one["tasks"], one["reserved"]["memory_mib"]) for one in await lost.hosts()] == [(0, 0)]

    run(main)


def test_its_interface_is_shown_as_a_gateways() -> None:
    async def main() -> None:
        capacity = await capacity_on(MemoryDisk())
        await capacity.register_host(host())
        made = await place(capacity, placed())
        await capacity.reserve(request("t1"))
        shown, of_task = await capacity.describe_enis("123456789012")
        assert made.eni is not None and shown["NetworkInterfaceId"] == made.eni.eni_id
        assert shown["InterfaceType"] == "nat_gateway" and shown["SourceDestCheck"] is False
        assert shown["Description"] == f"Interface for NAT Gateway {NAT}" and shown["Groups"] == []
        assert shown["Attachment"]["AttachmentId"].startswith("ela-attach-0")
        assert of_task["InterfaceType"] == "interface" and of_task["SourceDestCheck"] is True

    run(main)


def test_tasks_of_before_keep_public_addresses_that_are_elastic_now() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        older = await capacity_on(disk, pool="198.18.0.12/30")
        await older.register_host(host())
        for n in range(2):
            await older.reserve(request(f"t{n}", assign_public_ip=True))
        # In a pool of which they are the last quarter.
        capacity = await capacity_on(disk, pool="198.18.0.0/28")
        assert await capacity.public_addresses() == ["198.18.0.13", "198.18.0.14"]
        await capacity.register_host(host())
        news = []
        for n in range(11):  # all that is left to tasks
            new = granted(await capacity.reserve(request(f"new{n}", assign_public_ip=True, memory_mib=64)))
            news.append(None if new.eni is None else new.eni.public_ipv4)
        assert len(set(news)) == 11 and None not in news

    run(main)


VIEW = HostView(host_id="h", free_cpu_units=0, free_memory_mib=0, free_disk_gib=0)


@pytest.mark.parametrize(
    ("hosts", "chosen"),
    [
        ((), None),
        ((replace(VIEW, connected=False),), None),
        ((replace(VIEW, zone="b"),), None),
        ((replace(VIEW, is_draining=True),), None),
        ((replace(VIEW, host_id="a", is_draining=True), VIEW), "h"),
        ((VIEW,), "h"),
        ((replace(VIEW, tenant="somebody"),), "h"),
        ((replace(VIEW, host_id="a", pool="other"), VIEW), "h"),
        ((replace(VIEW, host_id="a", pool="other"),), "a"),
        ((replace(VIEW, host_id="a", accepts_tasks=False), VIEW), "h"),
        ((replace(VIEW, host_id="z", pool="mine"), replace(VIEW, pool="other")), "z"),
    ],
)
def test_the_host_of_a_thing_that_needs_no_room(hosts: tuple[HostView, ...], chosen: str | None) -> None:
    assert choose_host(hosts, "a", ("", "mine")) == chosen


@pytest.mark.parametrize(
    ("beside", "placed_on", "chosen"),
    [
        ((), {}, "a"),
        (("a",), {}, "b"),
        (("a", "b"), {}, "a"),
        ((), {"a": 2, "b": 1}, "b"),
        (("b",), {"a": 2, "b": 1}, "a"),
    ],
)
def test_things_of_one_work_are_spread_and_so_are_all(
    beside: tuple[str, ...], placed_on: dict[str, int], chosen: str
) -> None:
    hosts = (replace(VIEW, host_id="a"), replace(VIEW, host_id="b"))
    assert choose_host(hosts, "a", ("",), beside=beside, placed=placed_on) == chosen


def test_it_is_carried_to_another_host_with_all_that_it_has_and_a_restart_knows_it() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await capacity_on(disk)
        await capacity.register_host(host())
        made = await place(capacity, placed())
        assert isinstance(await capacity.carry(placed(), "host-1"), NoCapacity)
        await capacity.register_host(replace(host(), host_id="host-2"))
        carried = await capacity.carry(placed(), "host-1")
        assert carried == replace(made, host_id="host-2")
        assert await capacity.carry(placed(), "host-1") == carried  # who asked was killed, and asks again
        again = await capacity_on(disk)
        assert await again.place(placed()) == carried
        assert await again.subnet_usage([SUBNET.subnet_id]) == {SUBNET.subnet_id: 1}
        assert [one["nodes"] for one in await again.hosts()] == [0, 1]
        await again.release(NAT, ZONES[0])
        assert isinstance(await again.carry(placed(), "host-2"), NoCapacity)

    run(main)


def test_one_that_is_asked_for_by_two_at_once_is_carried_once() -> None:
    async def main() -> None:
        capacity = await capacity_on(MemoryDisk())
        for name in ("host-1", "host-2", "host-3"):
            await capacity.register_host(replace(host(), host_id=name))
        made = await place(capacity, placed())
        first, second = await asyncio.gather(*(capacity.carry(placed(), made.host_id) for _ in range(2)))
        assert first == second == replace(made, host_id="host-2")

    run(main)
