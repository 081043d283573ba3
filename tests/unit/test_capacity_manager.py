"""The capacity manager over a store in memory: what is taken, given back, refused, and what survives a restart."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.capacity.ledger import CLOSED_MAX, Ledger
from neargate.capacity.manager import CAPACITY_UNAVAILABLE, Capacity, open_capacity
from neargate.interfaces.store import Row, Statement
from neargate.model.capacity import (
    HostCapacity,
    HostFacts,
    NoCapacity,
    Reservation,
    ReservationRequest,
    SubnetView,
)
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.vpc.addresses import AddressRange, pool_share
from neargate.world import OsWorld

KNOBS = Knobs(cpu_overcommit=4.0, disk_overcommit=8.0)
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
SUBNET = SubnetView(
    subnet_id="subnet-0aaaaaaaaaaaaaaaa", vpc_id="vpc-0a", zone=ZONES[0], zone_id="use1-az1", cidr="172.31.0.0/20"
)
TINY = SubnetView(subnet_id="subnet-0tiny", vpc_id="vpc-0a", zone=ZONES[0], zone_id="use1-az1", cidr="10.0.0.0/28")


def host(host_id: str = "host-1", **changes: Any) -> HostFacts:
    values: dict[str, Any] = {
        "host_id": host_id,
        "boot_id": "boot-1",
        "capacity": HostCapacity(cpu_units=1024, memory_mib=4096, disk_gib=100),
        "software": "0.1.0",
        "sandbox": "simulated",
    }
    return HostFacts(**(values | changes))


def request(task_id: str, **changes: Any) -> ReservationRequest:
    values: dict[str, Any] = {
        "task_id": task_id,
        "account": "123456789012",
        "zone": ZONES[0],
        "subnet": SUBNET,
        "security_groups": ("sg-0a",),
        "assign_public_ip": False,
        "cpu_units": 256,
        "memory_mib": 512,
        "disk_gib": 20,
        "owner": f"arn:aws:ecs:us-east-1:123456789012:attachment/{task_id}",
        "attachment_id": task_id,
    }
    return ReservationRequest(**(values | changes))


async def capacity_on(disk: MemoryDisk, *, pool: str = "198.18.0.0/24", knobs: Knobs = KNOBS) -> Capacity:
    world = OsWorld()
    stores = MemoryStores(world, knobs, disk)
    return await open_capacity(
        world, stores, shard="zone-a", region="us-east-1", zones=ZONES, public_pool=pool, knobs=knobs
    )


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(main(), 60)

    asyncio.run(bounded())


def granted(answer: Reservation | NoCapacity) -> Reservation:
    assert isinstance(answer, Reservation), answer
    return answer


def test_a_reservation_takes_room_address_and_interface_together() -> None:
    async def main() -> None:
        capacity = await capacity_on(MemoryDisk())
        await capacity.register_host(host())
        made = granted(await capacity.reserve(request("t1", assign_public_ip=True)))
        assert made.host_id == "host-1" and made.zone == ZONES[0] and made.eni_error is None
        assert made.eni is not None
        assert made.eni.private_ipv4 == "172.31.0.4" and made.eni.public_ipv4 == "198.18.0.1"
        assert made.eni.private_dns_name == "ip-172-31-0-4.ec2.internal"
        assert made.eni.mac.startswith("0a:") and made.eni.eni_id.startswith("eni-0")
        assert made.eni.security_groups == ("sg-0a",) and made.eni.subnet_cidr == "172.31.0.0/20"
        [shown] = await capacity.hosts()
        assert shown["reserved"] == {"cpu_units": 256, "memory_mib": 512, "disk_gib": 20} and shown["tasks"] == 1
        assert await capacity.subnet_usage([SUBNET.subnet_id, "subnet-other"]) == {SUBNET.subnet_id: 1}

    run(main)


def test_the_same_claim_gets_the_same_answer_also_after_a_restart() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await capacity_on(disk)
        await capacity.register_host(host())
        first = await capacity.reserve(request("t1", assign_public_ip=True))
        twice = await asyncio.gather(*(capacity.reserve(request("t1", assign_public_ip=True)) for _ in range(5)))
        assert all(answer == first for answer in twice)
        reopened = await capacity_on(disk)
        assert await reopened.reserve(request("t1", assign_public_ip=True)) == first
        assert (await reopened.hosts())[0]["tasks"] == 1

    run(main)


def test_a_task_may_be_claimed_in_two_zones_apart() -> None:
    async def main() -> None:
        capacity = await capacity_on(MemoryDisk())
        await capacity.register_host(host())
        first = granted(await capacity.reserve(request("t1")))
        second = granted(await capacity.reserve(request("t1", zone=ZONES[1])))
        assert first.capacity_id != second.capacity_id
        await capacity.release("t1", ZONES[0])
        assert await capacity.reserve(request("t1", zone=ZONES[1])) == second

    run(main)


def test_released_means_free_and_never_again() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await capacity_on(disk)
        await capacity.register_host(host())
        await capacity.reserve(request("t1", assign_public_ip=True))
        await asyncio.gather(*(capacity.release("t1", ZONES[0]) for _ in range(3)))
        await capacity.release("t1", ZONES[0])
        [shown] = await capacity.hosts()
        assert shown["reserved"]["memory_mib"] == 0 and shown["tasks"] == 0
        assert await capacity.describe_enis("123456789012") == []
        late = await capacity.reserve(request("t1"))
        assert late == NoCapacity(reason=CAPACITY_UNAVAILABLE)
        reopened = await capacity_on(disk)
        await reopened.register_host(host())
        assert isinstance(await reopened.reserve(request("t1")), NoCapacity)
        assert (await reopened.hosts())[0]["tasks"] == 0

    run(main)


def test_a_tombstone_meets_a_reserve_that_comes_after_it() -> None:
    async def main() -> None:
        capacity = await capacity_on(MemoryDisk())
        await capacity.register_host(host())
        await capacity.release("never", ZONES[0])
        assert isinstance(await capacity.reserve(request("never")), NoCapacity)
        assert (await capacity.hosts())[0]["tasks"] == 0

    run(main)


def test_many_at_once_on_a_small_host_take_exactly_what_there_is() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await capacity_on(disk)
        await capacity.register_host(host())
        answers = await asyncio.gather(*(capacity.reserve(request(f"t{n}")) for n in range(40)))
        made = [answer for answer in answers if isinstance(answer, Reservation)]
        assert len(made) == 8  # 4,096 MiB strictly
        assert {answer.reason for answer in answers if isinstance(answer, NoCapacity)} == {CAPACITY_UNAVAILABLE}
        assert len({answer.eni.private_ipv4 for answer in made if answer.eni}) == 8
        row = disk.databases["zone-a"].execute("SELECT free_memory, free_cpu, tasks FROM hosts").fetchone()
        assert row == (0, 4096 - 8 * 256, 8)

    run(main)


def test_reservations_at_the_same_time_share_writes_and_one_that_is_refused_harms_none() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await capacity_on(disk)
        await capacity.register_host(host())
        await capacity.release("t3", ZONES[0])  # its tombstone refuses the claim, and with it the group's write
        writes: list[int] = []
        plain = capacity._store.write

        async def counted(statements: Sequence[Statement]) -> list[list[Row]]:
            writes.append(sum(statement.expect or 0 for statement in statements if "INTO reserv" in statement.sql))
            return await plain(statements)

        capacity._store.write = counted  # type: ignore[method-assign]
        answers = await asyncio.gather(*(capacity.reserve(request(f"t{n}")) for n in range(7)))
        assert [n for n, answer in enumerate(answers) if isinstance(answer, NoCapacity)] == [3]
        assert writes[0] == 7, "all seven in one"
        assert disk.databases["zone-a"].execute("SELECT tasks FROM hosts").fetchone() == (6,)

    run(main)


def test_an_exhausted_subnet_is_a_reservation_without_interface() -> None:
    async def main() -> None:
        capacity = await capacity_on(MemoryDisk())
        await capacity.register_host(host(capacity=HostCapacity(cpu_units=9999, memory_mib=99999, disk_gib=9999)))
        for n in range(11):  # a /28 has 16 addresses, EC2 keeps five
            assert granted(await capacity.reserve(request(f"t{n}", subnet=TINY))).eni is not None
        full = granted(await capacity.reserve(request("t-full", subnet=TINY, assign_public_ip=True)))
        assert full.eni is None
        assert full.eni_error == (
            "Unexpected EC2 error while attempting to Create Network Interface with public IP assignment enabled "
            "in subnet 'subnet-0tiny': InsufficientFreeAddressesInSubnet"
        )
        assert await capacity.reserve(request("t-full", subnet=TINY, assign_public_ip=True)) == full
        await capacity.release("t-full", ZONES[0])
        await capacity.release("t3", ZONES[0])
        again = granted(await capacity.reserve(request("t-next", subnet=TINY)))
        assert again.eni is not None and again.eni.private_ipv4 == "10.0.0.7"

    run(main)


def test_an_exhausted_public_pool_gives_the_private_address_back() -> None:
    async def main() -> None:
        capacity = await capacity_on(MemoryDisk(), pool="198.18.0.0/30")
        await capacity.register_host(host())
        for n in range(2):
            assert granted(await capacity.reserve(request(f"t{n}", assign_public_ip=True))).eni is not None
        full = granted(await capacity.reserve(request("t9", assign_public_ip=True)))
        assert full.eni is None and full.eni_error is not None
        assert full.eni_error.endswith("InsufficientAddressCapacity")
        assert await capacity.subnet_usage([SUBNET.subnet_id]) == {SUBNET.subnet_id: 2}

    run(main)


def test_an_address_is_not_used_again_at_once_also_after_a_restart() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await capacity_on(disk)
        await capacity.register_host(host())
        first = granted(await capacity.reserve(request("t1", assign_public_ip=True)))
        await capacity.release("t1", ZONES[0])
        second = granted(await capacity.reserve(request("t2", assign_public_ip=True)))
        await capacity.release("t2", ZONES[0])
        capacity = await capacity_on(disk)
        await capacity.register_host(host())
        third = granted(await capacity.reserve(request("t3", assign_public_ip=True)))
        enis = [answer.eni for answer in (first, second, third)]
        assert len({eni.private_ipv4 for eni in enis if eni}) == 3
        assert len({eni.public_ipv4 for eni in enis if eni}) == 3

    run(main)


@pytest.mark.parametrize("unfit", [{"accepts_tasks": False}, {"architecture": "ARM64"}, {"zone": "us-east-1b"}])
def test_a_host_that_does_not_fit_gets_nothing(unfit: dict[str, Any]) -> None:
    async def main() -> None:
        capacity = await capacity_on(MemoryDisk())
        await capacity.register_host(host(**unfit))
        assert await capacity.reserve(request("t1")) == NoCapacity(reason=CAPACITY_UNAVAILABLE)

    run(main)


def test_a_silent_host_keeps_what_it_has_and_gets_nothing_more() -> None:
    async def main() -> None:
        capacity = await capacity_on(MemoryDisk(), knobs=replace(KNOBS, host_grace_s=0))
        await capacity.register_host(host())
        kept = await capacity.reserve(request("t1"))
        await capacity.host_seen("host-1", False)
        assert isinstance(await capacity.reserve(request("t2")), NoCapacity)
        assert await capacity.reserve(request("t1")) == kept
        assert (await capacity.hosts())[0]["tasks"] == 1
        await capacity.host_seen("host-1", True)
        granted(await capacity.reserve(request("t2")))

    run(main)


def test_a_host_lost_a_moment_ago_gets_tasks_when_no_other_can_take_them() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await capacity_on(disk)
        await capacity.register_host(host("lost"))
        await capacity.register_host(host("seen", software="0.0.1"))
        await capacity.host_seen("lost", False)
        assert {granted(await capacity.reserve(request(f"t{n}"))).host_id for n in range(8)} == {"seen"}
        assert granted(await capacity.reserve(request("t8"))).host_id == "lost"
        reopened = await capacity_on(disk)
        assert granted(await reopened.reserve(request("t9"))).host_id in ("lost", "seen")
        assert not any(shown["connected"] for shown in await reopened.hosts())

    run(main)


def test_nobody_is_connected_after_a_restart() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await capacity_on(disk)
        await capacity.register_host(host())
        capacity = await capacity_on(disk, knobs=replace(KNOBS, host_grace_s=0))
        assert disk.databases["zone-a"].execute("SELECT connected FROM hosts").fetchall() == [(0,)]
        assert isinstance(await capacity.reserve(request("t1")), NoCapacity)
        await capacity.register_host(host())
        granted(await capacity.reserve(request("t1")))

    run(main)


def test_a_host_that_comes_back_smaller_is_counted_anew() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await capacity_on(disk)
        await capacity.register_host(host())
        for n in range(3):
            granted(await capacity.reserve(request(f"t{n}")))
        await capacity.register_host(
            host(boot_id="boot-2", capacity=HostCapacity(cpu_units=1024, memory_mib=2048, disk_gib=100))
        )
        row = disk.databases["zone-a"].execute("SELECT boot_id, memory, free_memory FROM hosts").fetchone()
        assert row == ("boot-2", 2048, 512)
        granted(await capacity.reserve(request("t8")))
        assert isinstance(await capacity.reserve(request("t9")), NoCapacity)

    run(main)


def test_accounts_never_share_a_kernel() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await capacity_on(disk)
        await capacity.register_host(host(sandbox="container"))
        granted(await capacity.reserve(request("t1")))
        assert isinstance(await capacity.reserve(request("t2", account="999999999999")), NoCapacity)
        granted(await capacity.reserve(request("t3")))
        await capacity.register_host(host(sandbox="container", boot_id="boot-2"))
        assert capacity._ledger.hosts["host-1"].view.tenant == "123456789012"
        assert isinstance(await capacity.reserve(request("t4", account="999999999999")), NoCapacity)
        await capacity.release("t1", ZONES[0])
        assert disk.databases["zone-a"].execute("SELECT tenant FROM hosts").fetchall() == [("123456789012",)]
        capacity = await capacity_on(disk)
        await capacity.register_host(host(sandbox="container", boot_id="boot-2"))
        assert isinstance(await capacity.reserve(request("t4", account="999999999999")), NoCapacity)
        await capacity.release("t3", ZONES[0])
        granted(await capacity.reserve(request("t5", account="999999999999")))

    run(main)


def test_a_caller_who_goes_away_leaves_no_doubt() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await capacity_on(disk)
        await capacity.register_host(host())
        caller = asyncio.ensure_future(capacity.reserve(request("t1")))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        made = granted(await capacity.reserve(request("t1")))
        rows = disk.databases["zone-a"].execute("SELECT capacity_id FROM reservations").fetchall()
        assert rows == [(made.capacity_id,)]
        assert (await capacity.hosts())[0]["tasks"] == 1

    run(main)


def test_a_release_waits_for_the_reserve_before_it() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await capacity_on(disk)
        await capacity.register_host(host())
        reserving = asyncio.ensure_future(capacity.reserve(request("t1")))
        await asyncio.sleep(0)
        await capacity.release("t1", ZONES[0])
        granted(await reserving)
        row = disk.databases["zone-a"].execute("SELECT state FROM reservations").fetchall()
        assert row == [("void",)]
        assert (await capacity.hosts())[0]["tasks"] == 0

    run(main)


def test_a_process_that_ends_leaves_no_work_that_was_never_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        capacity = await capacity_on(MemoryDisk())
        releasing.append(asyncio.ensure_future(capacity.release("t1", ZONES[0])))

    releasing: list[asyncio.Future[None]] = []
    complaints: list[str] = []
    monkeypatch.setattr("sys.unraisablehook", lambda what: complaints.append(str(what.exc_value)))
    asyncio.run(main())  # ends when the flight is spawned, before it has its first step
    gc.collect()
    assert complaints == []


def test_the_sweeper_hears_of_old_claims_until_it_calls_them_settled() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await capacity_on(disk)
        await capacity.register_host(host())
        for task in ("t1", "t2"):
            granted(await capacity.reserve(request(task)))
        assert await capacity.unclaimed(0.0) == []
        assert await capacity.unclaimed(1e12) == [("t1", ZONES[0]), ("t2", ZONES[0])]
        await capacity.settled([("t1", ZONES[0])])
        assert await capacity.unclaimed(1e12) == [("t2", ZONES[0])]
        await capacity.release("t2", ZONES[0])
        assert await capacity.unclaimed(1e12) == []
        assert await (await capacity_on(disk)).unclaimed(1e12) == [("t1", ZONES[0])]

    run(main)


def test_interfaces_are_shown_as_ec2_shows_them() -> None:
    async def main() -> None:
        capacity = await capacity_on(MemoryDisk())
        await capacity.register_host(host())
        made = granted(await capacity.reserve(request("t1", assign_public_ip=True)))
        granted(await capacity.reserve(request("t2")))
        assert made.eni is not None
        shown, private = await capacity.describe_enis("123456789012")
        assert shown["NetworkInterfaceId"] == made.eni.eni_id and shown["Status"] == "in-use"
        assert shown["Association"]["PublicIp"] == "198.18.0.1"
        assert shown["PrivateIpAddresses"][0]["Association"] == shown["Association"]
        assert shown["Description"] == "arn:aws:ecs:us-east-1:123456789012:attachment/t1"
        assert shown["Groups"] == [{"GroupId": "sg-0a"}] and shown["AvailabilityZone"] == ZONES[0]
        assert "Association" not in private
        assert await capacity.describe_enis("999999999999") == []
        assert await capacity.describe_enis("123456789012", [made.eni.eni_id, "eni-none"]) == [shown]

    run(main)


def test_old_tombstones_are_forgotten() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await capacity_on(disk, knobs=Knobs(tombstone_keep_s=0.0))
        for n in range(300):
            await capacity.release(f"t{n}", ZONES[0])
        count = disk.databases["zone-a"].execute("SELECT count(*) FROM reservations").fetchone()[0]
        assert count < 60

    run(main)


async def two_over_one_database(**changes: Any) -> tuple[Capacity, Capacity, MemoryDisk]:
    """Two processes, neither of which hears of the other's writes: only the guards stand between them."""
    disk = MemoryDisk()
    first = await capacity_on(disk)
    await first.register_host(host(**changes))
    second = await capacity_on(disk)
    await second.register_host(host(**changes))
    return first, second, disk


def test_a_stale_ledger_takes_nothing_twice() -> None:
    async def main() -> None:
        first, second, disk = await two_over_one_database()
        made = [granted(await first.reserve(request(f"a{n}", assign_public_ip=True))) for n in range(5)]
        made += [granted(await second.reserve(request(f"b{n}", assign_public_ip=True))) for n in range(3)]
        assert isinstance(await second.reserve(request("b9")), NoCapacity)
        assert isinstance(await first.reserve(request("a9")), NoCapacity)
        enis = [answer.eni for answer in made if answer.eni]
        assert len({eni.private_ipv4 for eni in enis}) == len({eni.public_ipv4 for eni in enis}) == 8
        rows = disk.databases["zone-a"].execute("SELECT free_memory, tasks FROM hosts").fetchall()
        assert rows == [(0, 8)]
        for capacity in (first, second):  # the refusals taught both what there is, and left nothing behind
            [shown] = await capacity.hosts()
            assert shown["reserved"]["memory_mib"] == 4096 and shown["tasks"] == 8

    run(main)


def test_a_claim_made_elsewhere_is_found_and_one_given_back_elsewhere_is_gone() -> None:
    async def main() -> None:
        first, second, _ = await two_over_one_database()
        made = await first.reserve(request("t1"))
        assert await second.reserve(request("t1")) == made
        await second.release("t1", ZONES[0])
        await first.release("t1", ZONES[0])
        assert isinstance(await first.reserve(request("t1")), NoCapacity)
        assert [shown["tasks"] for shown in await first.hosts()] == [0]

    run(main)


def test_another_account_from_a_stale_ledger_is_kept_off_the_kernel() -> None:
    async def main() -> None:
        first, second, _ = await two_over_one_database(sandbox="container")
        granted(await first.reserve(request("t1")))
        assert isinstance(await second.reserve(request("t2", account="999999999999")), NoCapacity)

    run(main)


def test_the_log_says_why_a_zone_refused_and_not_for_each_task(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        capacity = await capacity_on(MemoryDisk())
        await capacity.register_host(host(accepts_tasks=False))
        for n in range(20):
            await capacity.reserve(request(f"t{n}"))
        lines = [vars(record)["facts"] for record in caplog.records]
        assert lines[0]["why"] == "1 x the host takes no tasks" and lines[0]["task"] == "t0"
        assert len(lines) < 20

    run(main)


def test_three_zone_shards_share_a_pool_without_meeting() -> None:
    async def main() -> None:
        world, disk = OsWorld(), MemoryDisk()
        stores = MemoryStores(world, KNOBS, disk)
        made: list[Reservation] = []
        for place, zone in enumerate(ZONES):
            capacity = await open_capacity(
                world,
                stores,
                shard=f"zone-{zone}",
                region="us-east-1",
                zones=(zone,),
                public_pool=pool_share("198.18.0.0/24", place, len(ZONES)),
                knobs=KNOBS,
            )
            await capacity.register_host(host(f"host-{place}", zone=zone))
            made.append(granted(await capacity.reserve(request(f"t{place}", zone=zone, assign_public_ip=True))))
            elsewhere = await capacity.reserve(request("lost", zone=ZONES[place - 1]))
            assert elsewhere == NoCapacity(reason=CAPACITY_UNAVAILABLE)
        public = [answer.eni.public_ipv4 for answer in made if answer.eni]
        assert public == ["198.18.0.1", "198.18.0.65", "198.18.0.129"]
        assert [answer.host_id for answer in made] == ["host-0", "host-1", "host-2"]

    run(main)


def test_a_subnet_that_is_being_deleted_gets_no_interface_until_it_is_open_again() -> None:
    async def main() -> None:
        capacity = await capacity_on(MemoryDisk())
        await capacity.register_host(host())
        first = granted(await capacity.reserve(request("t1")))
        assert not capacity.close_subnet(SUBNET.subnet_id)
        assert granted(await capacity.reserve(request("t2"))).eni is not None
        await capacity.release("t1", ZONES[0])
        assert not capacity.close_subnet(SUBNET.subnet_id)
        await capacity.release("t2", ZONES[0])
        assert capacity.close_subnet(SUBNET.subnet_id)
        late = granted(await capacity.reserve(request("t3", assign_public_ip=True)))
        assert late.eni is None and late.eni_error == (
            "Unexpected EC2 error while attempting to Create Network Interface with public IP assignment enabled "
            f"in subnet '{SUBNET.subnet_id}': InvalidSubnetID.NotFound"
        )
        assert await capacity.subnet_usage([SUBNET.subnet_id]) == {SUBNET.subnet_id: 0}
        capacity.open_subnet(SUBNET.subnet_id)
        again = granted(await capacity.reserve(request("t4")))
        assert again.eni is not None and first.eni is not None
        assert again.eni.private_ipv4 not in (first.eni.private_ipv4, "172.31.0.5")  # the cursor went on

    run(main)


def test_of_the_subnets_that_were_closed_only_the_last_are_remembered() -> None:
    ledger = Ledger(AddressRange(1, 2))
    for number in range(CLOSED_MAX + 2):
        assert ledger.close_subnet(f"subnet-{number}")
    assert not ledger.is_closed("subnet-1") and ledger.is_closed("subnet-2")
    assert ledger.is_closed(f"subnet-{CLOSED_MAX + 1}")


def test_a_launch_while_its_subnet_is_closed_leaves_no_address_behind() -> None:
    async def main() -> None:
        capacity = await capacity_on(MemoryDisk())
        await capacity.register_host(host())
        flying = asyncio.ensure_future(capacity.reserve(request("t1")))
        await asyncio.sleep(0)  # it has taken its address and waits for the write
        assert not capacity.close_subnet(SUBNET.subnet_id)
        assert granted(await flying).eni is not None

    run(main)


def test_an_interface_in_a_dual_stack_subnet_has_an_address_of_each_kind() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        capacity = await capacity_on(disk)
        await capacity.register_host(host())
        dual = replace(SUBNET, ipv6_cidr="fd12:3456:789a:bc00::/64")
        first = granted(await capacity.reserve(replace(request("t1"), subnet=dual)))
        second = granted(await capacity.reserve(replace(request("t2"), subnet=dual)))
        assert first.eni is not None and second.eni is not None
        assert (first.eni.private_ipv4, first.eni.ipv6) == ("172.31.0.4", "fd12:3456:789a:bc00::ac1f:4")
        assert (second.eni.private_ipv4, second.eni.ipv6) == ("172.31.0.5", "fd12:3456:789a:bc00::ac1f:5")
        reopened = await capacity_on(disk)
        assert await reopened.reserve(replace(request("t1"), subnet=dual)) == first
        shown = {
            eni["NetworkInterfaceId"]: eni["Ipv6Addresses"] for eni in await reopened.describe_enis("123456789012")
        }
        assert shown[first.eni.eni_id] == [{"Ipv6Address": "fd12:3456:789a:bc00::ac1f:4", "IsPrimaryIpv6": False}]
        single = granted(await reopened.reserve(request("t3")))
        assert single.eni is not None and single.eni.ipv6 is None

    run(main)


def test_what_only_counts_up_with_its_agent_is_shown_and_is_no_write(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        capacity = await capacity_on(MemoryDisk())
        await capacity.register_host(host())
        writes: list[Sequence[Statement]] = []
        write = capacity._store.write

        async def noted(statements: Sequence[Statement]) -> list[list[Row]]:
            writes.append(statements)
            return await write(statements)

        monkeypatch.setattr(capacity._store, "write", noted)
        await capacity.register_host(host(refused_plans=3, flow_log_skips=4))
        [shown] = await capacity.hosts()
        assert (shown["refused_plans"], shown["flow_log_skips"], writes) == (3, 4, [])
        await capacity.register_host(host(refused_plans=3, flow_log_skips=4, strays=1))
        assert (await capacity.hosts())[0]["strays"] == 1 and len(writes) == 1
        await capacity.host_seen("host-1", False)
        await capacity.register_host(host(refused_plans=9, flow_log_skips=4, strays=1))
        assert (await capacity.hosts())[0]["connected"], "who comes back is written down"

    run(main)


def test_an_address_that_is_asked_for_is_given_to_one_at_a_time() -> None:
    wanted = {"assign_public_ip": True, "public_address": "198.18.0.200"}

    async def main() -> None:
        disk = MemoryDisk()
        capacity = await capacity_on(disk)
        await capacity.register_host(host())
        first = granted(await capacity.reserve(request("t1", **wanted)))
        assert first.eni is not None and first.eni.public_ipv4 == "198.18.0.200"
        second = granted(await capacity.reserve(request("t2", zone=ZONES[1], **wanted)))
        assert second.eni is not None and second.eni.public_ipv4 == "198.18.0.1", "an ordinary one"
        assert await capacity.public_addresses() == ["198.18.0.1", "198.18.0.200"]
        capacity = await capacity_on(disk)
        await capacity.register_host(host())
        assert await capacity.reserve(request("t1", **wanted)) == first
        third = granted(await capacity.reserve(request("t3", **wanted)))
        assert third.eni is not None and third.eni.public_ipv4 == "198.18.0.2"
        await capacity.release("t1", ZONES[0])
        again = granted(await capacity.reserve(request("t4", **wanted)))
        assert again.eni is not None and again.eni.public_ipv4 == "198.18.0.200"

    run(main)


def test_an_address_that_another_process_has_given_is_not_given() -> None:
    wanted = {"assign_public_ip": True, "public_address": "198.18.0.200"}

    async def main() -> None:
        disk = MemoryDisk()
        capacity, other = await capacity_on(disk), await capacity_on(disk)
        for one in (capacity, other):
            await one.register_host(host())
        first = granted(await capacity.reserve(request("t1", **wanted)))
        assert first.eni is not None and first.eni.public_ipv4 == "198.18.0.200"
        second = granted(await other.reserve(request("t2", **wanted)))
        assert second.eni is not None and second.eni.public_ipv4 not in (None, "198.18.0.200")

    run(main)
