"""A host whose own row was lost in a crash: what was restored on it is counted when it registers again."""

import asyncio
from itertools import permutations
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.capacity.manager import Capacity, open_capacity
from neargate.model.capacity import (
    HostCapacity,
    HostFacts,
    HostUse,
    RecordedReservation,
    TaskOverhead,
    WaitingMachines,
)
from neargate.model.knobs import Knobs
from neargate.model.network import Eni
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.world import OsWorld

KNOBS = Knobs(cpu_overcommit=1.0, disk_overcommit=1.0)
HOST = HostFacts(host_id="h1", boot_id="1", capacity=HostCapacity(cpu_units=4096, memory_mib=8192, disk_gib=100))


def recorded() -> RecordedReservation:
    eni = Eni(
        eni_id="eni-1",
        attachment_id="a-1",
        mac="02:00:00:00:00:01",
        vpc_id="vpc-0",
        subnet_id="subnet-a",
        subnet_cidr="10.0.0.0/24",
        private_ipv4="10.0.0.4",
    )
    return RecordedReservation(
        capacity_id="c-1",
        task_id="t-1",
        zone="a",
        account="111111111111",
        host_id="h1",
        cpu_units=256,
        memory_mib=512,
        disk_gib=20,
        eni=eni,
        owner="",
        created_at=1.0,
    )


async def opened(world: OsWorld, disk: MemoryDisk) -> Capacity:
    return await open_capacity(
        world,
        MemoryStores(world, KNOBS, disk),
        shard="zone-a",
        region="us-east-1",
        zones=("a",),
        public_pool="198.18.0.0/30",
        knobs=KNOBS,
    )


def test_a_host_that_registers_after_a_restore_holds_what_was_restored() -> None:
    async def main() -> None:
        world, disk = OsWorld(), MemoryDisk()
        zone = await opened(world, disk)
        await zone.restore([recorded()])
        await zone.register_host(HOST)
        row = "SELECT tasks, free_cpu, free_memory, free_disk, tenant FROM hosts"
        assert disk.databases["zone-a"].execute(row).fetchall() == [(1, 3840, 7680, 80, "111111111111")]
        [host] = await zone.hosts()
        assert (host["tasks"], host["reserved"]["cpu_units"]) == (1, 256)
        await zone.release("t-1", "a")
        assert disk.databases["zone-a"].execute(row).fetchall() == [(0, 4096, 8192, 100, None)]

    asyncio.run(main())


def test_what_passes_of_a_host_is_shown_and_costs_no_write() -> None:
    async def main() -> None:
        world, disk = OsWorld(), MemoryDisk()
        zone = await opened(world, disk)
        await zone.register_host(HOST)
        query = "SELECT rev FROM hosts"
        before = disk.databases["zone-a"].execute(query).fetchall()
        use = HostUse(cpu_units=64, waiting=(WaitingMachines(vcpus=1, memory_mib=650, count=2),))
        passing = replace(HOST, machines=3, used_memory_mib=512, use=use, refused_plans=1, flow_log_skips=2)
        await zone.register_host(passing)
        assert disk.databases["zone-a"].execute(query).fetchall() == before
        [shown] = await zone.hosts()
        assert (shown["machines"], shown["used_memory_mib"]) == (3, 512)
        assert list(shown["use"]["waiting"]) == [{"vcpus": 1, "memory_mib": 650, "count": 2}]

    asyncio.run(main())


@pytest.mark.parametrize("joins_before", [True, False])
def test_what_was_restored_takes_what_its_host_needs_beside_it(joins_before: bool) -> None:
    """Its cell knows the task's size only, and a host that is not there yet says later what else it needs."""

    async def main() -> None:
        world, disk = OsWorld(), MemoryDisk()
        zone = await opened(world, disk)
        host = replace(HOST, overhead=TaskOverhead(memory_mib=100, memory_part=8))
        for joins in (joins_before, not joins_before):
            await (zone.register_host(host) if joins else zone.restore([recorded()]))
        row = "SELECT tasks, free_memory FROM hosts"
        assert disk.databases["zone-a"].execute(row).fetchall() == [(1, 8192 - 512 - 100 - 64)]
        await zone.register_host(replace(host, boot_id="2"))
        [shown] = await zone.hosts()
        assert shown["reserved"]["memory_mib"] == 676, "once"
        assert disk.databases["zone-a"].execute(row).fetchall() == [(1, 8192 - 676)]
        zone = await opened(world, disk)
        await zone.release("t-1", "a")
        assert disk.databases["zone-a"].execute(row).fetchall() == [(0, 8192)]

    asyncio.run(main())


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_whatever_meets_its_hosts_return_is_given_back_as_it_was_taken(order: tuple[int, ...]) -> None:
    """A claim that is given back, and one that is restored, at the same moment as their host joins."""

    async def main() -> None:
        world, disk = OsWorld(), MemoryDisk()
        zone = await opened(world, disk)
        host = replace(HOST, overhead=TaskOverhead(memory_mib=100, memory_part=8))
        await zone.restore([recorded()])
        eni = replace(recorded().eni, eni_id="eni-2", private_ipv4="10.0.0.5")
        other = replace(recorded(), task_id="t-2", capacity_id="c-2", eni=eni)
        at_once: list[Any] = [zone.register_host(host), zone.release("t-1", "a"), zone.restore([other])]
        await asyncio.gather(*(at_once[number] for number in order))
        row = "SELECT tasks, free_memory FROM hosts"
        assert disk.databases["zone-a"].execute(row).fetchall() == [(1, 8192 - 676)]
        [shown] = await zone.hosts()
        assert shown["reserved"]["memory_mib"] == 676
        await zone.release("t-2", "a")
        assert disk.databases["zone-a"].execute(row).fetchall() == [(0, 8192)]

    asyncio.run(main())
