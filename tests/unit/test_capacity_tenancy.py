"""A zone's hosts by the operator's tenancy: whatever comes at once, is stopped, restarted or lost, the rule holds."""

import asyncio

import msgspec
import pytest

from neargate.capacity import schema
from neargate.capacity.manager import CAPACITY_UNAVAILABLE, Capacity, open_capacity
from neargate.interfaces.store import Statement
from neargate.model.capacity import NoCapacity, PlacedRequest, RecordedReservation, Reservation, Tenancy
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.world import OsWorld

from .test_capacity_manager import KNOBS, SUBNET, ZONES, granted, host, request, run

OURS, THEIRS, THIRD = "123456789012", "210987654321", "333333333333"
CONTAINERS = host(sandbox="container")


async def zone(disk: MemoryDisk, tenancy: Tenancy = Tenancy.STRICT, *, joins: bool = True) -> Capacity:
    """With one host of containers, that has joined."""
    world = OsWorld()
    capacity = await open_capacity(
        world,
        MemoryStores(world, KNOBS, disk),
        shard="zone-a",
        region="us-east-1",
        zones=ZONES,
        public_pool="198.18.0.0/24",
        knobs=KNOBS,
        tenancy=tenancy,
    )
    if joins:
        await capacity.register_host(CONTAINERS)
    return capacity


async def placed(capacity: Capacity, task_id: str, account: str = OURS) -> bool:
    made = await capacity.reserve(request(task_id, account=account))
    assert isinstance(made, Reservation) or made == NoCapacity(reason=CAPACITY_UNAVAILABLE), "AWS's words alone"
    return isinstance(made, Reservation)


async def shown(capacity: Capacity) -> tuple[list[str], str | None]:
    """Of the only host: whose tasks it has, and whose it is."""
    [one] = await capacity.hosts()
    return one["accounts"], one["tenant"]


def accounts_in(disk: MemoryDisk) -> set[str]:
    rows = disk.databases["zone-a"].execute("SELECT DISTINCT account FROM reservations WHERE state = 'reserved'")
    return {account for (account,) in rows.fetchall()}


def test_of_many_accounts_at_once_one_gets_the_host() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        order = [THIRD, THEIRS, OURS]
        for process in [await zone(disk) for _ in range(2)]:  # neither hears of the other
            calls = [(f"{order[0]}-{who}-{n}", who) for n in range(4) for who in order]
            await asyncio.gather(*(placed(process, *call) for call in calls))
            assert accounts_in(disk) == {THIRD} and await placed(process, f"{order[0]}-more", THIRD)
            order.reverse()

    run(main)


def test_the_next_account_comes_when_the_last_task_has_given_its_room_back() -> None:
    """That is said of a task that the host has told to be STOPPED; until then it counts, also if it is stopping."""

    async def main() -> None:
        disk = MemoryDisk()
        capacity = await zone(disk)
        assert [await placed(capacity, name) for name in ("a", "b")] == [True, True]
        await capacity.release("a", ZONES[0])
        assert not await placed(capacity, "t1", THEIRS)
        await capacity.host_seen("host-1", False)
        capacity = await zone(disk)  # neither silence nor a restart makes it anybody's
        assert not await placed(capacity, "t2", THEIRS) and await shown(capacity) == ([OURS], OURS)
        await capacity.release("b", ZONES[0])
        assert await shown(capacity) == ([], None)
        assert await placed(capacity, "t3", THEIRS) and not await placed(capacity, "c")

    run(main)


def test_a_host_of_microvms_is_shared_and_one_of_an_unknown_kind_is_not() -> None:
    async def main() -> None:
        for kind, both in (("microvm", True), ("simulated", True), ("microvm-emulated", False)):
            capacity = await zone(MemoryDisk(), joins=False)
            await capacity.register_host(host(sandbox=kind))
            assert [await placed(capacity, "a"), await placed(capacity, "t", THEIRS)] == [True, both]

    run(main)


def test_where_one_task_is_on_a_host_a_second_comes_only_after_it() -> None:
    async def main() -> None:
        for kind in ("container", "microvm"):
            disk = MemoryDisk()
            capacity = await zone(disk, Tenancy.ONE_TASK, joins=False)
            await capacity.register_host(host(sandbox=kind))
            stale = await zone(disk, Tenancy.ONE_TASK, joins=False)
            await stale.register_host(host(sandbox=kind))
            assert sum(await asyncio.gather(*(placed(capacity, f"a{n}") for n in range(5)))) == 1
            assert not await placed(stale, "late") and not await placed(stale, "other", THEIRS)
            again = await zone(disk, Tenancy.ONE_TASK, joins=False)
            assert await shown(again) == ([OURS], "one task")
            [(task, where)] = await again.unclaimed(2.0**40)
            await again.release(task, where)
            await again.register_host(host(sandbox=kind))
            assert await placed(again, "next", THEIRS)

    run(main)


def test_one_task_on_a_host_takes_no_room_from_a_spot_task() -> None:
    """The host would have two until that one has left."""

    async def main() -> None:
        capacity = await zone(MemoryDisk(), Tenancy.ONE_TASK)
        granted(await capacity.reserve(request("spot", is_spot=True)))
        assert isinstance(await capacity.reserve(request("demand", may_reclaim=True)), NoCapacity)

    run(main)


def test_after_shared_hosts_strictness_waits_until_one_account_is_left() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await zone(disk, Tenancy.SHARED)
        assert [await placed(capacity, f"{who}-1", who) for who in (OURS, THEIRS)] == [True, True]
        assert await shown(capacity) == ([OURS, THEIRS], None)
        for strict in [await zone(disk), await zone(disk)]:  # also the one that is told by the other
            assert await shown(strict) == ([OURS, THEIRS], "several accounts")
            assert not any([await placed(strict, f"{who}-2", who) for who in (OURS, THEIRS, THIRD)])
        await strict.release(f"{OURS}-1", ZONES[0])
        assert await shown(strict) == ([THEIRS], THEIRS)
        assert [await placed(strict, f"{who}-3", who) for who in (OURS, THEIRS)] == [False, True]
        for name in ("1", "3"):
            await strict.release(f"{THEIRS}-{name}", ZONES[0])
        assert [await placed(strict, f"{who}-4", who) for who in (OURS, THEIRS)] == [True, False]
        assert accounts_in(disk) == {OURS}

    run(main)


def test_what_a_crash_lost_counts_again_when_it_is_restored() -> None:
    async def main() -> None:
        capacity = await zone(MemoryDisk())
        made = granted(await capacity.reserve(request("a", account=THEIRS)))
        assert made.eni is not None
        lost = RecordedReservation(
            capacity_id=made.capacity_id,
            task_id="a",
            zone=ZONES[0],
            account=THEIRS,
            host_id=made.host_id,
            cpu_units=256,
            memory_mib=512,
            disk_gib=20,
            eni=made.eni,
            owner="",
            created_at=1.0,
        )
        for row_is_there in (True, False):
            later = MemoryDisk()
            again = await zone(later, joins=row_is_there)
            await again.restore([lost])
            await again.register_host(CONTAINERS)
            assert not await placed(again, "b") and await placed(again, "c", THEIRS)
            reopened = await zone(later)
            assert not await placed(reopened, "d") and await shown(reopened) == ([THEIRS], THEIRS)

    run(main)


def test_gateways_and_nodes_of_load_balancers_make_a_host_nobodys() -> None:
    """They are the operator's own programs, of whichever account's network they are."""

    async def main() -> None:
        for tenancy in (Tenancy.STRICT, Tenancy.ONE_TASK):
            capacity = await zone(MemoryDisk(), tenancy)
            things = [await capacity.place(_gateway(who)) for who in (OURS, THEIRS)]
            assert all(isinstance(thing, Reservation) for thing in things)
            assert await shown(capacity) == ([], None)
            assert await placed(capacity, "t1", THIRD)
            assert isinstance(await capacity.place(_gateway(THIRD)), Reservation)

    run(main)


def _gateway(account: str) -> PlacedRequest:
    subnet = SUBNET
    return PlacedRequest(
        object_id=f"nat-{account}", account=account, zone=subnet.zone, subnet=subnet, description="a gateway"
    )


def test_the_log_says_that_the_host_is_anothers(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        for tenancy, sentence in (
            (Tenancy.STRICT, "1 x the host runs tasks of another account on the same kernel"),
            (Tenancy.ONE_TASK, "1 x the host has a task, and the region is run with one task on a host"),
        ):
            caplog.clear()
            capacity = await zone(MemoryDisk(), tenancy)
            assert await placed(capacity, "a") and not await placed(capacity, "b", THEIRS)
            [line] = [vars(record)["facts"] for record in caplog.records]
            assert line["why"] == sentence

    run(main)


@pytest.mark.parametrize("registers_first", [True, False])
def test_a_host_that_is_no_boundary_any_more_gets_nobody_by_what_it_said_before(registers_first: bool) -> None:
    """It began anew with containers in the moment in which a claim was decided by its machines."""

    async def main() -> None:
        disk = MemoryDisk()
        capacity = await zone(disk, joins=False)
        await capacity.register_host(host(sandbox="microvm"))
        assert await placed(capacity, "ours", OURS)
        calls = [capacity.register_host(CONTAINERS), placed(capacity, "theirs", THEIRS)]
        await asyncio.gather(*(calls if registers_first else calls[::-1]))
        was_before = not registers_first
        assert accounts_in(disk) == ({OURS, THEIRS} if was_before else {OURS}), "it had both before it changed"
        assert not await placed(capacity, "third", THIRD)

    run(main)


def test_a_task_that_needs_a_kernel_is_not_claimed_on_a_host_that_gives_none_any_more() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await zone(disk, joins=False)
        await capacity.register_host(host(sandbox="microvm"))
        _, made = await asyncio.gather(
            capacity.register_host(CONTAINERS), capacity.reserve(request("kernel", needs_kernel=True))
        )
        assert isinstance(made, NoCapacity) and made.detail is not None
        assert accounts_in(disk) == set()

    run(main)


def test_a_claim_that_one_host_refuses_at_the_last_moment_is_made_on_another() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await zone(disk, joins=False)
        await capacity.register_host(host(sandbox="microvm", software="9"))  # the newest is preferred
        await capacity.register_host(host("host-2", sandbox="microvm"))
        _, made = await asyncio.gather(
            capacity.register_host(host(software="9", sandbox="container")),
            capacity.reserve(request("kernel", needs_kernel=True)),
        )
        assert granted(made).host_id == "host-2"

    run(main)


def test_hosts_of_an_earlier_schema_are_what_they_said() -> None:
    async def main() -> None:
        disk, world = MemoryDisk(), OsWorld()
        old = await MemoryStores(world, KNOBS, disk).open("zone-a", schema.MIGRATIONS[:-1])
        row = "INSERT INTO hosts VALUES (?, ?, 'boot', 1024, 4096, 100, 1024, 4096, 100, 0, NULL, 1, 0, 1, ?, '')"
        said = [host("host-1", sandbox="microvm"), host("host-2", sandbox="container")]
        docs = [msgspec.json.encode(facts) for facts in said]
        silent = b'{"host_id": "host-3", "boot_id": "b", "capacity": {"cpu_units": 1, "memory_mib": 1, "disk_gib": 1}}'
        for number, doc in enumerate([*docs, silent], start=1):
            await old.write([Statement(row, (number, f"host-{number}", doc))])
        await old.close()
        await zone(disk, joins=False)
        found = disk.databases["zone-a"].execute("SELECT sandbox FROM hosts ORDER BY n").fetchall()
        assert found == [("microvm",), ("container",), ("container",)]

    run(main)
