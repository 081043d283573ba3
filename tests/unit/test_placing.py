"""NAT gateways come to their places and leave them, whatever ends the process in between."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec import Struct
from msgspec.structs import replace

from neargate.capacity.manager import Capacity, open_capacity
from neargate.frontend.balancing import objects as balancing_objects
from neargate.frontend.network.addressing import nat_gateways
from neargate.frontend.network.addressing.nat_gateways import WantedGateway
from neargate.frontend.network.errors.addresses import PoolExhausted
from neargate.frontend.network.placing.loop import Placing, open_placing, plan_placing
from neargate.frontend.network.pools import public as public_pool
from neargate.frontend.network.pools.public import POOL, GivenAddress
from neargate.frontend.network.records.objects import NatGateway, Subnet
from neargate.frontend.network.registry import MIGRATIONS, NetworkRegistry, open_network
from neargate.frontend.regional.shelves import Change, Shelf
from neargate.interfaces.store import Overloaded
from neargate.model.capacity import HostCapacity, HostFacts, PlacedRequest, Reservation
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.testing.sim.disks import ZoneHistory
from neargate.vpc.addresses import AddressRange, elastic_ranges
from neargate.world import OsWorld

ACCOUNT, REGION, ZONE = "123456789012", "us-east-1", "us-east-1a"
HOST = HostFacts(
    host_id="host-1",
    boot_id="boot-1",
    capacity=HostCapacity(cpu_units=1024, memory_mib=1024, disk_gib=100),
    sandbox="simulated",
)


class Process(Struct, frozen=True, kw_only=True):
    """All that one process of a server has; what is durable is on the disks."""

    capacity: Capacity
    network: NetworkRegistry
    placing: Placing

    def nat(self) -> NatGateway:
        [found] = self.network.shelf(ACCOUNT).all(NatGateway)
        return found


async def nothing_to_settle() -> None:
    """There are no tasks."""


async def start(region_disk: MemoryDisk, zone_disk: MemoryDisk, *, knobs: Knobs | None = None) -> Process:
    world, knobs = OsWorld(), knobs or Knobs()
    capacity = await open_capacity(
        world,
        MemoryStores(world, knobs, zone_disk),
        shard="zone-a",
        region=REGION,
        zones=(ZONE,),
        public_pool="198.18.0.0/28",
        knobs=knobs,
    )
    store = await MemoryStores(world, knobs, region_disk).open("region", MIGRATIONS)
    network = await open_network(
        world,
        store,
        region=REGION,
        account=ACCOUNT,
        zones=((ZONE, "use1-az1"),),
        public_pool="198.18.0.0/28",
        kinds=balancing_objects.KINDS,
    )
    placing = await open_placing(world, network, {ZONE: capacity}, knobs)
    await placing.restore(nothing_to_settle)
    return Process(capacity=capacity, network=network, placing=placing)


async def create(process: Process) -> str:
    subnet = next(process.network.shelf(ACCOUNT).all(Subnet))
    wanted = WantedGateway(subnet_id=subnet.name, allocation_id=None, private_ip=None, client_token=None, tags=())
    made = await process.network.change(
        ACCOUNT, lambda shelf: nat_gateways.create(shelf, wanted, 5, 1.0, process.network.bits)
    )
    return made.name


async def started_with_gateway(region_disk: MemoryDisk, zone_disk: MemoryDisk) -> tuple[Process, str]:
    """A process with a host, and the id of a NAT gateway that nobody has looked at yet."""
    process = await start(region_disk, zone_disk)
    await process.capacity.register_host(HOST)
    return process, await create(process)


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(main(), 60)

    asyncio.run(bounded())


def request(process: Process) -> PlacedRequest:
    found = nat_gateways.placed_request(process.network.shelf(ACCOUNT), process.nat())
    assert found is not None
    return found


def test_it_waits_for_a_host() -> None:
    async def main() -> None:
        process = await start(MemoryDisk(), MemoryDisk())
        await create(process)
        await process.placing.look()
        assert process.nat().state == "pending"
        await process.capacity.register_host(HOST)
        await process.placing.look()
        assert process.nat().state == "available" and process.nat().host_id == "host-1"

    run(main)


def test_a_process_that_ends_after_the_claim_and_before_the_record() -> None:
    async def main() -> None:
        region, zone = MemoryDisk(), MemoryDisk()
        first, _ = await started_with_gateway(region, zone)
        claimed = await first.capacity.place(request(first))
        assert isinstance(claimed, Reservation) and claimed.eni is not None
        second = await start(region, zone)
        await second.placing.look()
        assert second.nat().eni_id == claimed.eni.eni_id and second.nat().state == "available"
        assert len(await second.capacity.describe_enis(ACCOUNT)) == 1

    run(main)


def test_what_is_deleted_while_it_is_placed_leaves_nothing() -> None:
    async def main() -> None:
        region, zone = MemoryDisk(), MemoryDisk()
        first, nat_id = await started_with_gateway(region, zone)
        claimed = await first.capacity.place(request(first))
        await first.network.change(ACCOUNT, lambda shelf: nat_gateways.delete(shelf, nat_id))
        assert isinstance(claimed, Reservation)
        await first.network.change(ACCOUNT, lambda shelf: nat_gateways.placed(shelf, nat_id, claimed))
        assert first.nat().state == "deleting"
        second = await start(region, zone)
        await second.placing.look()
        assert second.nat().state == "deleted"
        assert await second.capacity.describe_enis(ACCOUNT) == []

    run(main)


def test_a_process_that_ends_after_the_release_and_before_the_record() -> None:
    async def main() -> None:
        region, zone = MemoryDisk(), MemoryDisk()
        first, nat_id = await started_with_gateway(region, zone)
        await first.placing.look()
        await first.network.change(ACCOUNT, lambda shelf: nat_gateways.delete(shelf, nat_id))
        await first.capacity.release(nat_id, ZONE)
        second = await start(region, zone)
        await second.placing.look()
        assert second.nat().state == "deleted"

    run(main)


def test_a_zone_that_lost_its_claims_has_them_again_before_anything_is_launched() -> None:
    async def main() -> None:
        region = MemoryDisk()
        first, _ = await started_with_gateway(region, MemoryDisk())
        await first.placing.look()
        [before] = await first.capacity.describe_enis(ACCOUNT)
        second = await start(region, MemoryDisk())
        [after] = await second.capacity.describe_enis(ACCOUNT)
        for member in ("NetworkInterfaceId", "PrivateIpAddress", "MacAddress", "Description", "PrivateDnsName"):
            assert after[member] == before[member]

    run(main)


def test_a_claim_that_a_zone_has_again_of_a_gateway_that_is_over_is_given_back_at_the_start() -> None:
    """The zone lost the release with its machine; the gateway's address may be a task's by then."""

    async def main() -> None:
        region, zone = MemoryDisk(), MemoryDisk()
        first, nat_id = await started_with_gateway(region, zone)
        await first.placing.look()
        history = ZoneHistory()
        history.is_kept = True
        history.committed("zone-a", zone.databases["zone-a"])
        await first.network.change(ACCOUNT, lambda shelf: nat_gateways.delete(shelf, nat_id))
        await first.placing.look()
        assert first.nat().state == "deleted" and await first.capacity.describe_enis(ACCOUNT) == []
        history.committed("zone-a", zone.databases["zone-a"])
        assert history.lose("zone-a", 1, zone.databases["zone-a"]) == 1
        second = await start(region, zone)
        assert await second.capacity.describe_enis(ACCOUNT) == []

    run(main)


def test_a_claim_of_what_is_over_waits_for_a_database_with_too_much_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that ends so would end the process."""

    async def main() -> None:
        process, nat_id = await started_with_gateway(MemoryDisk(), MemoryDisk())
        await process.placing.look()
        await process.network.change(ACCOUNT, lambda shelf: nat_gateways.delete(shelf, nat_id))
        await process.network.change(ACCOUNT, lambda shelf: nat_gateways.deleted(shelf, nat_id, OsWorld().now()))

        async def busy() -> None:
            raise Overloaded("reads are waiting")

        with monkeypatch.context() as during:
            during.setattr(process.network, "catch_up", busy)
            await process.placing.look()
            assert len(await process.capacity.describe_enis(ACCOUNT)) == 1
        await process.placing.look()
        assert await process.capacity.describe_enis(ACCOUNT) == []

    run(main)


def test_one_that_fails_is_said_to_before_its_place_is_given_back() -> None:
    """What was given back is never placed again: pending, it would wait for ever once the reason is gone."""

    async def main() -> None:
        region, zone = MemoryDisk(), MemoryDisk()
        first, _ = await started_with_gateway(region, zone)
        assert isinstance(await first.capacity.place(request(first)), Reservation)
        subnet = first.network.shelf(ACCOUNT).find(Subnet, first.nat().subnet_id)
        assert subnet is not None
        await first.network.change(ACCOUNT, lambda shelf: Change(result=None, drop=(subnet,)))
        zone.is_full = True
        await first.placing.look()
        assert first.nat().state == "failed" and len(await first.capacity.describe_enis(ACCOUNT)) == 1
        zone.is_full = False
        await first.placing.look()
        assert await first.capacity.describe_enis(ACCOUNT) == []

    run(main)


def test_an_address_that_a_crash_left_between_pool_and_account_is_taken_back() -> None:
    async def main() -> None:
        region = MemoryDisk()
        process = await start(region, MemoryDisk())
        await process.network.change(
            POOL, lambda pool: public_pool.give(pool, process.network.elastic_ranges(), (), ACCOUNT, "eipalloc-0", 0.0)
        )
        assert process.network.shelf(POOL).count(GivenAddress) == 1
        again = await start(region, MemoryDisk())
        assert again.network.accounts() == [ACCOUNT]
        await again.placing.look()
        assert again.network.shelf(POOL).count(GivenAddress) == 0

    run(main)


def test_the_pool_gives_each_address_once_skips_what_tasks_have_and_ends() -> None:
    pool, ranges = Shelf(POOL), elastic_ranges("198.18.0.0/28")
    given = []
    for n in range(2):
        change = public_pool.give(pool, ranges, {"198.18.0.13"}, ACCOUNT, f"eipalloc-{n}", 0.0)
        pool.apply(change.put, change.drop)
        given.append(change.result)
    assert given == ["198.18.0.12", "198.18.0.14"]
    with pytest.raises(PoolExhausted):
        public_pool.give(pool, ranges, {"198.18.0.13"}, ACCOUNT, "eipalloc-9", 0.0)
    back = public_pool.take_back(pool, "198.18.0.12", "eipalloc-0")
    pool.apply(back.put, back.drop)
    assert public_pool.take_back(pool, "198.18.0.14", "eipalloc-0").drop == ()
    assert public_pool.give(pool, ranges, (), ACCOUNT, "eipalloc-9", 0.0).result == "198.18.0.12"
    two = (AddressRange(1, 2), AddressRange(9, 9))
    assert public_pool.give(Shelf(POOL), two, {"0.0.0.1", "0.0.0.2"}, ACCOUNT, "e", 0.0).result == "0.0.0.9"


@pytest.mark.parametrize(
    ("state", "ended", "expected"),
    [
        ("pending", None, "fail"),
        ("available", None, None),
        ("deleting", None, "release"),
        ("deleted", 99.0, None),
        ("deleted", 0.0, "forget"),
        ("failed", 0.0, "forget"),
    ],
)
def test_what_a_state_asks_for(state: str, ended: float | None, expected: str | None) -> None:
    shelf = Shelf(ACCOUNT)
    nat = NatGateway(
        account=ACCOUNT, name="nat-0", vpc_id="vpc-0", subnet_id="gone", zone=ZONE, state=state, created_at=0.0
    )
    shelf.apply((replace(nat, deleted_at=ended),), ())
    plan = plan_placing(shelf, now=100.0, keep_s=50.0)
    done = {name for name in ("place", "fail", "release", "forget") if getattr(plan, name)}
    assert done == ({expected} if expected else set())


def test_a_gateway_of_a_host_that_is_lost_for_good_is_anothers_with_its_addresses() -> None:
    async def main() -> None:
        region, zone = MemoryDisk(), MemoryDisk()
        process, _ = await started_with_gateway(region, zone)
        await process.placing.look()
        before = process.nat()
        await process.capacity.register_host(replace(HOST, host_id="host-2"))
        await process.capacity.host_seen("host-1", False)
        await process.placing.look()
        assert process.nat() == before
        patient = await start(region, zone, knobs=Knobs(node_lost_s=0.0))
        await patient.capacity.register_host(replace(HOST, host_id="host-2"))
        await patient.placing.look()
        assert patient.nat() == replace(before, host_id="host-2")
        assert [one["nodes"] for one in await patient.capacity.hosts()] == [0, 1]

    run(main)
