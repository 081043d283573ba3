"""Interfaces of VPC endpoints come to their places and leave them, whatever ends the process in between."""

from collections.abc import Awaitable, Callable
from typing import cast

from msgspec.structs import replace

from neargate.capacity.manager import Capacity
from neargate.frontend.network.endpoints import changes as endpoints
from neargate.frontend.network.endpoints import interface_endpoints
from neargate.frontend.network.endpoints.changes import FULL_ACCESS
from neargate.frontend.network.endpoints.interface_endpoints import WantedChange, WantedInterface
from neargate.frontend.network.nodes.node_moves import MovePlanner, Patience
from neargate.frontend.network.placing.endpoints import EndpointPlacing
from neargate.frontend.network.records.objects import Subnet, VpcEndpoint
from neargate.interfaces.roles import CapacityManager
from neargate.model.capacity import NoAddress, NoCapacity, PlacedRequest, Reservation
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryDisk

from .test_placing import ACCOUNT, HOST, ZONE, Process, nothing_to_settle, run, start

SERVICE = "com.amazonaws.us-east-1.ecs"


def found(process: Process) -> VpcEndpoint:
    [one] = process.network.shelf(ACCOUNT).all(VpcEndpoint)
    return one


def is_gone(process: Process) -> bool:
    return process.network.shelf(ACCOUNT).count(VpcEndpoint) == 0


async def create(process: Process, bits: Callable[[int], int] | None = None, **wanted: object) -> VpcEndpoint:
    """`bits`: what its names are made of."""
    subnet = next(process.network.shelf(ACCOUNT).all(Subnet))
    asked = WantedInterface(
        vpc_id=subnet.vpc_id, service_name=SERVICE, policy=FULL_ACCESS, subnets=(subnet.name,), private_dns=False
    )
    change = replace(asked, **wanted)
    used = bits or process.network.bits
    return await process.network.change(ACCOUNT, lambda shelf: interface_endpoints.create(shelf, change, 1.0, 50, used))


async def begun(region: MemoryDisk, zone: MemoryDisk) -> Process:
    """A process with a host and an endpoint that nobody has looked at yet."""
    process = await start(region, zone)
    await process.capacity.register_host(HOST)
    await create(process)
    return process


async def delete(process: Process) -> None:
    name = found(process).name
    await process.network.change(ACCOUNT, lambda shelf: endpoints.delete_endpoints(shelf, [name]))


async def modify(process: Process, wanted: WantedChange) -> None:
    one, bits = found(process), process.network.bits
    await process.network.change(ACCOUNT, lambda shelf: interface_endpoints.modify(shelf, one, wanted, bits))


async def claim(process: Process) -> Reservation:
    """As the loop does, which then ends."""
    endpoint = found(process)
    [one] = endpoint.interfaces
    request = interface_endpoints.placed_request(process.network.shelf(ACCOUNT), endpoint, one)
    assert request is not None
    claimed = await process.capacity.place(request)
    assert isinstance(claimed, Reservation) and claimed.eni is not None
    return claimed


class Meanwhile:
    """A zone that somebody is asked by while it is asked itself."""

    def __init__(self, zone: Capacity, work: Callable[[], Awaitable[object]]) -> None:
        self._zone = zone
        self._work = work

    async def place(self, request: PlacedRequest) -> Reservation | NoCapacity | NoAddress:
        await self._work()
        return await self._zone.place(request)


def test_others_that_are_deleted_while_one_is_placed_are_passed_over() -> None:
    async def main() -> None:
        process = await start(MemoryDisk(), MemoryDisk())
        await process.capacity.register_host(HOST)
        waits = await create(process, lambda _: 0)
        gone = [(await create(process, subnets=())).name]
        assert waits.name < gone[0]  # the loop takes them in order of names
        zone = Meanwhile(
            process.capacity,
            lambda: process.network.change(ACCOUNT, lambda shelf: endpoints.delete_endpoints(shelf, gone)),
        )
        nowhere = MovePlanner((), 0.0, Patience(lost_s=60.0, told_s=5.0, handover_s=120.0))
        await EndpointPlacing(process.network, {ZONE: cast(CapacityManager, zone)}).look(ACCOUNT, nowhere)
        assert found(process).state == "available"

    run(main)


def test_it_waits_for_a_host() -> None:
    async def main() -> None:
        process = await start(MemoryDisk(), MemoryDisk())
        await create(process)
        await process.placing.look()
        assert found(process).state == "pending"
        await process.capacity.register_host(HOST)
        await process.placing.look()
        [one] = found(process).interfaces
        assert found(process).state == "available" and one.host_id == "host-1" and one.private_ip is not None

    run(main)


def test_a_process_that_ends_after_the_claim_and_before_the_record() -> None:
    async def main() -> None:
        region, zone = MemoryDisk(), MemoryDisk()
        first = await begun(region, zone)
        claimed = await claim(first)
        second = await start(region, zone)
        await second.placing.look()
        [one] = found(second).interfaces
        assert claimed.eni is not None and one.eni_id == claimed.eni.eni_id
        assert len(await second.capacity.describe_enis(ACCOUNT)) == 1

    run(main)


def test_what_is_deleted_while_it_is_placed_leaves_nothing() -> None:
    async def main() -> None:
        region, zone = MemoryDisk(), MemoryDisk()
        first = await begun(region, zone)
        claimed, endpoint = await claim(first), found(first)
        await delete(first)
        place = endpoint.interfaces[0].place
        await first.network.change(
            ACCOUNT, lambda shelf: interface_endpoints.placed(shelf, endpoint.name, place, claimed)
        )
        assert found(first).state == "deleting"
        second = await start(region, zone)
        await second.placing.look()
        assert is_gone(second) and await second.capacity.describe_enis(ACCOUNT) == []

    run(main)


def test_a_process_that_ends_after_the_release_and_before_the_record() -> None:
    async def main() -> None:
        region, zone = MemoryDisk(), MemoryDisk()
        first = await begun(region, zone)
        await first.placing.look()
        place = found(first).interfaces[0].place
        await delete(first)
        await first.capacity.release(place, ZONE)
        second = await start(region, zone)
        await second.placing.look()
        assert is_gone(second)

    run(main)


def test_a_zone_that_lost_its_claims_has_them_again_before_anything_is_launched() -> None:
    async def main() -> None:
        region = MemoryDisk()
        first = await begun(region, MemoryDisk())
        await first.placing.look()
        [before] = await first.capacity.describe_enis(ACCOUNT)
        assert before["InterfaceType"] == "vpc_endpoint"
        second = await start(region, MemoryDisk())
        [after] = await second.capacity.describe_enis(ACCOUNT)
        members = ("NetworkInterfaceId", "PrivateIpAddress", "MacAddress", "Description", "InterfaceType")
        assert [after[member] for member in members] == [before[member] for member in members]

    run(main)


def test_what_no_record_speaks_of_is_given_back() -> None:
    """The zone has a claim again of an endpoint that is over: its release was lost with the machine."""

    async def main() -> None:
        zone = MemoryDisk()
        first = await begun(MemoryDisk(), zone)
        await first.placing.look()
        assert len(await first.capacity.describe_enis(ACCOUNT)) == 1
        second = await start(MemoryDisk(), zone)
        await second.placing.restore(nothing_to_settle)
        assert await second.capacity.describe_enis(ACCOUNT) == []

    run(main)


def test_a_subnet_may_be_left_and_entered_again() -> None:
    """A zone never places again by a name that it was given back; each time it is another one."""

    async def main() -> None:
        process = await begun(MemoryDisk(), MemoryDisk())
        await process.placing.look()
        [before] = found(process).interfaces
        await modify(process, WantedChange(remove_subnets=(before.subnet_id,)))
        assert found(process).subnets == () and found(process).state == "available"
        await modify(process, WantedChange(add_subnets=(before.subnet_id,)))
        assert found(process).state == "pending" and len(found(process).interfaces) == 2
        await process.placing.look()
        await process.placing.look()
        [after] = found(process).interfaces
        assert found(process).state == "available" and after.eni_id not in (None, before.eni_id)
        assert len(await process.capacity.describe_enis(ACCOUNT)) == 1

    run(main)


def test_a_pending_subnet_that_is_left_is_waited_for_no_longer() -> None:
    async def main() -> None:
        process = await start(MemoryDisk(), MemoryDisk())
        made = await create(process)
        await modify(process, WantedChange(remove_subnets=made.subnets))
        assert found(process).state == "available"
        await process.placing.look()
        assert found(process).interfaces == ()

    run(main)


def test_one_whose_host_is_lost_for_good_is_anothers_with_its_address() -> None:
    async def main() -> None:
        region, zone = MemoryDisk(), MemoryDisk()
        process = await begun(region, zone)
        await process.placing.look()
        before = found(process)
        again = await start(region, zone, knobs=Knobs(node_lost_s=0.0))
        await again.capacity.register_host(replace(HOST, host_id="host-2"))
        await again.placing.look()
        assert found(again) == replace(
            before, interfaces=tuple(replace(one, host_id="host-2") for one in before.interfaces)
        )

    run(main)
